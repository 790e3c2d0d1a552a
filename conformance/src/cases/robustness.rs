//! The rows of etcd's robustness suite: traffic, one fault, and all the checks.
//!
//! Each scene is a small [`torture`]: gRPC's health of every member before and after, traffic for a
//! second, the fault, traffic, then every watch, every listing, every call and every acknowledged
//! write against the log that the members told, each of which has to come to the last revision, and
//! the hashes of all members.

use crate::load::BlockingRuntime;
use crate::torture::{self, Collector, Report, Scene, Schedule, Traffic, Trouble};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3_core::rng::Rng;
use etcd3_lab::etcd::Version;
use etcd3_sim::history::watch::{
    Batch, Delivery, Demands, Kind, Known, Log, Prev, Record, Rule, Start, check,
};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(
        every_watch_keeps_the_guarantees,
        ["ROB-001", "ROB-002", "ROB-003", "ROB-004", "ROB-005"]
    )
    .real("the network between members"),
    case!(watches_go_on_after_a_kill, ["ROB-006", "ROB-007", "ROB-008", "ROB-009"])
        .real("the network between members"),
    case!(calls_fit_the_order, ["ROB-010", "ROB-011", "ROB-013", "ROB-014", "ROB-015"])
        .real("the network between members"),
    case!(kill, ["ROB-017"]).real("the network between members"),
    case!(silent_peers, ["ROB-018"]).any_version().real("the network between members"),
    case!(cut_off_until_a_snapshot, ["ROB-019", "ROB-038"])
        .since(Version::minor(3, 5))
        .real("the network between members"),
    case!(slow_peers, ["ROB-020"]).any_version().real("the network between members"),
    case!(a_scene_that_is_drawn, ["ROB-028"]).any_version().real("the network between members"),
    case!(kill_under_many_writes, ["ROB-031"]).any_version().real("the network between members"),
    case!(kill_of_the_only_member, ["ROB-032"]).any_version().real("processes"),
    case!(the_log_goes_on_at_a_compaction, []),
];

fn small(traffic: Traffic) -> Scene {
    Scene { members: 3, flags: Vec::new(), traffic, writers: 4, watchers: 16, seed: 1 }
}

/// Runs a scene, and demands that nothing is wrong.
async fn run(ctx: &Ctx, scene: Scene, troubles: &[Trouble]) -> Result<Report, BoxError> {
    let (rt, name, etcd) = (Arc::clone(&ctx.rt), ctx.runtime, ctx.etcd.binary()?);
    let schedule = Schedule::These(troubles.to_vec());
    let report = ctx
        .blocking(move || {
            torture::run(&BlockingRuntime::driven(name, rt), &etcd, &scene, &schedule)
        })
        .await?;
    if !report.is_good() {
        return Err(report.to_string().into());
    }
    assert!(report.watches >= 10 && report.events > 100, "{report}");
    Ok(report)
}

/// Demands that a record that is changed so is found to break a rule, and that some can be.
fn found(report: &Report, known: &[Known], rule: Rule, change: impl Fn(&mut Record, &Log) -> bool) {
    let demands = Demands { through: 0, known };
    let mut planted = 0;
    for record in &report.records {
        let mut record = record.clone();
        if change(&mut record, &report.log) {
            planted += 1;
            let verdict = check(&report.log, &record, &demands);
            assert!(verdict.count(rule) > 0, "{rule:?} is not found: {}", record.name);
        }
    }
    assert!(planted > 0, "no record to break {rule:?}");
}

fn batches(record: &mut Record) -> Vec<&mut Batch> {
    let batches = record.deliveries.iter_mut().filter_map(|delivery| match delivery {
        Delivery::Batch(batch) => Some(batch),
        Delivery::Progress(_) | Delivery::Resumed => None,
    });
    batches.collect()
}

/// Finds the places of the batches among what was delivered.
fn places(record: &Record) -> Vec<usize> {
    let deliveries = record.deliveries.iter().enumerate();
    deliveries.filter(|(_, it)| matches!(it, Delivery::Batch(_))).map(|(at, _)| at).collect()
}

async fn every_watch_keeps_the_guarantees(ctx: Ctx) -> CaseResult {
    let report = run(&ctx, small(Traffic::Mixed), &[]).await?;
    found(&report, &[], Rule::Filter, |record, _| {
        record.asked.key = "nothing".into();
        record.asked.range_end = "".into();
        !places(record).is_empty()
    });
    found(&report, &[], Rule::Ordered, |record, _| {
        let places = places(record);
        let [.., a, b] = places[..] else { return false };
        record.deliveries.swap(a, b);
        true
    });
    found(&report, &[], Rule::Unique, |record, _| {
        let Some(last) = places(record).last().copied() else { return false };
        record.deliveries.push(record.deliveries[last].clone());
        true
    });
    found(&report, &[], Rule::Atomic, |record, _| {
        let mut batches = batches(record);
        let torn = batches.iter_mut().find(|batch| {
            let events = &batch.events[..];
            matches!(events, [.., a, b] if a.kv.mod_revision == b.kv.mod_revision)
        });
        torn.is_some_and(|batch| batch.events.pop().is_some())
    });
    found(&report, &[], Rule::Bookmarkable, |record, _| {
        let Some(last) = places(record).last().copied() else { return false };
        let Delivery::Batch(batch) = &record.deliveries[last] else { return false };
        let Some(event) = batch.events.last() else { return false };
        let early = Delivery::Progress(event.kv.mod_revision);
        record.asked.progress_notify = true;
        record.deliveries.insert(last, early);
        true
    });
    Ok(())
}

async fn watches_go_on_after_a_kill(ctx: Ctx) -> CaseResult {
    let report = run(&ctx, small(Traffic::Mixed), &[Trouble::Kill]).await?;
    found(&report, &[], Rule::Resumable, |record, _| {
        let places = places(record);
        let is_fixed = matches!(record.asked.start, Start::At(_));
        let [first, _, ..] = places[..] else { return false };
        is_fixed && matches!(record.deliveries.remove(first), Delivery::Batch(_))
    });
    found(&report, &[], Rule::Reliable, |record, _| {
        let places = places(record);
        let [_, second, _, ..] = places[..] else { return false };
        // Behind a resumption it would be another rule's.
        let has_resumed = record.deliveries.contains(&Delivery::Resumed);
        !has_resumed && matches!(record.deliveries.remove(second), Delivery::Batch(_))
    });
    found(&report, &[], Rule::IsCreate, |record, _| {
        let mut batches = batches(record);
        let Some(batch) = batches.first_mut() else { return false };
        let Some(event) = batch.events.first_mut() else { return false };
        event.is_create = !event.is_create;
        true
    });
    found(&report, &[], Rule::PrevKv, |record, _| {
        if !record.asked.prev_kv {
            return false;
        }
        let mut batches = batches(record);
        let events = batches.iter_mut().flat_map(|batch| &mut batch.events);
        let mut events = events.filter(|event| event.kind == Kind::Put && event.is_create);
        let Some(event) = events.next() else { return false };
        event.prev = Prev::Pair(event.kv.clone());
        true
    });
    Ok(())
}

async fn calls_fit_the_order(ctx: Ctx) -> CaseResult {
    let scene = Scene { writers: 8, ..small(Traffic::Kubernetes) };
    let report = run(&ctx, scene, &[Trouble::Kill, Trouble::Stop]).await?;
    assert!(report.calls > 10 && report.reads > 0, "{report}");
    Ok(())
}

async fn kill(ctx: Ctx) -> CaseResult {
    run(&ctx, small(Traffic::Mixed), &[Trouble::Kill]).await.map(drop)
}

async fn silent_peers(ctx: Ctx) -> CaseResult {
    run(&ctx, small(Traffic::Mixed), &[Trouble::PeerSilence]).await.map(drop)
}

async fn slow_peers(ctx: Ctx) -> CaseResult {
    run(&ctx, small(Traffic::Mixed), &[Trouble::PeerDelay]).await.map(drop)
}

async fn cut_off_until_a_snapshot(ctx: Ctx) -> CaseResult {
    let is_plain = ctx.etcd.version >= Version::minor(3, 6);
    let name = if is_plain {
        "--snapshot-catchup-entries"
    } else {
        "--experimental-snapshot-catchup-entries"
    };
    let flags = [("--snapshot-count", "50"), (name, "50")];
    let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let scene = Scene { flags, ..small(Traffic::High) };
    run(&ctx, scene, &[Trouble::UntilSnapshot]).await.map(drop)
}

async fn kill_under_many_writes(ctx: Ctx) -> CaseResult {
    let flags = vec![("--snapshot-count".to_owned(), "100".to_owned())];
    let scene = Scene { flags, writers: 8, ..small(Traffic::High) };
    run(&ctx, scene, &[Trouble::Kill]).await.map(drop)
}

async fn kill_of_the_only_member(ctx: Ctx) -> CaseResult {
    let scene = Scene { members: 1, ..small(Traffic::Mixed) };
    run(&ctx, scene, &[Trouble::Kill]).await.map(drop)
}

/// One of the scenes that the exploratory test of etcd draws, another one in each turn.
async fn a_scene_that_is_drawn(ctx: Ctx) -> CaseResult {
    let turn = std::env::var("ETCD3_TURN").ok().and_then(|turn| turn.parse().ok());
    let seed = turn.unwrap_or(1);
    let mut rng = Rng::new(seed);
    let mut draw = |count: u64| usize::try_from(rng.below(count)).unwrap_or_default();
    let traffic = [Traffic::High, Traffic::Mixed, Traffic::Kubernetes][draw(3)];
    let snapshots = ["50", "100", "1000"][draw(3)];
    let members = [1, 3][draw(2)];
    let troubles = if members == 1 { &[Trouble::Kill, Trouble::Stop][..] } else { &Trouble::DRAWN };
    let troubles = [troubles[draw(troubles.len() as u64)], Trouble::Compaction];
    let flags = vec![("--snapshot-count".to_owned(), snapshots.to_owned())];
    let scene = Scene { members, flags, seed, ..small(traffic) };
    let what = format!("{scene:?}, {troubles:?}");
    run(&ctx, scene, &troubles).await.map(drop).map_err(|error| format!("{what}: {error}").into())
}

/// What all scenes are checked against: a member that is compacted beyond what it told ends the
/// watch, and not the stream.
async fn the_log_goes_on_at_a_compaction(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    for n in 0..5 {
        client.put("k", n.to_string()).await?;
    }
    let last = client.put("k", "last").await?.header.revision;
    client.compact(last - 1).await?;
    let collector = Collector::default();
    let work = collector.clone().run(Arc::clone(&ctx.rt), server.addr());
    let work = ctx.spawn(work);
    ctx.until("the last revision", Duration::from_secs(10), || async { collector.last() == last })
        .await?;
    collector.end();
    work.await;
    Ok(())
}
