//! Leases and sessions that meet: several handles of one lease, and ends that race with beginnings.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;

use etcd3::runtime::{BoxFuture, Instant, Io, Runtime, Target};
use etcd3::{Client, Config, ErrorKind, LossReason, OnLoss};
use etcd3_sim::{ClusterConfig, Link, Personality, Reachability, SimRuntime, run};
use futures_lite::future::poll_once;
use lease_support::{scene, seconds};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

// The stream of the first handle has ended, and the second one has another.
#[test]
fn a_handle_whose_stream_has_ended_ends_the_lease_for_all() {
    run(1, move |world| async move {
        let scene = scene(&world).await;
        let first = scene.client.lease(seconds(60)).await.unwrap();
        first.orphan();
        world.sleep(seconds(7)).await;
        let second = scene.client.keep_alive(first.id()).await.unwrap();
        first.revoke().await.unwrap();
        assert!(!second.is_valid(), "the cluster let it go");
        assert_eq!(second.lost().await.reason, LossReason::Revoked);
    })
    .unwrap();
}

#[test]
fn a_lease_ends_for_those_who_have_it_of_a_pinned_client() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.client.lease(seconds(60)).await.unwrap();
        let pinned = scene.client.pinned_to(&scene.etcd.endpoints()[1]).unwrap();
        let also = pinned.keep_alive(lease.id()).await.unwrap();
        lease.revoke().await.unwrap();
        assert!(!also.is_valid(), "the cluster let it go");
        assert_eq!(also.lost().await.reason, LossReason::Revoked);
    })
    .unwrap();
}

#[test]
fn a_session_that_is_dropped_ends_its_lease_for_nobody_else() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.client.lease(seconds(5)).await.unwrap();
        let [a, b] = [OnLoss::Fail, OnLoss::Regrant]
            .map(|on_loss| scene.client.session_on(lease.id()).on_loss(on_loss));
        let (a, b) = (a.await.unwrap(), b.await.unwrap());
        let lost = b.lost();
        drop(b);
        assert_eq!(lost.await.reason, LossReason::Orphaned);
        world.sleep(seconds(10)).await;
        assert!(a.is_valid() && lease.is_valid());
        a.orphan();
        assert_eq!(a.lost().await.reason, LossReason::Orphaned);
        world.sleep(seconds(10)).await;
        assert!(lease.is_valid());
        let id = lease.id();
        drop(lease);
        world.sleep(seconds(10)).await;
        assert!(scene.observer.time_to_live(id).await.unwrap().ttl.is_none());
    })
    .unwrap();
}

// An orphan belongs to somebody else.
#[test]
fn a_lease_that_was_orphaned_is_not_revoked_by_a_drop() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.client.lease(seconds(5)).await.unwrap().revoke_on_drop();
        let id = lease.id();
        let (clone, other) = (lease.clone(), scene.client.keep_alive(id).await.unwrap());
        lease.orphan();
        assert_eq!(clone.lost().await.reason, LossReason::Orphaned);
        drop((lease, clone.revoke_on_drop()));
        world.sleep(seconds(20)).await;
        assert!(other.is_valid(), "had by another handle");
        other.orphan();
        drop(other);
        world.sleep(seconds(1)).await;
        assert!(scene.observer.time_to_live(id).await.unwrap().ttl.is_some());
        world.sleep(seconds(10)).await;
        assert!(scene.observer.time_to_live(id).await.unwrap().ttl.is_none());
    })
    .unwrap();
}

// The grant is answered, and the connections of leases cannot be made.
#[test]
fn beginning_a_lease_takes_no_longer_than_its_timeout() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        scene.set_links(&world, Link { stall_down: true, ..Link::default() });
        let (net, host, later) = (world.net().clone(), scene.host.id(), world.clone());
        let addresses: Vec<_> = (0..3).map(|member| scene.etcd.address(member)).collect();
        scene.host.spawn(async move {
            later.sleep(Duration::from_millis(2_500)).await;
            for at in addresses {
                let link = Link { reachability: Reachability::Hang, ..Link::default() };
                net.set_link(host, at, link);
            }
        });
        let began = world.now();
        let error = scene.client.lease(seconds(4)).timeout(seconds(3)).await.unwrap_err();
        let took = world.now().saturating_since(began);
        assert!(error.is_timeout(), "{error:?}");
        assert!(took <= Duration::from_millis(3_100), "{took:?}");
    })
    .unwrap();
}

#[test]
fn a_close_that_failed_may_be_tried_again() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        session.register("a", "1").await.unwrap();
        scene.cut_off(&world, true);
        session.close().await.unwrap_err();
        scene.cut_off(&world, false);
        session.close().await.unwrap();
        assert!(!scene.exists("a").await, "closed");
    })
    .unwrap();
}

// The word of the server is enough; the next renewal is 20 minutes away.
#[test]
fn a_lease_that_a_write_does_not_find_is_granted_anew_at_once() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let begin = scene.client.session(seconds(3_600)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        session.register("a", "1").await.unwrap();
        scene.observer.revoke(session.id()).await.unwrap();
        session.register("b", "1").await.unwrap();
        world.sleep(seconds(1)).await;
        assert!(scene.exists("a").await && scene.exists("b").await);

        let session = scene.client.session(seconds(3_600)).await.unwrap();
        scene.observer.revoke(session.id()).await.unwrap();
        assert!(session.register("c", "1").await.unwrap_err().is_lease_not_found());
        assert!(!session.is_valid());
    })
    .unwrap();
}

#[test]
fn a_session_that_is_lost_says_so_in_one_way() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        scene.cut_off(&world, true);
        assert_eq!(session.lost().await.reason, LossReason::DeadlinePassed);
        let error = session.register("a", "1").await.unwrap_err();
        assert!(error.is_lease_not_found(), "{error:?}");
    })
    .unwrap();
}

// A session is granted anew, and its keys cannot be written.
#[test]
fn registering_waits_no_longer_than_it_says() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let request = scene.client.session(seconds(600)).on_loss(OnLoss::Regrant);
        let session = request.await.unwrap();
        session.register("a", "1").await.unwrap();
        let first = session.id();
        scene.observer.revoke(first).await.unwrap();
        let _ = scene.client.keep_alive_once(first).await;
        while session.id() == first {
            world.sleep(Duration::from_micros(50)).await;
        }
        scene.cut_off(&world, true);
        let began = world.now();
        session.register("b", "1").await.unwrap_err();
        let took = world.now().saturating_since(began);
        // `Config::request_timeout`, 15 s by default.
        assert!(took <= Duration::from_millis(15_100), "{took:?}");
    })
    .unwrap();
}

// Nobody else has the key: it is not written by a regrant that is under way.
#[test]
fn a_key_that_is_given_up_while_a_session_is_granted_anew_stays_away() {
    for seed in 0..20 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let begin = scene.client.session(seconds(600)).on_loss(OnLoss::Regrant);
            let session = begin.await.unwrap();
            for key in ["a", "b", "c", "d"] {
                session.register(key, "1").await.unwrap();
            }
            let first = session.id();
            scene.observer.revoke(first).await.unwrap();
            let _ = scene.client.keep_alive_once(first).await;
            while session.id() == first {
                world.sleep(Duration::from_micros(50)).await;
            }
            {
                let mut given_up = pin!(session.unregister("d"));
                assert!(poll_once(given_up.as_mut()).await.is_none());
            }
            world.sleep(seconds(5)).await;
            assert!(scene.exists("a").await);
            assert!(!scene.exists("d").await, "given up");
        })
        .unwrap();
    }
}

// The answer to a request from before the grant comes after it, and says that there is no lease.
#[test]
fn a_lease_that_is_granted_is_not_lost_by_what_was_said_before() {
    for (seed, member) in (0..30).map(|seed| (seed, usize::try_from(seed % 3).unwrap())) {
        run(seed, move |world| async move {
            let scene = scene(&world).await;
            // The stream is open.
            let _other = scene.client.lease(seconds(4)).await.unwrap();
            world.sleep(seconds(2)).await;
            let (host, at) = (scene.host.id(), scene.etcd.address(member));
            world.net().set_link(host, at, Link { stall_down: true, ..Link::default() });
            let early = scene.client.clone();
            scene.host.spawn(async move {
                let _ = early.keep_alive_once(77).await;
            });
            world.sleep(Duration::from_millis(20)).await;
            let lease = scene.client.lease(seconds(60)).id(77).await.unwrap();
            world.net().set_link(host, at, Link::default());
            world.sleep(seconds(1)).await;
            assert!(lease.is_valid(), "{:?}", lease.status());
            world.sleep(seconds(60)).await;
            assert!(lease.is_valid(), "{:?}", lease.status());
        })
        .unwrap();
    }
}

// Another cluster takes smaller requests: one key is refused, again and again.
#[test]
fn a_key_that_is_refused_keeps_no_other_from_being_written_again() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        session.register("a", "1").await.unwrap();
        session.register("m", vec![b'1'; 100_000]).await.unwrap();
        session.register("z", "1").await.unwrap();
        let config = ClusterConfig {
            max_request_bytes: 50_000,
            ..ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed() + 1)
        };
        let other = world.etcd(config);
        let observer = world.host().client(Config::new(other.endpoints())).unwrap();
        scene.client.set_endpoints(other.endpoints()).unwrap();
        world.sleep(seconds(30)).await;
        assert!(session.is_valid());
        let [a, m, z] = ["a", "m", "z"].map(|key| observer.get(key));
        let (a, m, z) = (a.await.unwrap(), m.await.unwrap(), z.await.unwrap());
        assert_eq!((a.count, m.count, z.count), (1, 0, 1));
        assert_eq!(a.kvs[0].version, 1, "written once");
        // What is written anew is what was registered last.
        session.register("m", "2").await.unwrap();
        world.sleep(seconds(10)).await;
        assert_eq!(session.regrants(), 1);
        assert_eq!(observer.get("m").await.unwrap().kvs[0].version, 1);
    })
    .unwrap();
}

// Wherever it is stuck.
#[test]
fn registering_a_key_takes_no_longer_than_its_timeout() {
    for seed in 0..60 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let (client, began) = (scene.client.clone(), world.now());
            let (clock, ended) = (world.clone(), Arc::new(Mutex::new(None)));
            let note = Arc::clone(&ended);
            scene.host.spawn(async move {
                let service = client.register("s", "1").timeout(seconds(1)).await;
                *note.lock().unwrap() = Some(clock.now().saturating_since(began));
                drop(service);
            });
            world.sleep(Duration::from_micros(world.below(8_000))).await;
            scene.cut_off(&world, true);
            world.sleep(seconds(20)).await;
            let took = ended.lock().unwrap().unwrap();
            assert!(took <= Duration::from_millis(1_100), "{took:?}");
        })
        .unwrap();
    }
}

// Its task is in the middle of a pause.
#[test]
fn closing_a_client_ends_a_session_that_is_being_granted_anew() {
    for seed in 0..10 {
        run(seed, |world| async move {
            let scene = scene(&world).await;
            let request = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
            let session = request.await.unwrap();
            scene.cut_off(&world, true);
            world.sleep(Duration::from_millis(6_000 + world.below(60_000))).await;
            let began = world.now();
            let lost = session.lost();
            scene.client.close().await;
            assert_eq!(lost.await.reason, LossReason::Closed);
            let took = world.now().saturating_since(began);
            assert!(took <= Duration::from_millis(10), "{took:?}");
            assert_eq!(scene.host.tasks(), 0);
        })
        .unwrap();
    }
}

// Whoever revokes the lease of a session ends it, also when it is only just granted.
#[test]
fn a_session_whose_lease_is_revoked_while_a_key_is_refused_is_over() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let request = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
        let session = request.await.unwrap();
        session.register("m", vec![b'1'; 100_000]).await.unwrap();
        let config = ClusterConfig {
            max_request_bytes: 50_000,
            ..ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed() + 1)
        };
        let other = world.etcd(config);
        scene.client.set_endpoints(other.endpoints()).unwrap();
        world.sleep(seconds(30)).await;
        assert!(session.is_valid());
        session.lease().revoke().await.unwrap();
        world.sleep(seconds(30)).await;
        assert_eq!(session.lost().await.reason, LossReason::Revoked);
    })
    .unwrap();
}

// Orphaned while somebody else begins to keep it alive.
#[test]
fn an_orphan_is_not_said_to_be_missing() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.client.lease(seconds(60)).await.unwrap();
        let mut keep = pin!(scene.client.keep_alive(lease.id()).send());
        let mut once = pin!(scene.client.keep_alive_once(lease.id()).send());
        assert!(poll_once(keep.as_mut()).await.is_none());
        assert!(poll_once(once.as_mut()).await.is_none());
        lease.orphan();
        once.await.unwrap();
        assert!(keep.await.unwrap().is_valid());
        assert_eq!(lease.lost().await.reason, LossReason::Orphaned);
    })
    .unwrap();
}

/// A task that anybody may drop.
type Droppable = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

/// A runtime that drops its tasks when it is told so, as one does that is shut down.
struct Ending {
    inner: SimRuntime,
    tasks: Mutex<Vec<Droppable>>,
}

impl Ending {
    fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        for task in tasks {
            let task = task.lock().unwrap().take();
            drop(task);
        }
    }
}

impl Runtime for Ending {
    fn now(&self) -> Instant {
        self.inner.now()
    }

    fn seed(&self) -> u64 {
        self.inner.seed()
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        self.inner.sleep_until(at)
    }

    fn spawn(&self, task: BoxFuture<'static, ()>) {
        let task = Arc::new(Mutex::new(Some(task)));
        self.tasks.lock().unwrap().push(Arc::clone(&task));
        self.inner.spawn(Box::pin(std::future::poll_fn(move |cx| {
            // Not held while it is polled: it may spawn others, or be dropped.
            let Some(mut it) = task.lock().unwrap().take() else {
                return std::task::Poll::Ready(());
            };
            let polled = it.as_mut().poll(cx);
            if polled.is_pending() {
                *task.lock().unwrap() = Some(it);
            }
            polled
        })));
    }

    fn resolve<'a>(
        &'a self,
        host: &'a str,
        port: u16,
    ) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        self.inner.resolve(host, port)
    }

    fn connect<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, io::Result<Box<dyn Io>>> {
        self.inner.connect(target)
    }

    fn suspended(&self) -> Duration {
        self.inner.suspended()
    }

    fn unix_time(&self) -> Option<Duration> {
        self.inner.unix_time()
    }
}

#[test]
fn a_session_is_lost_with_its_runtime() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let rt = Arc::new(Ending { inner: world.host().runtime(), tasks: Mutex::default() });
        let client = Client::connect_lazy_on(rt.clone(), Config::new(scene.etcd.endpoints()));
        let client = client.unwrap();
        let begin = client.session(seconds(5)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        let mut lost = pin!(session.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        rt.end();
        world.sleep(seconds(10)).await;
        let lost = poll_once(lost.as_mut()).await.map(|lost| lost.reason);
        assert_eq!(lost, Some(LossReason::Closed));
        let error = session.register("a", "1").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::RuntimeEnded), "{error:?}");
        for error in [
            client.keep_alive(7).await.unwrap_err(),
            client.keep_alive_once(7).await.unwrap_err(),
            client.lease(seconds(5)).await.unwrap_err(),
        ] {
            assert!(matches!(error.kind(), ErrorKind::RuntimeEnded), "{error:?}");
        }
    })
    .unwrap();
}
