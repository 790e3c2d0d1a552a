//! Transactions in memory while things go wrong: conflicts, lost answers, members that lag behind,
//! compactions, and runs that are dropped.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod stm_support;

use etcd3::recipes::{Interrupted, Isolation, Stm, StmError, StmToken, TokenState, Transaction};
use etcd3::{Bytes, Client, Config, Outcome};
use etcd3_sim::history::Change;
use etcd3_sim::{ClusterConfig, Direction, Personality, run};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use stm_support::{ALL, PINNED, Run, number, play, play_with};

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Adds one to a counter, and notes it in a second key.
async fn count(mut tx: Transaction) -> Result<i64, Interrupted> {
    let next = number(&mut tx, "counter").await? + 1;
    tx.put("counter", next.to_string());
    tx.put("copy", next.to_string());
    Ok(next)
}

// CONC-026 in virtual time: a deletion under way, of a key that was read.
#[test]
fn a_key_that_was_read_and_is_deleted_meanwhile_is_a_conflict() {
    for isolation in [Isolation::SerializableSnapshot, Isolation::RepeatableReads] {
        play(3, |scene| async move {
            scene.client.put("foo", "bar").await.unwrap();
            let runs = Cell::new(0);
            let (runs, client) = (&runs, &scene.client);
            let run: Run<_> = scene
                .stm
                .clone()
                .isolation(isolation)
                .run(|mut tx| async move {
                    runs.set(runs.get() + 1);
                    let found = tx.get("foo").await?;
                    if runs.get() == 1 {
                        client.delete("foo").await.unwrap();
                    }
                    tx.put("foo2", "bar2");
                    Ok(found)
                })
                .await;
            let done = run.unwrap();
            assert_eq!((done.value, done.attempts, runs.get()), (None, 2, 2));
            assert_eq!(scene.value("foo2").await.as_deref(), Some("bar2"));
        });
    }
}

// X30: bounded, and not faster and faster.
#[test]
fn attempts_are_bounded_and_spread() {
    for (most, bound) in [(0, 1), (1, 1), (7, 7)] {
        play(1, |scene| async move {
            let client = &scene.client;
            let run: Run<()> = scene
                .stm
                .clone()
                .max_attempts(most)
                .backoff(seconds(1), seconds(4))
                .run(|mut tx| async move {
                    tx.get("counter").await?;
                    client.put("counter", "").await.unwrap();
                    tx.put("counter", "mine");
                    Ok(())
                })
                .await;
            let error = run.unwrap_err();
            assert_eq!(error, StmError::Contended { attempts: bound });
            assert!(error.to_string().contains(&format!("all of {bound} attempts")));
            assert_eq!(scene.value("counter").await.as_deref(), Some(""));
        });
    }
    let waits: Vec<Duration> = (0..8)
        .map(|seed| {
            play_with(seed, 1, |scene| async move {
                let began = scene.world.now();
                let client = &scene.client;
                let stm = scene.stm.clone().max_attempts(6).backoff(seconds(1), seconds(4));
                let run: Run<()> = stm
                    .run(|mut tx| async move {
                        tx.get("counter").await?;
                        client.put("counter", "").await.unwrap();
                        tx.put("counter", "mine");
                        Ok(())
                    })
                    .await;
                run.unwrap_err();
                scene.world.now().saturating_since(began)
            })
        })
        .collect();
    // Four waits, of up to 1, 2, 4 and 4 seconds.
    assert!(waits.iter().all(|wait| *wait < seconds(12)), "{waits:?}");
    let longest = waits.iter().max().unwrap();
    assert!(*longest > seconds(3) && waits.iter().any(|wait| *wait + seconds(1) < *longest));
}

// I-S7: the commit left, and its answer is lost: applied once, and told as unknown.
#[test]
fn a_commit_whose_answer_is_lost_is_unknown_and_not_made_again() {
    for isolation in ALL {
        for direction in [Direction::Up, Direction::Down] {
            let is_applied = direction == Direction::Down;
            play(1, |scene| async move {
                let runs = Cell::new(0);
                let (runs, it) = (&runs, &scene);
                let token = StmToken::new("token");
                let stm = scene.stm.clone().isolation(isolation).token(token.clone());
                let run: Run<()> = stm
                    .run(|mut tx| async move {
                        runs.set(runs.get() + 1);
                        let next = number(&mut tx, "counter").await? + 1;
                        tx.put("counter", next.to_string());
                        it.lose(direction);
                        Ok(())
                    })
                    .await;
                let error = run.unwrap_err();
                assert_eq!((error.outcome(), runs.get()), (Outcome::Unknown, 1), "{error}");
                let StmError::Unknown { attempts: 1, token: Some(ours), .. } = error else {
                    panic!("{error}");
                };
                scene.world.sleep(seconds(30)).await;
                let state = ours.settle(&scene.client).await.unwrap();
                let again: Run<()> = stm
                    .run(|mut tx| async move {
                        tx.put("counter", "never");
                        Ok(())
                    })
                    .await;
                assert_eq!(again.unwrap_err(), StmError::TokenUsed(state));
                assert_eq!(scene.value("counter").await.is_some(), is_applied);
                match state {
                    TokenState::Committed { revision } => {
                        let counter = scene.client.get("counter").await.unwrap();
                        assert_eq!(counter.kvs[0].mod_revision, revision);
                        assert!(is_applied);
                    }
                    TokenState::Void => assert!(!is_applied),
                }
                token.delete(&scene.client).await.unwrap();
                assert_eq!(scene.value("token").await, None);
            });
        }
    }
}

// I-S7: a request that is delayed, and arrives after somebody has asked what became of it.
#[test]
fn a_commit_that_is_settled_as_void_does_not_come_to_pass_later() {
    let (said, found) = run(1, |world| async move {
        let etcd = world.etcd(ClusterConfig::new(1, Personality::of(3, 5, 30), 1));
        let (slow, other) = (world.host(), world.host());
        let config = || Config::new(etcd.endpoints()).request_timeout(seconds(3));
        let (client, observer) = (slow.client(config()).unwrap(), other.client(config()).unwrap());
        client.put("begun", "").await.unwrap();
        let token = StmToken::new("token");
        let link = world.net().link(slow.id(), etcd.address(0));
        let (net, at) = (world.net(), etcd.address(0));
        let stm = Stm::new(&client).token(token.clone());
        let (host, link) = (&slow, &link);
        let run: Run<()> = stm
            .run(|mut tx| async move {
                let count = number(&mut tx, "counter").await? + 1;
                tx.put("counter", count.to_string());
                let mut stalled = *link;
                stalled.stall_up = true;
                net.set_link(host.id(), at, stalled);
                Ok(())
            })
            .await;
        assert_eq!(run.unwrap_err().outcome(), Outcome::Unknown);
        let told = token.settle(&observer).await.unwrap();
        // What was sent arrives now; later settling says the same.
        net.set_link(slow.id(), at, *link);
        world.sleep(seconds(10)).await;
        assert_eq!(token.settle(&observer).await.unwrap(), told);
        let counter = observer.get("counter").await.unwrap().count;
        (told, counter)
    })
    .unwrap()
    .0;
    assert_eq!((said, found), (TokenState::Void, 0));
}

#[test]
fn what_settling_writes_may_itself_be_lost() {
    for direction in [Direction::Up, Direction::Down] {
        play(1, |scene| async move {
            let token = StmToken::new("token");
            scene.lose(direction);
            assert_eq!(token.settle(&scene.client).await.unwrap(), TokenState::Void);
            assert_eq!(token.settle(&scene.client).await.unwrap(), TokenState::Void);
            let run: Run<_> = scene.stm.clone().token(token).run(count).await;
            assert_eq!(run.unwrap_err(), StmError::TokenUsed(TokenState::Void));
        });
    }
}

// R-08, X32, G3: the second read meets a member that has not come to the base yet.
#[test]
fn a_member_that_lags_behind_is_no_error() {
    for isolation in ALL {
        for several in [false, true] {
            play(3, |scene| async move {
                scene.etcd.hold_back(0);
                scene.client.set_endpoints([scene.etcd.endpoints()[1].clone()]).unwrap();
                scene.client.put("a", "1").await.unwrap();
                scene.client.put("b", "1").await.unwrap();
                let etcd = scene.etcd.clone();
                let world = scene.world.clone();
                scene.world.host().spawn(async move {
                    world.sleep(seconds(5)).await;
                    etcd.keep_up(0);
                });
                let (client, lagging) = (&scene.client, &scene.etcd.endpoints()[0].clone());
                let stm = scene.stm.clone().isolation(isolation).max_attempts(1);
                let run: Run<_> = stm
                    .run(|mut tx| async move {
                        let a = number(&mut tx, "a").await?;
                        client.set_endpoints([lagging.clone()]).unwrap();
                        let keys = if several { &["b", "c"][..] } else { &["b"] };
                        let b = tx.get_many(keys.iter().copied()).await?[0].clone();
                        let range = tx.range("b".."bb").await?;
                        assert_eq!(range, [(Bytes::from("b"), b.unwrap())]);
                        tx.put("c", "2");
                        Ok(a)
                    })
                    .await;
                assert_eq!(run.unwrap().value, 1, "{isolation:?}");
            });
        }
    }
}

// X33, corrected: no read shows what a member has that lags behind.
#[test]
fn no_read_is_stale() {
    for isolation in ALL {
        for several in [false, true] {
            play(3, |scene| async move {
                let [lagging, other] =
                    [0, 1].map(|member| [scene.etcd.endpoints()[member].clone()]);
                scene.client.put("a", "1").await.unwrap();
                scene.etcd.hold_back(0);
                scene.client.set_endpoints(other).unwrap();
                scene.client.put("a", "2").await.unwrap();
                scene.client.set_endpoints(lagging).unwrap();
                let (etcd, world) = (scene.etcd.clone(), scene.world.clone());
                scene.world.host().spawn(async move {
                    world.sleep(seconds(5)).await;
                    etcd.keep_up(0);
                });
                let stm = scene.stm.clone().isolation(isolation);
                let keys = if several { &["a", "b"][..] } else { &["a"] };
                let run: Run<_> = stm
                    .run(|mut tx| async move {
                        let found = tx.get_many(keys.iter().copied()).await?.remove(0);
                        Ok((found, tx.range("a"..="b").await?.len()))
                    })
                    .await;
                assert_eq!(run.unwrap().value, (Some(Bytes::from("2")), 1), "{isolation:?}");
            });
        }
    }
}

// K37, X35: what a member has that lags behind does not validate what was read.
#[test]
fn reads_are_not_validated_by_what_one_member_has() {
    play(3, |scene| async move {
        let [lagging, other] = [0, 1].map(|member| [scene.etcd.endpoints()[member].clone()]);
        scene.client.put("a", "1").await.unwrap();
        scene.world.sleep(seconds(1)).await;
        let is_first = Cell::new(true);
        let (it, is_first, other, lagging) = (&scene, &is_first, &other, &lagging);
        let stm = scene.stm.clone().isolation(Isolation::RepeatableReads);
        let run: Run<_> = stm
            .run(|mut tx| async move {
                let a = number(&mut tx, "a").await?;
                if is_first.get() {
                    it.client.put("b", "1").await.unwrap();
                }
                let b = number(&mut tx, "b").await?;
                if is_first.replace(false) {
                    it.world.sleep(seconds(1)).await;
                    it.etcd.hold_back(0);
                    it.client.set_endpoints(other.clone()).unwrap();
                    it.client.put("a", "2").await.unwrap();
                    it.client.set_endpoints(lagging.clone()).unwrap();
                    let (etcd, world) = (it.etcd.clone(), it.world.clone());
                    it.world.host().spawn(async move {
                        world.sleep(seconds(5)).await;
                        etcd.keep_up(0);
                    });
                }
                Ok((a, b))
            })
            .await;
        let done = run.unwrap();
        assert_eq!((done.value, done.attempts), ((2, 1), 2));
    });
}

// X32: the revision that all is read at is compacted between two reads.
#[test]
fn a_compaction_of_the_base_begins_the_transaction_anew() {
    for isolation in PINNED {
        play(3, |scene| async move {
            let runs = Cell::new(0);
            let (runs, client) = (&runs, &scene.client);
            let stm = scene.stm.clone().isolation(isolation);
            let run: Run<_> = stm
                .run(|mut tx| async move {
                    runs.set(runs.get() + 1);
                    let a = number(&mut tx, "a").await?;
                    if runs.get() == 1 {
                        let both = [etcd3::put("a", "7"), etcd3::put("b", "7")];
                        let done = client.txn().then(both).await.unwrap();
                        client.compact(done.header.revision).await.unwrap();
                    }
                    let b = number(&mut tx, "b").await;
                    // What the closure makes of it does not matter.
                    let b = if runs.get() == 1 { b.unwrap_or(0) } else { b? };
                    tx.put("sum", (a + b).to_string());
                    Ok(a + b)
                })
                .await;
            let done = run.unwrap();
            assert_eq!((done.value, done.attempts), (14, 2));
            let run: Run<()> = scene
                .stm
                .clone()
                .isolation(isolation)
                .max_attempts(1)
                .run(|mut tx| async move {
                    let base = client.get("a").await.unwrap().header.revision;
                    tx.get("a").await?;
                    assert_eq!(tx.base_revision(), Some(base));
                    client.put("a", "8").await.unwrap();
                    client.compact(base + 1).await.unwrap();
                    tx.get("b").await.map(drop)
                })
                .await;
            assert_eq!(run.unwrap_err(), StmError::Contended { attempts: 1 });
        });
    }
}

// A read that fails ends the run, whatever the closure makes of it, and nothing is written.
#[test]
fn a_read_that_fails_ends_the_run() {
    for isolation in ALL {
        play(1, |scene| async move {
            let etcd = &scene.etcd;
            let run: Run<()> = scene
                .stm
                .clone()
                .isolation(isolation)
                .run(|mut tx| async move {
                    tx.put("written", "");
                    etcd.kill(0);
                    assert!(tx.get("a").await.is_err() && tx.get("a").await.is_err());
                    assert!(tx.range("a".."c").await.is_err());
                    etcd.revive(0);
                    Ok(())
                })
                .await;
            let error = run.unwrap_err();
            assert!(matches!(error, StmError::Call { attempts: 1, .. }), "{error}");
            assert_eq!(error.outcome(), Outcome::Rejected);
            scene.world.sleep(seconds(10)).await;
            assert_eq!(scene.value("written").await, None);
        });
    }
}

/// Polls a future so often, and drops it then; `None` when that was too early.
async fn polled<T>(times: u32, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = times;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// What a run that is dropped does, with one that is in its way.
async fn dropped_run(client: &Client, isolation: Isolation, times: u32) -> (bool, bool) {
    let (is_first, has_ended) = (Cell::new(true), Cell::new(false));
    let (first, ended) = (&is_first, &has_ended);
    let stm = Stm::new(client).isolation(isolation).token(StmToken::new("token"));
    let run = stm.prefetch(["counter"]);
    let run = run.run(|mut tx| async move {
        ended.set(false);
        let next = number(&mut tx, "counter").await? + 1;
        tx.range("r".."s").await?;
        if first.replace(false) {
            client.put("counter", "1").await.unwrap();
        }
        tx.put("counter", next.to_string());
        tx.put("copy", next.to_string());
        ended.set(true);
        Ok::<_, Interrupted>(())
    });
    let is_done = polled(times, run).await.is_some();
    (is_done, has_ended.get())
}

fn written(changes: &[Change]) -> Vec<(&str, &str)> {
    let ours = changes.iter().filter(|it| it.key != "begun");
    ours.map(|it| (&it.key[..], it.value.as_deref().unwrap_or_default())).collect()
}

// Dropped at each await: what was written is a whole transaction or nothing, and nothing at all
// before its closure has ended.
#[test]
fn a_run_that_is_dropped_writes_all_or_nothing() {
    for isolation in ALL {
        let (mut cuts, mut applied) = (0, 0);
        for times in 0.. {
            let is_done = play(1, |scene| async move {
                let (is_done, has_ended) = dropped_run(&scene.client, isolation, times).await;
                scene.world.sleep(seconds(1)).await;
                let soon = scene.etcd.changes();
                scene.world.sleep(seconds(60)).await;
                let changes = scene.etcd.changes();
                assert_eq!(soon, changes, "nothing is written after a while");
                let writes = written(&changes);
                let ours: Vec<_> = writes.iter().filter(|(_, v)| *v != "1").copied().collect();
                let whole = [("copy", "2"), ("counter", "2"), ("token", "committed")];
                let mut sorted = ours.clone();
                sorted.sort_unstable();
                if isolation != Isolation::ReadCommitted {
                    assert!(sorted.is_empty() || sorted == whole, "{times}: {writes:?}");
                    assert!(has_ended || sorted.is_empty(), "{times}: {writes:?}");
                    assert!(!is_done || sorted == whole);
                }
                assert_eq!(scene.host.connections(), 1);
                (is_done, !sorted.is_empty())
            });
            cuts += 1;
            applied += u32::from(is_done.1);
            if is_done.0 {
                break;
            }
        }
        assert!(cuts > 5, "{cuts} places to be dropped at");
        assert!(applied >= 1, "{applied}");
    }
}

#[test]
fn a_closed_client_ends_the_run() {
    play(1, |scene| async move {
        let client = &scene.client;
        let run: Run<()> = scene
            .stm
            .run(|mut tx| async move {
                tx.get("a").await?;
                client.close().await;
                tx.put("a", "");
                Ok(())
            })
            .await;
        let error = run.unwrap_err();
        assert!(error.call().is_some_and(etcd3::Error::is_closed), "{error}");
        assert_eq!(error.outcome(), Outcome::Rejected);
    });
}
