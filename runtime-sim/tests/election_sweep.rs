//! Campaigns whose futures are dropped at every await point, and whose answers are lost anywhere.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod lease_support;
mod mutex_support;

use etcd3::recipes::{Election, LeaderLatch};
use etcd3::{LeaseId, Session, prefix};
use etcd3_sim::{Cut, CutLater, Direction, World, run};
use futures_lite::future::or;
use lease_support::{Scene, scene, seconds};
use mutex_support::{polled, watchers};
use std::time::Duration;

/// More than any of these futures is polled.
const POLLS: usize = 300;

async fn leases(scene: &Scene) -> Vec<LeaseId> {
    let found = scene.observer.get(prefix("e/")).await.unwrap();
    found.kvs.iter().map(|pair| pair.lease).collect()
}

/// Sees that nothing is left of a session's attempts.
async fn nothing_is_left(world: &World, scene: &Scene, session: &Session) {
    let given = world.now();
    while !leases(scene).await.is_empty() {
        assert!(world.now() < given + seconds(10), "a key is left: {:?}", leases(scene).await);
        world.sleep(Duration::from_millis(10)).await;
    }
    session.close().await.unwrap();
    world.sleep(seconds(1)).await;
    assert_eq!(watchers(&scene.etcd), 0);
    assert!(scene.observer.leases().await.unwrap().leases.is_empty());
    scene.client.close().await;
    assert_eq!(scene.host.tasks(), 0);
}

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Campaign,
    /// With a leader that resigns meanwhile.
    Wait,
    Try,
    Resume,
    /// By a second handle of the session.
    Guest,
    Proclaim,
    Resign,
    Latch,
}

/// Drops it after so many polls; returns whether it was over before.
fn dropped_after(polls: usize, what: What, is_cut: bool) -> bool {
    let (is_over, _) = run(7, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let election = Election::new(&session, "e");
        if what == What::Wait {
            let theirs = scene.observer.session(seconds(20)).await.unwrap();
            let leadership = Election::new(&theirs, "e").campaign("theirs").await.unwrap();
            let (rt, at) = (scene.observer.runtime().clone(), world.now() + seconds(1));
            scene.observer.spawn(async move {
                rt.sleep_until(at).await;
                leadership.resign().await.unwrap();
                theirs.close().await.unwrap();
            });
        }
        let has_led = !matches!(what, What::Campaign | What::Wait | What::Try | What::Latch);
        let led = if has_led { Some(election.campaign("first").await.unwrap()) } else { None };
        let latch = LeaderLatch::new(&session, "e", "ours");
        let leading = led.as_ref();
        let dropped = async {
            match what {
                What::Campaign | What::Wait | What::Guest => {
                    polled(election.campaign("ours"), polls).await.map(|it| it.map(drop))
                }
                What::Try => {
                    polled(election.try_campaign("ours"), polls).await.map(|it| it.map(drop))
                }
                What::Resume => polled(election.resume(), polls).await.map(|it| it.map(drop)),
                What::Proclaim => {
                    polled(leading.unwrap().proclaim("x"), polls).await.map(|it| it.map(drop))
                }
                What::Resign => polled(leading.unwrap().resign(), polls).await,
                What::Latch => polled(latch.run(|_| world.sleep(seconds(1))), polls).await,
            }
        };
        let for_a_while = async {
            world.sleep(seconds(3)).await;
            None
        };
        let done = or(dropped, for_a_while).await;
        if is_cut {
            for member in 0..3 {
                world.net().cut(scene.host.id(), scene.etcd.address(member), Cut::Reset);
            }
        }
        let is_over = done.is_some();
        if let Some(done) = done {
            done.unwrap();
        }
        if let Some(led) = led {
            world.sleep(seconds(2)).await;
            assert_eq!(led.is_valid(), what != What::Resign || polls == 0, "{what:?} {polls}");
        }
        // The next one of the session finds the election as if nothing had been.
        election.campaign("again").await.unwrap().resign().await.unwrap();
        if what == What::Wait {
            world.sleep(seconds(2)).await;
        }
        nothing_is_left(&world, &scene, &session).await;
        is_over
    })
    .unwrap();
    is_over
}

// I-S5
#[test]
fn what_is_cancelled_anywhere_leaves_nothing() {
    use What::{Campaign, Guest, Latch, Proclaim, Resign, Resume, Try, Wait};
    for is_cut in [false, true] {
        for what in [Campaign, Wait, Try, Resume, Guest, Proclaim, Resign, Latch] {
            let last = (0..POLLS).find(|polls| dropped_after(*polls, what, is_cut));
            assert!(last.is_some_and(|polls| polls > 1), "{what:?}: {last:?}");
        }
    }
}

/// Campaigns on connections that are cut after so many bytes; returns how long that took.
fn lost_after(bytes: u64, direction: Direction) -> Duration {
    let (took, _) = run(9, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(20)).await.unwrap();
        let election = Election::new(&session, "e");
        for member in 0..3 {
            let cut = CutLater { direction, bytes, cut: Cut::Reset };
            world.net().cut_later(scene.host.id(), scene.etcd.address(member), cut);
        }
        let begin = world.now();
        let leadership = election.campaign("ours").await.unwrap();
        let took = world.now().saturating_since(begin);
        let found = scene.observer.get(prefix("e/")).await.unwrap();
        let [own] = &found.kvs[..] else { panic!("{found:?}") };
        assert_eq!(own.create_revision, leadership.create_revision());
        assert_eq!((own.version, &own.value[..]), (1, &b"ours"[..]), "written once");
        drop(leadership);
        world.sleep(seconds(5)).await;
        assert!(leases(&scene).await.is_empty());
        nothing_is_left(&world, &scene, &session).await;
        took
    })
    .unwrap();
    took
}

// I-S5: whatever becomes of the answer of the put, the key is there once, and is deleted.
#[test]
fn a_campaign_whose_answer_is_lost_is_settled() {
    for direction in [Direction::Up, Direction::Down] {
        let undisturbed = lost_after(2_000, direction);
        let cuts = (0..400).step_by(if cfg!(debug_assertions) { 7 } else { 1 });
        let hits = cuts.filter(|bytes| lost_after(*bytes, direction) > undisturbed).count();
        assert!(hits > 10, "{direction:?}: {hits}");
    }
}
