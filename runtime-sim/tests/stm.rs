//! Transactions in memory: what they see, what they compare, and what excludes what.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod stm_support;

use etcd3::recipes::{Interrupted, Isolation, Stm, StmError};
use etcd3::{Client, Config, Outcome, prefix};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use stm_support::{ALL, PINNED, Run, number, play};

// X31
#[test]
fn a_transaction_sees_its_own_writes_and_reads_each_key_once() {
    for isolation in ALL {
        play(1, |scene| async move {
            for (key, value) in [("p/a", "1"), ("p/b", "2"), ("p/c", "3"), ("q", "4")] {
                scene.client.put(key, value).await.unwrap();
            }
            let other = scene.client.clone();
            let body = |mut tx: etcd3::recipes::Transaction| {
                let other = other.clone();
                async move {
                    assert_eq!(tx.get("p/a").await?.unwrap(), "1");
                    tx.put("p/a", "10");
                    tx.delete("p/b");
                    tx.put("p/d", "40");
                    assert_eq!(tx.get("p/a").await?.unwrap(), "10");
                    assert_eq!(tx.get("p/b").await?, None);
                    let pairs = tx.range(prefix("p/")).await?;
                    let expected = [("p/a", "10"), ("p/c", "3"), ("p/d", "40")];
                    let expected = expected.map(|(k, v)| (k.into(), v.into()));
                    assert_eq!(pairs, expected);
                    let many = tx.get_many(["q", "p/b", "q", "none", "p/c"]).await?;
                    let values: Vec<_> = many.iter().map(|v| v.as_deref()).collect();
                    let four: Option<&[u8]> = Some(b"4");
                    assert_eq!(values, [four, None, four, None, Some(b"3")]);
                    assert!(tx.rev("p/a").await? > 0 && tx.rev("none").await? == 0);
                    // What another one writes now is not seen.
                    other.put("q", "5").await.unwrap();
                    assert_eq!(tx.get("q").await?.unwrap(), "4");
                    assert_eq!(tx.range(prefix("p/")).await?.len(), 3);
                    // Not in a range either that is read only now.
                    other.delete("p/c").await.unwrap();
                    assert_eq!(tx.range(prefix("q")).await?, [("q".into(), "4".into())]);
                    assert_eq!(tx.range(prefix("p")).await?.len(), 3);
                    Ok::<_, Interrupted>(())
                }
            };
            let run = scene.stm.clone().isolation(isolation).max_attempts(1).run(body).await;
            if isolation == Isolation::ReadCommitted {
                assert_eq!(run.unwrap().attempts, 1);
                let values = [scene.value("p/a").await, scene.value("p/b").await];
                assert_eq!(values, [Some("10".to_owned()), None]);
            } else {
                assert_eq!(run.unwrap_err(), StmError::Contended { attempts: 1 });
                assert_eq!(scene.value("p/a").await.unwrap(), "1");
            }
        });
    }
}

// CONC-028: no keys, no request.
#[test]
fn without_keys_nothing_is_asked() {
    play(1, |scene| async move {
        scene.etcd.kill(0);
        for isolation in ALL {
            let run: Run<_> = scene
                .stm
                .clone()
                .isolation(isolation)
                .run(|mut tx| async move { tx.get_many::<&str>([]).await })
                .await;
            let done = run.unwrap();
            assert_eq!((done.value.len(), done.revision, done.attempts), (0, 0, 1));
        }
    });
}

/// Two accounts of which one may be emptied, as long as the other one is not. Each of the two
/// reads both, and then empties its own.
async fn skew(client: &Client, stm: &Stm) -> (bool, bool) {
    client.put("a", "1").await.unwrap();
    client.put("b", "1").await.unwrap();
    let second = async || -> Run<()> {
        stm.run(|mut tx| async move {
            if number(&mut tx, "a").await? + number(&mut tx, "b").await? == 2 {
                tx.put("b", "0");
            }
            Ok(())
        })
        .await
    };
    let is_first = Cell::new(true);
    let (second, is_first) = (&second, &is_first);
    let first: Run<()> = stm
        .run(|mut tx| async move {
            let both = number(&mut tx, "a").await? + number(&mut tx, "b").await?;
            if is_first.replace(false) {
                second().await.unwrap();
            }
            if both == 2 {
                tx.put("a", "0");
            }
            Ok(())
        })
        .await;
    first.unwrap();
    let is_empty = async |key| client.get(key).await.unwrap().value_str() == Some("0");
    (is_empty("a").await, is_empty("b").await)
}

// X34: keys that were read by name.
#[test]
fn write_skew_appears_at_read_committed_alone() {
    for isolation in ALL {
        let emptied = play(3, |scene| async move {
            skew(&scene.client, &scene.stm.clone().isolation(isolation)).await
        });
        let is_allowed = isolation == Isolation::ReadCommitted;
        assert_eq!(emptied, (is_allowed, true), "{isolation:?}");
    }
}

// X34: each of two adds a key if it finds none; keys that are not there cannot be compared by name.
#[test]
fn phantoms_are_noticed_where_all_is_read_at_one_revision() {
    for isolation in ALL {
        let found = play(3, |scene| async move {
            let stm = scene.stm.clone().isolation(isolation);
            let is_first = Cell::new(true);
            let (stm, is_first) = (&stm, &is_first);
            let run: Run<()> = stm
                .run(|mut tx| async move {
                    let is_free = tx.range(prefix("room/")).await?.is_empty();
                    if is_first.replace(false) {
                        let other: Run<()> = stm
                            .run(|mut tx| async move {
                                if tx.range(prefix("room/")).await?.is_empty() {
                                    tx.put("room/2", "");
                                }
                                Ok(())
                            })
                            .await;
                        other.unwrap();
                    }
                    if is_free {
                        tx.put("room/1", "");
                    }
                    Ok(())
                })
                .await;
            run.unwrap();
            scene.client.get(prefix("room/")).await.unwrap().count
        });
        let expected = if PINNED.contains(&isolation) { 1 } else { 2 };
        assert_eq!(found, expected, "{isolation:?}");
    }
}

/// Runs a transaction that reads a range and writes, and meanwhile this; returns its attempts.
fn attempts_with(isolation: Isolation, meanwhile: impl AsyncFn(&Client)) -> u32 {
    play(3, |scene| async move {
        for key in ["r/1", "r/3", "other"] {
            scene.client.put(key, "").await.unwrap();
        }
        let is_first = Cell::new(true);
        let (client, is_first, meanwhile) = (&scene.client, &is_first, &meanwhile);
        let stm = scene.stm.clone().isolation(isolation);
        let run: Run<()> = stm
            .run(|mut tx| async move {
                tx.range(prefix("r/")).await?;
                if is_first.replace(false) {
                    meanwhile(client).await;
                }
                tx.put("sum", "");
                Ok(())
            })
            .await;
        run.unwrap().attempts
    })
}

// X34: keys of a range that were added, changed, deleted, and deleted and added again.
#[test]
fn a_range_is_validated_as_its_level_says() {
    for isolation in ALL {
        let (adds, changes) = match isolation {
            Isolation::RepeatableReads => (1, 2),
            Isolation::ReadCommitted => (1, 1),
            _ => (2, 2),
        };
        let added = attempts_with(isolation, async |client| {
            client.put("r/2", "").await.unwrap();
        });
        let written = attempts_with(isolation, async |client| {
            client.put("r/1", "").await.unwrap();
        });
        let deleted = attempts_with(isolation, async |client| {
            client.delete("r/3").await.unwrap();
        });
        let replaced = attempts_with(isolation, async |client| {
            client.delete("r/3").await.unwrap();
            client.put("r/3", "").await.unwrap();
        });
        let untouched = attempts_with(isolation, async |client| {
            client.put("other", "").await.unwrap();
        });
        let attempts = (added, written, deleted, replaced, untouched);
        assert_eq!(attempts, (adds, changes, changes, changes, 1), "{isolation:?}");
    }
}

// X34, S-11: what is written without being read.
#[test]
fn a_snapshot_respects_what_others_wrote_to_keys_that_it_only_writes() {
    for isolation in ALL {
        let attempts = play(3, |scene| async move {
            scene.client.put("read", "").await.unwrap();
            let is_first = Cell::new(true);
            let (client, is_first) = (&scene.client, &is_first);
            let stm = scene.stm.clone().isolation(isolation);
            let run: Run<()> = stm
                .run(|mut tx| async move {
                    tx.get("read").await?;
                    if is_first.replace(false) {
                        client.put("written", "theirs").await.unwrap();
                    }
                    tx.put("written", "ours");
                    Ok(())
                })
                .await;
            assert_eq!(scene.value("written").await.unwrap(), "ours");
            run.unwrap().attempts
        });
        let expected = if isolation == Isolation::SerializableSnapshot { 2 } else { 1 };
        assert_eq!(attempts, expected, "{isolation:?}");
    }
}

// X32: what a closure sees belongs together while it runs, also after a conflict, when some is read
// ahead.
#[test]
fn a_closure_sees_one_revision() {
    for isolation in PINNED {
        play(3, |scene| async move {
            let both = async |n: &str| {
                let ops = [etcd3::put("x", n), etcd3::put("y", n), etcd3::put("z", n)];
                scene.client.txn().then(ops).await.unwrap();
            };
            both("0").await;
            let run_number = Cell::new(0);
            let (both, run_number) = (&both, &run_number);
            let stm = scene.stm.clone().isolation(isolation).max_attempts(3);
            let run: Run<()> = stm
                .run(|mut tx| async move {
                    run_number.set(run_number.get() + 1);
                    let attempt = run_number.get();
                    if attempt == 1 {
                        number(&mut tx, "x").await?;
                        number(&mut tx, "y").await?;
                        both("1").await;
                    } else {
                        // The second attempt has `x` and `y` of before this, and reads `z` first.
                        if attempt == 2 {
                            both("2").await;
                        }
                        let z = number(&mut tx, "z").await?;
                        let x = number(&mut tx, "x").await?;
                        let range = tx.range("y"..="z").await?;
                        assert!(range.iter().all(|(_, v)| *v == z.to_string()), "{range:?}, {z}");
                        assert_eq!(x, z);
                    }
                    tx.put("done", "");
                    Ok(())
                })
                .await;
            assert_eq!(run.unwrap().attempts, 3);
        });
    }
}

// X35, K37: one that only reads belongs to one moment, or is validated.
#[test]
fn what_only_reads_is_validated_where_its_reads_are_of_several_revisions() {
    for isolation in ALL {
        let (attempts, revisions) = play(3, |scene| async move {
            let begin = scene.client.put("a", "1").await.unwrap().header.revision;
            let is_first = Cell::new(true);
            let (client, is_first) = (&scene.client, &is_first);
            let stm = scene.stm.clone().isolation(isolation);
            let run: Run<_> = stm
                .run(|mut tx| async move {
                    let a = number(&mut tx, "a").await?;
                    if is_first.replace(false) {
                        let both = [etcd3::put("a", "2"), etcd3::put("b", "2")];
                        client.txn().then(both).await.unwrap();
                    }
                    Ok((a, number(&mut tx, "b").await?))
                })
                .await;
            let run = run.unwrap();
            let seen = match isolation {
                Isolation::ReadCommitted => (1, 2),
                Isolation::RepeatableReads => (2, 2),
                _ => (1, 0),
            };
            assert_eq!(run.value, seen, "{isolation:?}");
            (run.attempts, run.revision - begin)
        });
        let expected = match isolation {
            Isolation::RepeatableReads => (2, 1),
            Isolation::ReadCommitted => (1, 1),
            _ => (1, 0),
        };
        assert_eq!((attempts, revisions), expected, "{isolation:?}");
    }
}

#[derive(Debug, PartialEq)]
enum Refused {
    Interrupted(Interrupted),
    Broke(i64),
}

impl From<Interrupted> for Refused {
    fn from(interrupted: Interrupted) -> Self {
        Self::Interrupted(interrupted)
    }
}

// X35
#[test]
fn a_closure_that_gives_up_says_why_and_writes_nothing() {
    for isolation in ALL {
        play(1, |scene| async move {
            let stm = scene.stm.clone().isolation(isolation);
            let run = stm
                .run(|mut tx| async move {
                    tx.put("foo", "1");
                    let has = number(&mut tx, "foo").await?;
                    tx.put("bar", "1");
                    Err::<(), _>(Refused::Broke(has))
                })
                .await
                .unwrap_err();
            assert_eq!(
                (run.aborted(), run.outcome()),
                (Some(&Refused::Broke(1)), Outcome::Rejected)
            );
            assert_eq!((scene.value("foo").await, scene.value("bar").await), (None, None));
        });
    }
}

#[test]
fn a_panic_is_that_of_the_caller_and_writes_nothing() {
    let (sent, result) = play(1, |scene| async move {
        let stm = scene.stm.clone();
        let revision = scene.etcd.revision();
        let mut run = std::pin::pin!(stm.run(|mut tx| async move {
            tx.put("foo", "1");
            tx.get("begun").await?;
            assert!(tx.base_revision().is_none(), "on purpose");
            Ok::<_, Interrupted>(())
        }));
        let polled = std::future::poll_fn(|cx| {
            let poll = catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx)));
            match poll {
                Ok(std::task::Poll::Pending) => std::task::Poll::Pending,
                other => std::task::Poll::Ready(other.is_err()),
            }
        });
        let panicked = polled.await;
        // The client goes on.
        assert_eq!(scene.value("foo").await, None);
        (scene.etcd.revision() - revision, panicked)
    });
    assert_eq!((sent, result), (0, true));
}

// K31
#[test]
fn a_transaction_that_is_too_large_says_so() {
    play(1, |scene| async move {
        let keys: Vec<String> = (0..150).map(|n| format!("many/{n:03}")).collect();
        for key in &keys {
            scene.client.put(key, "").await.unwrap();
        }
        let keys = &keys;
        let reads: Run<()> = scene
            .stm
            .run(|mut tx| async move {
                tx.range(prefix("many/")).await?;
                tx.put("sum", "");
                Ok(())
            })
            .await;
        let error = reads.unwrap_err();
        // The pairs, the range, and the key that is only written.
        assert!(matches!(error, StmError::TooManyOps { compares: 152, writes: 1, .. }), "{error}");
        assert!(error.to_string().contains("152 compares, 1 writes"));
        let writes: Run<()> = scene
            .stm
            .run(|mut tx| async move {
                for key in keys {
                    tx.put(key, "1");
                }
                Ok(())
            })
            .await;
        assert!(matches!(writes, Err(StmError::TooManyOps { compares: 0, writes: 150, .. })));
        // What only reads at one revision needs no compares.
        let audit: Run<usize> = scene
            .stm
            .run(|mut tx| async move {
                let found = tx.get_many(keys).await?.iter().flatten().count();
                Ok(found + tx.range(prefix("many/")).await?.len())
            })
            .await;
        assert_eq!(audit.unwrap().value, 300);
        // Nor does what is not compared.
        let stm = scene.stm.clone().isolation(Isolation::ReadCommitted);
        let run: Run<()> = stm
            .run(|mut tx| async move {
                tx.get_many(keys).await?;
                tx.put("sum", "");
                Ok(())
            })
            .await;
        assert_eq!(run.unwrap().attempts, 1);
    });
}

// What a commit reads that meets a conflict stays within the limit of an answer, which would leave
// its outcome unknown.
#[test]
fn large_values_are_not_read_ahead() {
    play(1, |scene| async move {
        for key in ["a", "b", "c"] {
            scene.client.put(key, "x".repeat(1_000_000)).await.unwrap();
        }
        let config = Config::new(scene.etcd.endpoints()).max_response_bytes(1_500_000);
        let client = scene.host.client(config).unwrap();
        for isolation in [Isolation::Serializable, Isolation::RepeatableReads] {
            let is_first = Cell::new(true);
            let (other, is_first) = (&scene.client, &is_first);
            let run: Run<()> = Stm::new(&client)
                .isolation(isolation)
                .run(|mut tx| async move {
                    for key in ["a", "b", "c"] {
                        tx.get(key).await?;
                    }
                    if is_first.replace(false) {
                        other.put("a", "x".repeat(1_000_000)).await.unwrap();
                    }
                    tx.put("sum", "");
                    Ok(())
                })
                .await;
            assert_eq!(run.unwrap().attempts, 2, "{isolation:?}");
        }
    });
}

// WithPrefetch
#[test]
fn keys_are_read_ahead_by_one_call() {
    play(3, |scene| async move {
        scene.client.put("a", "1").await.unwrap();
        scene.client.put("b", "2").await.unwrap();
        let stm = scene.stm.clone().prefetch(["a", "b"]);
        let etcd = &scene.etcd;
        let run: Run<_> = stm
            .run(|mut tx| async move {
                // Nobody is left to ask.
                (0..3).for_each(|member| etcd.kill(member));
                Ok((number(&mut tx, "a").await?, number(&mut tx, "b").await?))
            })
            .await;
        assert_eq!(run.unwrap().value, (1, 2));
    });
}
