//! Elections, and what becomes of them when things go wrong.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod election_support;
mod lease_support;

use election_support::{Two, candidates, cut, reason, two};
use etcd3::recipes::{Election, RecipeError};
use etcd3::{LossReason, OnLoss, Outcome, put};
use etcd3_sim::{Link, run};
use futures_lite::future::{or, pending, poll_once};
use lease_support::{scene, seconds};
use std::pin::pin;
use std::time::Duration;

// X21, X22, X24, X25, X26
#[test]
fn one_leads_after_the_other() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let a = scene.client.session(seconds(10)).await.unwrap();
        let b = scene.observer.session(seconds(10)).await.unwrap();
        let election = Election::new(&a, "e");
        let first = election.campaign("a").await.unwrap();
        assert_eq!(first.key(), &format!("e/{:x}", a.id().0).into_bytes());
        assert_eq!(first.header().revision, first.create_revision());
        let other = Election::new(&b, "e");
        assert!(other.try_campaign("b").await.unwrap().is_none());
        assert!(other.campaign_timeout("b", seconds(1)).await.unwrap().is_none());
        world.sleep(seconds(1)).await;
        assert_eq!(candidates(&scene.observer).await, ["a"]);
        let mut waiting = pin!(other.campaign("b"));
        assert!(poll_once(waiting.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        assert!(other.resume().await.unwrap().is_none(), "it does not lead");

        let proclaimed = first.proclaim("a2").await.unwrap();
        let leader = other.leader().await.unwrap().unwrap();
        assert_eq!((&leader.value()[..], leader.lease()), (&b"a2"[..], a.id()));
        assert_eq!(leader.kv().mod_revision, proclaimed.revision);
        assert!(poll_once(waiting.as_mut()).await.is_none());
        first.resign().await.unwrap();
        assert!(!first.is_valid());
        first.resign().await.unwrap();
        let over = first.proclaim("a3").await.unwrap_err();
        assert_eq!(over.outcome(), Outcome::Rejected);

        let second = waiting.await.unwrap();
        assert!(second.create_revision() > first.create_revision());
        assert_eq!(candidates(&scene.observer).await, ["b"]);
        let mut lost = pin!(second.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        b.close().await.unwrap();
        assert_eq!(reason(lost.await), LossReason::Revoked);
        assert_eq!(election.leader().await.unwrap(), None);
    })
    .unwrap();
}

// X23, I-S2, S-02, S-04: Go's client says "won" there.
#[test]
fn a_candidate_whose_session_is_lost_ends_whatever_the_leader_does() {
    for by in ["revoked", "closed", "cut off"] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let Two { leader, session, election, .. } = two(&scene).await;
            let begin = world.now() + seconds(2);
            let later = async {
                world.sleep(seconds(2)).await;
                match by {
                    "revoked" => drop(scene.observer.revoke(session.id()).await.unwrap()),
                    "closed" => session.close().await.unwrap(),
                    _ => scene.cut_off(&world, true),
                }
                pending().await
            };
            let error = or(election.campaign("ours"), later).await.unwrap_err();
            let (expected, limit) = match by {
                "revoked" => (LossReason::Expired, Duration::from_millis(100)),
                "closed" => (LossReason::Revoked, Duration::from_millis(100)),
                _ => (LossReason::DeadlinePassed, seconds(10)),
            };
            assert_eq!(reason(error), expected);
            let took = world.now().saturating_since(begin);
            assert!(took <= limit, "{by}: {took:?}");
            scene.cut_off(&world, false);
            world.sleep(seconds(15)).await;
            assert!(leader.is_valid());
            assert_eq!(candidates(&scene.observer).await, ["theirs"]);
        })
        .unwrap();
    }
}

// X23: the leader is gone and so is the own key, both before anybody looks.
#[test]
fn a_win_without_the_own_key_is_none() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { leader, session, election, .. } = two(&scene).await;
        let later = async {
            world.sleep(seconds(2)).await;
            scene.cut_off(&world, true);
            scene.observer.delete(format!("e/{:x}", session.id().0)).await.unwrap();
            leader.resign().await.unwrap();
            world.sleep(seconds(2)).await;
            cut(&world, &scene);
            scene.cut_off(&world, false);
            pending().await
        };
        let error = or(election.campaign("ours"), later).await.unwrap_err();
        assert!(matches!(error, RecipeError::KeyDeleted(_)), "{error}");
        assert!(session.is_valid());
        let again = election.campaign("ours").await.unwrap();
        assert!(again.is_valid());
    })
    .unwrap();
}

// I-S3, S-08
#[test]
fn a_candidate_that_missed_the_resignation_and_its_history_leads() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { leader, election, .. } = two(&scene).await;
        let later = async {
            world.sleep(seconds(2)).await;
            scene.cut_off(&world, true);
            leader.resign().await.unwrap();
            scene.observer.put("other", "").await.unwrap();
            scene.etcd.compact(0);
            world.sleep(seconds(3)).await;
            cut(&world, &scene);
            scene.cut_off(&world, false);
            pending().await
        };
        let leadership = or(election.campaign("ours"), later).await.unwrap();
        assert!(leadership.is_valid());
        assert_eq!(candidates(&scene.observer).await, ["ours"]);
    })
    .unwrap();
}

// CONC-015: the program was restarted, and its lease lives.
#[test]
fn a_leadership_outlives_the_program() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let first = scene.client.session(seconds(60)).await.unwrap();
        let before = Election::new(&first, "e").campaign("one").await.unwrap();
        scene.host.crash();
        let session = scene.observer.session_on(first.id()).await.unwrap();
        let election = Election::new(&session, "e");
        let resumed = election.resume().await.unwrap().unwrap();
        assert_eq!(resumed.create_revision(), before.create_revision());
        resumed.proclaim("two").await.unwrap();
        let again = election.campaign("three").await.unwrap();
        assert_eq!(again.create_revision(), before.create_revision());
        assert_eq!(candidates(&scene.observer).await, ["three"]);
        resumed.resign().await.unwrap();
        assert_eq!(candidates(&scene.observer).await, [""; 0]);
        assert!(election.resume().await.unwrap().is_none());
        session.close().await.unwrap();
        assert_eq!(reason(election.resume().await.unwrap_err()), LossReason::Revoked);
    })
    .unwrap();
}

// Case 17, X25
#[test]
fn a_resignation_that_fails_can_be_repeated() {
    for sent in [false, true] {
        run(1, move |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(60)).await.unwrap();
            let leadership = Election::new(&session, "e").campaign("ours").await.unwrap();
            let theirs = scene.observer.session(seconds(60)).await.unwrap();
            let next = Election::new(&theirs, "e");
            let mut next = pin!(next.campaign("theirs"));
            assert!(poll_once(next.as_mut()).await.is_none());
            world.sleep(seconds(1)).await;
            scene.set_links(&world, Link { stall_up: !sent, stall_down: true, ..Link::default() });
            let error = leadership.resign().await.unwrap_err();
            assert_eq!(error.outcome(), Outcome::Unknown);
            assert!(!leadership.is_valid());
            cut(&world, &scene);
            scene.set_links(&world, Link::default());
            leadership.resign().await.unwrap();
            let healed = world.now();
            assert!(next.await.unwrap().is_valid());
            assert!(world.now() < healed + seconds(1));
            leadership.resign().await.unwrap();
            let told = leadership.lost().await;
            assert!(matches!(told, RecipeError::Released), "{told}");
        })
        .unwrap();
    }
}

// X24: a value that was given up, and arrives late, never comes after a later one.
#[test]
fn a_proclamation_that_comes_late_is_void() {
    let mut late = 0;
    for seed in 0..30 {
        let member = usize::try_from(seed % 3).unwrap();
        let (came_late, _) = run(seed, |world| async move {
            let scene = scene(&world).await;
            let session = scene.client.session(seconds(600)).await.unwrap();
            let election = Election::new(&session, "e");
            let leadership = election.campaign("0").await.unwrap();
            let (host, slow) = (scene.host.id(), scene.etcd.address(member));
            world.net().set_link(host, slow, Link { stall_up: true, ..Link::default() });
            let given_up = async {
                world.sleep(Duration::from_millis(50)).await;
                true
            };
            let call = async { leadership.proclaim("1").await.is_err() };
            let is_pending = or(call, given_up).await;
            while leadership.proclaim("2").await.is_err() {}
            world.net().set_link(host, slow, Link::default());
            world.sleep(seconds(1)).await;
            assert_eq!(candidates(&scene.observer).await, ["2"]);
            is_pending
        })
        .unwrap();
        late += u32::from(came_late);
    }
    assert!(late > 3, "{late}: it was under way when the next one was made");
}

// A call that is under way when the session is lost may have been made.
#[test]
fn a_proclamation_that_a_loss_cuts_off_is_of_unknown_outcome() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let leadership = Election::new(&session, "e").campaign("before").await.unwrap();
        world.sleep(seconds(1)).await;
        scene.set_links(&world, Link { stall_down: true, ..Link::default() });
        let mut call = pin!(leadership.proclaim("made"));
        assert!(poll_once(call.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        assert_eq!(candidates(&scene.observer).await, ["made"]);
        session.orphan();
        let error = call.await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert_eq!(reason(error), LossReason::Orphaned);
    })
    .unwrap();
}

// I-S1: what a past leader writes is not applied.
#[test]
fn the_fence_of_a_past_leader_does_not_hold() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let session = scene.client.session(seconds(5)).await.unwrap();
        let leadership = Election::new(&session, "e").campaign("ours").await.unwrap();
        let theirs = scene.observer.session(seconds(60)).await.unwrap();
        let next = Election::new(&theirs, "e");
        let mut next = pin!(next.campaign("theirs"));
        assert!(poll_once(next.as_mut()).await.is_none());
        scene.cut_off(&world, true);
        let mut lost = pin!(leadership.lost());
        // Case 20: told by the local deadline, and before another one leads.
        let deadline = session.lease().valid_until();
        let told = or(async { Some(lost.as_mut().await) }, async {
            let _ = next.as_mut().await;
            None
        });
        assert_eq!(reason(told.await.unwrap()), LossReason::DeadlinePassed);
        assert!(world.now() <= deadline.max(session.lease().valid_until()));
        assert!(!leadership.is_valid());
        let next = next.await.unwrap();
        scene.cut_off(&world, false);
        world.sleep(seconds(30)).await;
        let write = put("state", "past");
        let done = scene.client.txn().when([leadership.fence()]).then([write]).await.unwrap();
        assert!(!done.succeeded);
        let error = leadership.proclaim("past").await.unwrap_err();
        assert_eq!(reason(error), LossReason::DeadlinePassed);
        assert!(next.is_valid());
        assert_eq!(candidates(&scene.observer).await, ["theirs"]);
    })
    .unwrap();
}

// Case 18
#[test]
fn a_candidate_does_not_wait_for_elections_below_its_name() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let theirs = scene.observer.session(seconds(60)).await.unwrap();
        let below = Election::new(&theirs, "e/sub").campaign("sub").await.unwrap();
        for n in 0..40 {
            scene.observer.put(format!("e/sub/{n:x}"), "").await.unwrap();
        }
        let session = scene.client.session(seconds(60)).await.unwrap();
        let election = Election::new(&session, "e");
        let leadership = election.try_campaign("ours").await.unwrap().unwrap();
        assert_eq!(election.leader().await.unwrap().unwrap().value(), "ours");
        leadership.resign().await.unwrap();
        let leadership = election.campaign("ours").await.unwrap();
        assert!(below.is_valid());
        let other = Election::new(&theirs, "e");
        let mut waiting = pin!(other.campaign("next"));
        assert!(poll_once(waiting.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        leadership.resign().await.unwrap();
        assert!(waiting.await.unwrap().is_valid());
    })
    .unwrap();
}

// X36, X21: those that servers run take part.
#[test]
fn elections_within_servers_are_the_same() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let lease = scene.observer.grant(seconds(600)).await.unwrap().id;
        let session = scene.client.session(seconds(60)).await.unwrap();
        let election = Election::new(&session, "e");
        let services = scene.observer.raw();
        for _ in 0..3 {
            let theirs = services.campaign("e", lease, "theirs").await.unwrap().elected;
            let mut ours = pin!(election.campaign("ours"));
            assert!(poll_once(ours.as_mut()).await.is_none());
            world.sleep(seconds(1)).await;
            assert_eq!(election.leader().await.unwrap().unwrap().value(), "theirs");
            services.resign(theirs).await.unwrap();
            let ours = ours.await.unwrap();
            assert_eq!(services.leader("e").await.unwrap().kv.value, "ours");
            let mut next = pin!(services.campaign("e", lease, "theirs").send());
            assert!(poll_once(next.as_mut()).await.is_none());
            world.sleep(seconds(1)).await;
            ours.resign().await.unwrap();
            let theirs = next.await.unwrap().elected;
            services.resign(theirs).await.unwrap();
        }
    })
    .unwrap();
}

// I-S5: a session that is granted anew is another candidate.
#[test]
fn a_session_that_is_granted_anew_leads_no_more() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let begin = scene.client.session(seconds(5)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        let leadership = Election::new(&session, "e").campaign("ours").await.unwrap();
        let mut lost = pin!(leadership.lost());
        assert!(poll_once(lost.as_mut()).await.is_none());
        scene.observer.revoke(session.id()).await.unwrap();
        assert_eq!(reason(lost.await), LossReason::Expired);
        world.sleep(seconds(10)).await;
        assert!(session.is_valid() && !leadership.is_valid());
        let again = Election::new(&session, "e").campaign("ours").await.unwrap();
        assert!(again.is_valid() && again.key() != leadership.key());
        drop(leadership);
        world.sleep(seconds(1)).await;
        assert!(again.is_valid());
    })
    .unwrap();
}

#[test]
fn a_closed_client_ends_all_of_it() {
    run(1, |world| async move {
        let scene = scene(&world).await;
        let Two { leader, session, election, .. } = two(&scene).await;
        let own = Election::new(&session, "other").campaign("ours").await.unwrap();
        let mut waiting = pin!(election.campaign("ours"));
        assert!(poll_once(waiting.as_mut()).await.is_none());
        world.sleep(seconds(1)).await;
        scene.client.close().await;
        assert_eq!(reason(waiting.await.unwrap_err()), LossReason::Closed);
        assert_eq!(reason(own.lost().await), LossReason::Closed);
        assert_eq!(reason(own.proclaim("x").await.unwrap_err()), LossReason::Closed);
        assert!(own.resign().await.is_err());
        drop(own);
        assert_eq!(scene.host.tasks(), 0);
        assert!(leader.is_valid());
    })
    .unwrap();
}
