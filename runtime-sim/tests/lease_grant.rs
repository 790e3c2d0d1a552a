//! Grants whose answers are lost: what the caller is told, and which leases there are then.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::proto::etcdserverpb as pb;
use etcd3::request::Effect;
use etcd3::{
    Client, Config, Error, ErrorKind, GrantResponse, LeaseId, Outcome, Phase, ServerError,
};
use etcd3_sim::model::Call;
use etcd3_sim::{
    ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Link, Personality, World, run,
};
use std::collections::BTreeSet;
use std::time::Duration;

const TTL: Duration = seconds(60);
/// Without optimisation only some of the cuts are made.
const STEP: usize = if cfg!(debug_assertions) { 3 } else { 1 };

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Scene {
    etcd: Etcd,
    host: Host,
    client: Client,
}

/// A client that is connected to all members.
async fn scene(world: &World, members: usize) -> Scene {
    let etcd = world.etcd(ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed()));
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(seconds(1)).await;
    assert_eq!(host.connections(), members);
    Scene { etcd, host, client }
}

impl Scene {
    /// Returns the leases that the leader has.
    fn leases(&self) -> Vec<LeaseId> {
        self.etcd.model(|cluster, _| {
            let leader = cluster.leader().unwrap();
            cluster.replica(leader).unwrap().store().leases().ids().map(LeaseId).collect()
        })
    }

    /// Has somebody else grant a lease.
    fn occupy(&self, id: LeaseId, ttl: i64) {
        self.etcd.model(|cluster, now| {
            let grant = pb::LeaseGrantRequest { id: id.0, ttl };
            cluster.submit(now, Call::new(cluster.leader().unwrap(), grant));
        });
    }

    fn set_links(&self, world: &World, link: Link) {
        for member in 0..self.etcd.members() {
            world.net().set_link(self.host.id(), self.etcd.address(member), link);
        }
    }

    fn cut(&self, world: &World, later: CutLater) {
        for member in 0..self.etcd.members() {
            world.net().cut_later(self.host.id(), self.etcd.address(member), later);
        }
    }

    /// Loses what the client sends (or is to receive) over the connections that there are.
    fn lose(&self, world: &World, direction: Direction) {
        self.cut(world, CutLater { direction, bytes: 0, cut: Cut::Stall });
    }
}

fn is_taken(error: &Error) -> bool {
    error.server_error() == Some(ServerError::LeaseExist)
}

// I-L9: whatever is cut after whichever byte, there is one lease, and its id is known.
#[test]
fn a_grant_whose_answer_is_lost_leaks_nothing() {
    // Returns how many connections were made anew.
    let grant_across = |later: CutLater, chosen: LeaseId| {
        run(3, move |world| async move {
            let scene = scene(&world, 1).await;
            let began = world.now();
            let made = world.net().connections_made();
            scene.cut(&world, later);
            let granted = scene.client.grant(TTL).id(chosen).timeout(seconds(60)).await.unwrap();
            assert_eq!(granted.ttl, TTL, "{later:?}");
            assert!(granted.id.0 > 0 && (chosen.is_none() || granted.id == chosen), "{later:?}");
            assert!(granted.header.member_id > 0, "{later:?}");
            assert_eq!(scene.leases(), [granted.id], "{later:?}");
            let left = scene.client.time_to_live(granted.id).await.unwrap().ttl.unwrap();
            assert!(left + world.now().saturating_since(began) + seconds(1) >= TTL, "{left:?}");
            world.net().connections_made() - made
        })
        .unwrap()
        .0
    };
    let mut cuts = 0;
    for chosen in [LeaseId::NONE, LeaseId(7)] {
        for direction in [Direction::Up, Direction::Down] {
            for cut in [Cut::Reset, Cut::Fin, Cut::Stall] {
                for bytes in (0..200).step_by(STEP) {
                    cuts += grant_across(CutLater { direction, bytes, cut }, chosen);
                }
            }
        }
    }
    assert!(cuts > 100, "{cuts} cuts hit the grant");
}

// I-L9, I-L1: exact. The answer is lost, the second attempt is told that the lease exists.
#[test]
fn a_lease_that_exists_after_a_lost_answer_is_ours() {
    for chosen in [LeaseId::NONE, LeaseId(-7)] {
        run(1, |world| async move {
            let scene = scene(&world, 3).await;
            scene.lose(&world, Direction::Down);
            let began = world.now();
            let granted = scene.client.grant(TTL).id(chosen).await.unwrap();
            let took = world.now().saturating_since(began);
            assert!(took > seconds(1), "another attempt was made: {took:?}");
            assert_eq!((granted.ttl, scene.leases()), (TTL, vec![granted.id]));
            assert!(chosen.is_none() || granted.id == chosen);
        })
        .unwrap();
    }
}

// The least that servers grant is told, not what is left of it.
#[test]
fn the_time_to_live_that_was_granted_is_told() {
    run(1, |world| async move {
        let scene = scene(&world, 1).await;
        let granted = scene.client.grant(Duration::from_millis(1)).await.unwrap();
        assert_eq!(granted.ttl, seconds(2));
        let later = CutLater { direction: Direction::Down, bytes: 0, cut: Cut::Reset };
        scene.cut(&world, later);
        let granted = scene.client.grant(Duration::from_millis(2_001)).await.unwrap();
        assert_eq!(granted.ttl, seconds(3));
    })
    .unwrap();
}

#[test]
fn an_id_that_is_taken_is_refused() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        scene.occupy(LeaseId(7), 60);
        world.sleep(seconds(1)).await;
        let error = scene.client.grant(TTL).id(7).await.unwrap_err();
        assert!(is_taken(&error), "{error}");
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
        assert!(!error.is_retryable());
        assert_eq!(scene.leases(), [LeaseId(7)]);
    })
    .unwrap();
}

// An attempt was lost, and the lease that there is is older, or shorter, than ours would be.
#[test]
fn a_lease_of_somebody_else_is_not_taken_for_ours() {
    for (age, ttl) in [(seconds(20), 60), (seconds(0), 30)] {
        run(1, |world| async move {
            let scene = scene(&world, 3).await;
            scene.occupy(LeaseId(7), ttl);
            world.sleep(age + Duration::from_millis(500)).await;
            scene.lose(&world, Direction::Up);
            let error = scene.client.grant(TTL).id(7).await.unwrap_err();
            assert!(is_taken(&error), "{error}");
            assert_eq!(error.outcome(), Outcome::Unknown, "an attempt was lost: {error}");
            assert!(!error.is_retryable(), "{error}");
        })
        .unwrap();
    }
}

// I-L9: with the same seed the same id is drawn, and somebody else has it by then.
#[test]
fn another_id_is_drawn_when_one_is_taken() {
    let grant = |taken: Vec<LeaseId>| {
        run(5, |world| async move {
            let scene = scene(&world, 3).await;
            for id in &taken {
                scene.occupy(*id, 60);
            }
            world.sleep(seconds(1)).await;
            let result = scene.client.grant(TTL).await;
            // What one member has applied, another one may yet have to.
            world.sleep(seconds(1)).await;
            if let Ok(granted) = &result {
                assert!(scene.leases().contains(&granted.id));
                assert_eq!(scene.leases().len(), taken.len() + 1);
            }
            result
        })
        .unwrap()
        .0
    };
    let mut taken = Vec::new();
    for _ in 0..3 {
        let granted: GrantResponse = grant(taken.clone()).unwrap();
        assert!(granted.id.0 > 0 && !taken.contains(&granted.id), "{granted:?}");
        taken.push(granted.id);
    }
    let error = grant(taken).unwrap_err();
    assert!(is_taken(&error), "the fourth time it is no chance: {error}");
    assert_eq!(error.outcome(), Outcome::Rejected);
}

#[test]
fn ids_differ_between_calls_clients_and_seeds() {
    let mut ids = BTreeSet::new();
    for seed in 0..5 {
        let granted = run(seed, |world| async move {
            let scene = scene(&world, 1).await;
            let other = world.host().client(Config::new(scene.etcd.endpoints())).unwrap();
            let mut granted = Vec::new();
            for client in [&scene.client, &other] {
                for _ in 0..20 {
                    granted.push(client.grant(TTL).await.unwrap().id);
                }
            }
            granted
        });
        ids.extend(granted.unwrap().0);
    }
    assert_eq!(ids.len(), 5 * 40);
}

// The time of the call is that of the grant, its repetitions and the look at the lease.
#[test]
fn a_grant_keeps_its_deadline() {
    run(1, |world| async move {
        let scene = scene(&world, 3).await;
        let error = scene.client.grant(TTL).timeout(Duration::ZERO).await.unwrap_err();
        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "{error}");
        scene.set_links(&world, Link { stall_down: true, ..Link::default() });
        let began = world.now();
        let error = scene.client.grant(TTL).timeout(seconds(8)).await.unwrap_err();
        assert_eq!(world.now().saturating_since(began), seconds(8));
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Answer), "{error}");
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        // The caller's next one would be another lease.
        assert_eq!((error.effect(), error.is_retryable()), (Some(Effect::Write), false));
        assert_eq!(error.method(), Some("/etcdserverpb.Lease/LeaseGrant"));
        assert!(error.to_string().contains("may have been applied"), "{error}");
        assert_eq!(scene.leases().len(), 1, "it was");
    })
    .unwrap();
}

// The deadline passes at any point between the second attempt and the answer to the last question.
#[test]
fn what_is_granted_at_the_deadline_is_known_or_unknown() {
    let took = |timeout: Duration| {
        run(1, move |world| async move {
            let scene = scene(&world, 3).await;
            scene.lose(&world, Direction::Down);
            let began = world.now();
            let result = scene.client.grant(TTL).id(7).timeout(timeout).await;
            let took = world.now().saturating_since(began);
            assert_eq!(scene.leases(), [LeaseId(7)]);
            (result, took)
        })
        .unwrap()
        .0
    };
    let (granted, all) = took(seconds(30));
    assert_eq!(granted.unwrap().id, LeaseId(7));
    let mut told = BTreeSet::new();
    for back in (0..30_000).step_by(100).map(Duration::from_micros) {
        let (result, took) = took(all.saturating_sub(back));
        assert!(took <= all.saturating_sub(back), "{took:?} of {:?}", all.saturating_sub(back));
        match result {
            Ok(granted) => assert_eq!(granted.ttl, TTL),
            Err(error) => {
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                assert_eq!(error.method(), Some("/etcdserverpb.Lease/LeaseGrant"), "{error}");
                told.insert(error.attempts());
            }
        }
    }
    assert!(!told.is_empty(), "the deadline counts");
}

// It was granted, ended, and the look at it says so: it is granted again, by the same name.
#[test]
fn a_lease_that_ends_before_it_is_known_is_granted_anew() {
    // Returns how long the grant took.
    let grant = |chosen: LeaseId, ends: Option<Duration>| {
        run(1, move |world| async move {
            let scene = scene(&world, 3).await;
            scene.lose(&world, Direction::Down);
            let began = world.now();
            let ending = async {
                let Some(ends) = ends else { return LeaseId::NONE };
                world.sleep(ends).await;
                let [id] = scene.leases()[..] else { panic!("one lease") };
                scene.etcd.model(|cluster, now| {
                    let revoke = pb::LeaseRevokeRequest { id: id.0 };
                    cluster.submit(now, Call::new(cluster.leader().unwrap(), revoke));
                });
                id
            };
            let granting = async {
                let granted = scene.client.grant(TTL).id(chosen).await.unwrap();
                (granted.id, world.now().saturating_since(began))
            };
            let ((id, took), ended) = futures_lite::future::zip(granting, ending).await;
            assert!(ended.is_none() || ended == id, "{chosen}, {ends:?}");
            world.sleep(seconds(1)).await;
            assert!(scene.leases().is_empty() || scene.leases() == [id], "{chosen}, {ends:?}");
            took
        })
        .unwrap()
        .0
    };
    for chosen in [LeaseId::NONE, LeaseId(7)] {
        let took = grant(chosen, None);
        let sweep = (0..12_000).step_by(100).map(Duration::from_micros);
        let ends = sweep.map(|back| took.saturating_sub(back));
        let anew = ends.filter(|ends| grant(chosen, Some(*ends)) > took).count();
        assert!(anew > 0, "it took longer where the lease was granted anew");
    }
}

// A member dies while it works on the grant: one lease, or none that anybody was told of.
#[test]
fn a_member_may_die_during_a_grant() {
    let mut granted = 0;
    for member in 0..3 {
        for millis in (0..40).step_by(STEP) {
            let world = move |world: World| async move {
                let scene = scene(&world, 3).await;
                let client = scene.client.clone();
                let granting = async move { client.grant(TTL).timeout(seconds(20)).await };
                let dying = async {
                    world.sleep(Duration::from_millis(millis)).await;
                    scene.etcd.kill(member);
                };
                let (result, ()) = futures_lite::future::zip(granting, dying).await;
                // Whoever leads by then has what was committed.
                scene.client.get("key").timeout(seconds(30)).await.unwrap();
                let leases = scene.leases();
                match &result {
                    Ok(granted) => assert_eq!(leases, [granted.id]),
                    Err(error) => {
                        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                        assert!(leases.len() <= 1, "{leases:?}");
                    }
                }
                result.is_ok()
            };
            granted += u32::from(run(millis, world).unwrap().0);
        }
    }
    assert!(granted > 3 * 40 / u32::try_from(STEP).unwrap() - 3, "{granted} were granted");
}
