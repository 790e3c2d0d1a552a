//! Mirrors between two simulated clusters, in scripts: what is applied, and how it goes on.
#![allow(clippy::unwrap_used)]

mod mirror_support;

use etcd3::recipes::mirror::{Mirror, MirrorError, Occupied, Step, SyncItem, Syncer};
use etcd3::{KeyRange, put};
use etcd3_sim::{Cut, CutLater, Direction, Reachability, World, run};
use futures_lite::future::{poll_once, zip};
use mirror_support::{FROM, POSITION, Scene, TO, kinds, next, pairs, until};
use std::collections::BTreeSet;
use std::time::Duration;

fn script<F: Future<Output = ()>>(seed: u64, program: impl FnOnce(World, Scene) -> F) {
    run(seed, |world| {
        let scene = Scene::new(&world);
        program(world, scene)
    })
    .unwrap();
}

// Y4, D-05: the base at one revision, then what comes after it, each revision alone.
#[test]
fn a_base_at_one_revision_then_every_later_one() {
    script(1, |_, scene| async move {
        for n in 0..40 {
            scene.put(&format!("{n:02}"), "base").await;
        }
        let base = scene.writer.put("elsewhere", "").await.unwrap().header.revision;
        let mut syncer = Syncer::new(&scene.from, etcd3::prefix(FROM));
        assert_eq!(syncer.next().await.unwrap(), SyncItem::Listing);
        let (mut parts, mut keys) = (Vec::<KeyRange>::new(), BTreeSet::new());
        let position = loop {
            assert_eq!(syncer.position(), None);
            match syncer.next().await.unwrap() {
                SyncItem::Page { range, pairs } => {
                    assert!(pairs.iter().all(|pair| range.contains(&pair.key)));
                    keys.extend(pairs.into_iter().map(|pair| pair.key));
                    parts.push(range);
                }
                SyncItem::Synced(position) => break position,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((position.revision, keys.len()), (base + 1, 40));
        assert_eq!(syncer.position(), Some(position));
        // The parts follow each other, from the first key of the range to its end.
        assert_eq!(parts[0].start(), etcd3::prefix(FROM).start());
        assert_eq!(parts.last().unwrap().range_end(), etcd3::prefix(FROM).range_end());
        assert!(parts.windows(2).all(|two| two[0].range_end() == two[1].start()), "{parts:?}");
        let both = [put("app/a", "1"), put("app/b", "2")];
        let first = scene.writer.txn().then(both).await.unwrap().header.revision;
        let second = scene.put("a", "3").await;
        for (revision, count) in [(first, 2), (second, 1)] {
            let SyncItem::Revision { events, position } = syncer.next().await.unwrap() else {
                panic!("no revision");
            };
            assert!(events.iter().all(|event| event.revision() == revision));
            assert_eq!((events.len(), position.revision), (count, revision + 1));
            assert_eq!(syncer.position(), Some(position));
        }
    });
}

#[test]
fn a_copy_follows_under_another_prefix_and_under_none() {
    for (to, is_empty) in [(TO, false), ("", true)] {
        script(2, |_, scene| async move {
            scene.put("a", "1").await;
            scene.writer.put("other", "not copied").await.unwrap();
            let mirror = Mirror::new(&scene.from, &scene.to, FROM, POSITION);
            let mut mirror =
                if is_empty { mirror.no_dest_prefix() } else { mirror.dest_prefix(TO) };
            until(&mut mirror, 3).await;
            assert_eq!(pairs(&scene.reader, &format!("{to}a")).await.len(), 1);
            scene.put("b", "2").await;
            let last = scene.delete("a").await;
            let steps = until(&mut mirror, last).await;
            assert_eq!(kinds(&steps), [Step::Revision(last - 1), Step::Revision(last)]);
            let mut copy = pairs(&scene.reader, to).await;
            copy.remove(POSITION);
            assert_eq!(copy, pairs(&scene.writer, FROM).await);
        });
    }
}

// I-D3, D-06: what was written while no mirror was there is applied by the next one, once.
#[test]
fn another_mirror_goes_on_where_the_last_one_was() {
    script(3, |world, scene| async move {
        let mut last = scene.put("a", "1").await;
        for life in 0..5 {
            let mut mirror = scene.mirror();
            let steps = until(&mut mirror, last).await;
            assert_eq!(kinds(&steps).contains(&Step::Listing), life == 0, "{steps:?}");
            drop(mirror);
            for n in 0..world.below(20) {
                scene.change(n).await;
            }
            last = scene.put("last", &life.to_string()).await;
        }
        until(&mut scene.mirror(), last).await;
        scene.assert_equal().await;
        assert!(scene.assert_revisions() > 5);
    });
}

// I-D3, G25: compacted while no mirror was there, or while it was cut off.
#[test]
fn a_compaction_meanwhile_is_made_up_for_with_deletions() {
    for restarts in [true, false] {
        script(4, |_, scene| async move {
            for name in ["a", "b", "c"] {
                scene.put(name, "1").await;
            }
            let mut mirror = scene.mirror();
            until(&mut mirror, 4).await;
            if restarts {
                drop(mirror);
                mirror = scene.mirror();
            }
            scene.set_links(&scene.source, Reachability::Refuse);
            scene.delete("a").await;
            scene.put("b", "2").await;
            let last = scene.put("d", "1").await;
            scene.writer.compact(last).await.unwrap();
            scene.set_links(&scene.source, Reachability::Open);
            let steps = until(&mut mirror, last).await;
            let changed = steps
                .iter()
                .fold((0, 0), |(puts, deletes), step| (puts + step.puts, deletes + step.deletes));
            assert!(kinds(&steps).contains(&Step::Compacted), "{steps:?}");
            assert_eq!(changed, (2, 1), "only what is different: {steps:?}");
            scene.assert_equal().await;
        });
    }
}

// The connection to the target is cut at every byte of the answers, or of the requests: no revision
// is applied twice, and none is left out.
#[test]
fn a_lost_answer_of_the_target_is_settled() {
    for direction in [Direction::Down, Direction::Up] {
        for bytes in (0..900).step_by(if cfg!(debug_assertions) { 60 } else { 7 }) {
            script(5, |world, scene| async move {
                let base = scene.put("a", "1").await;
                let mut mirror = scene.mirror();
                until(&mut mirror, base).await;
                for member in 0..scene.target.members() {
                    let cut = CutLater { direction, bytes, cut: Cut::Reset };
                    let at = scene.target.address(member);
                    world.net().cut_later(scene.host.id(), at, cut);
                }
                let mut last = base;
                for n in 0..8 {
                    last = scene.put("a", &n.to_string()).await;
                }
                until(&mut mirror, last).await;
                scene.assert_equal().await;
                assert_eq!(scene.assert_revisions(), 8);
            });
        }
    }
}

#[test]
fn members_of_both_clusters_are_lost() {
    for member in 0..3 {
        script(6, |_, scene| async move {
            let base = scene.put("a", "1").await;
            let mut mirror = scene.mirror();
            until(&mut mirror, base).await;
            let mut last = base;
            for n in 0..30 {
                match n {
                    5 => scene.source.kill(member),
                    10 => scene.target.kill(member),
                    20 => (scene.source.revive(member), scene.target.revive(member)).0,
                    _ => {}
                }
                last = scene.put(&(n % 7).to_string(), &n.to_string()).await;
            }
            until(&mut mirror, last).await;
            scene.assert_equal().await;
            assert!(scene.assert_revisions() >= 30);
        });
    }
}

// What a transaction of the target cannot hold is divided, and said to be.
#[test]
fn a_large_revision_is_divided_only_where_it_must_be() {
    script(7, |_, scene| async move {
        let base = scene.put("a", "1").await;
        let mut mirror = scene.mirror().max_txn_ops(4);
        until(&mut mirror, base).await;
        for (keys, transactions) in [(3, 1), (4, 2), (7, 3)] {
            let all = (0..keys).map(|n| put(format!("{FROM}{n}"), keys.to_string()));
            let revision = scene.writer.txn().then(all).await.unwrap().header.revision;
            let steps = until(&mut mirror, revision).await;
            assert_eq!(kinds(&steps), [Step::Revision(revision)]);
            assert_eq!((steps[0].puts, steps[0].transactions), (keys, transactions));
        }
        // One that ended between two parts does all of the revision again.
        let all = (0..9).map(|n| put(format!("{FROM}{n}"), "divided"));
        let revision = scene.writer.txn().then(all).await.unwrap().header.revision;
        let before = mirror.position().unwrap();
        let parts = scene.target.revision();
        let mut step = Box::pin(mirror.next());
        while scene.target.revision() == parts {
            assert!(poll_once(step.as_mut()).await.is_none());
            scene.world.sleep(Duration::from_micros(10)).await;
        }
        drop(step);
        drop(mirror);
        let mut mirror = scene.mirror();
        let steps = until(&mut mirror, revision).await;
        let resumed = Step::Resumed(before.revision - 1);
        assert_eq!(kinds(&steps), [resumed, Step::Revision(revision)]);
        scene.assert_equal().await;
    });
}

#[test]
fn keys_that_are_there_are_not_deleted_unasked() {
    script(8, |_, scene| async move {
        scene.put("a", "1").await;
        scene.reader.put("copy/old", "old").await.unwrap();
        let refused = scene.mirror().next().await.unwrap_err();
        assert_eq!(refused, MirrorError::Occupied);
        assert_eq!(scene.reader.get(POSITION).await.unwrap().count, 0);
        until(&mut scene.mirror().occupied(Occupied::Keep), 2).await;
        assert_eq!(pairs(&scene.reader, TO).await.len(), 2);
        scene.reader.delete(POSITION).await.unwrap();
        until(&mut scene.mirror().occupied(Occupied::Delete), 2).await;
        scene.assert_equal().await;
        // Another value is not taken for a position.
        scene.reader.put(POSITION, "mine").await.unwrap();
        let refused = scene.mirror().next().await.unwrap_err();
        assert_eq!(refused, MirrorError::NoPosition("mine".into()));
    });
}

// I-D3: where all has to be compared after all, the copy is not the mirror's own yet.
#[test]
fn keys_that_are_there_survive_a_first_revision_that_is_compacted() {
    script(4, |_, scene| async move {
        for n in 0..5 {
            scene.put("a", &n.to_string()).await;
        }
        let last = scene.put("b", "2").await;
        scene.writer.compact(last).await.unwrap();
        scene.reader.put(format!("{TO}mine"), "!").await.unwrap();
        let mut mirror = scene.mirror().first_revision(2);
        let mut told = 0;
        for _ in 0..3 {
            told += u32::from(mirror.next().await == Err(MirrorError::Occupied));
        }
        assert!(told > 1, "each time");
        assert_eq!(pairs(&scene.reader, TO).await.len(), 1);
        assert_eq!(scene.reader.get(POSITION).await.unwrap().count, 0, "nothing was written");
        // Whoever means it says so.
        let mut mirror = scene.mirror().first_revision(2).occupied(Occupied::Delete);
        until(&mut mirror, last).await;
        scene.assert_equal().await;
    });
}

#[test]
fn of_two_mirrors_with_one_position_one_applies_each_revision() {
    script(9, |_, scene| async move {
        let base = scene.put("a", "0").await;
        let (mut one, mut other) = (scene.mirror(), scene.mirror());
        until(&mut one, base).await;
        until(&mut other, base).await;
        let mut overtaken = 0;
        for n in 0..20 {
            let last = scene.put("a", &n.to_string()).await;
            let follow = async |mirror: &mut Mirror| {
                let mut overtaken = 0;
                while mirror.position().is_none_or(|position| position.revision <= last) {
                    match mirror.next().await {
                        Ok(_) => {}
                        Err(MirrorError::Overtaken) => overtaken += 1,
                        Err(error) => panic!("{error}"),
                    }
                }
                overtaken
            };
            let (ours, theirs) = zip(follow(&mut one), follow(&mut other)).await;
            overtaken += ours + theirs;
        }
        scene.assert_equal().await;
        assert_eq!(scene.assert_revisions(), 20);
        assert!(overtaken > 0);
    });
}

// The future is dropped at every point at which it waits.
#[test]
fn what_is_dropped_while_it_is_applied_is_applied_all_the_same() {
    let mut polls = 0;
    loop {
        let (dropped, _) = run(10, |world| async move {
            let scene = Scene::new(&world);
            let mut last = scene.put("a", "0").await;
            let mut mirror = scene.mirror();
            let mut dropped = 0;
            for n in 0..6 {
                let mut left = polls;
                let mut step = Box::pin(mirror.next());
                while poll_once(step.as_mut()).await.is_none() {
                    if left == 0 {
                        dropped += 1;
                        break;
                    }
                    left -= 1;
                    world.sleep(Duration::from_millis(1)).await;
                }
                drop(step);
                last = scene.put("a", &n.to_string()).await;
            }
            until(&mut mirror, last).await;
            scene.assert_equal().await;
            scene.assert_revisions();
            dropped
        })
        .unwrap();
        if dropped == 0 || polls > 60 {
            assert!(polls > 3);
            return;
        }
        polls += 1;
    }
}

// Whatever there is comes by `next` alone, and nothing is left of a mirror that was dropped.
#[test]
fn nothing_is_left_of_a_mirror() {
    script(11, |world, scene| async move {
        let base = scene.put("a", "1").await;
        let mut mirror = scene.mirror();
        until(&mut mirror, base).await;
        scene.put("b", "1").await;
        next(&mut mirror).await;
        drop(mirror);
        scene.from.close().await;
        scene.to.close().await;
        world.sleep(Duration::from_secs(1)).await;
        assert_eq!((scene.host.tasks(), scene.host.connections()), (0, 0));
    });
}

// Y4: in one cluster, a mirror would copy what it writes for ever.
#[test]
fn a_mirror_that_copies_what_it_writes_says_so() {
    for (from, to, position) in [("", "copy/", "mirrors/all"), ("app/", "app/copy/", POSITION)] {
        script(3, |_, scene| async move {
            scene.put("a", "1").await;
            let mut mirror = Mirror::new(&scene.from, &scene.from, from, position).dest_prefix(to);
            mirror = mirror.occupied(Occupied::Keep);
            let mut told = None;
            for _ in 0..30 {
                scene.put("a", "2").await;
                match mirror.next().await {
                    Ok(_) => {}
                    Err(error) => told = told.or(Some(error)),
                }
            }
            assert_eq!(told, Some(MirrorError::Loop), "{from} to {to}");
        });
    }
    // Side by side they are apart.
    script(3, |_, scene| async move {
        scene.put("a", "1").await;
        let mut mirror =
            Mirror::new(&scene.from, &scene.from, FROM, POSITION).dest_prefix("apart/");
        for n in 0..30 {
            scene.put("a", &n.to_string()).await;
            mirror.next().await.unwrap();
        }
    });
}
