//! Recipes while everything goes wrong: `cargo xtask recipes-torture`.
//!
//! ```text
//!  8 contenders, a client each ──► two bridges to each of 3 members, one for either half of them
//!
//!  every 2 s a fault: kill, stop, partition, black hole, reset of one member; now and then half of
//!  the contenders reach no member for 6 s, and lose what they hold
//! ```
//!
//! What contenders were told is judged as in simulated worlds, by all changes that the store ever
//! had: a watch from the first revision brings them when all is over.

mod contender;
mod report;

pub use report::Report;

use crate::failover::{MemberFault, Role};
use crate::load::{self, BlockingRuntime, Error};
use contender::Contender;
use etcd3::{Client, Config, WatchBatch, all};
use etcd3_core::rng::Rng;
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Bridge, Cluster};
use etcd3_sim::history::Change;
use futures_lite::future::block_on;
use report::Told;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONTENDERS: u64 = 8;
/// The time between the beginnings of two faults, and how long one lasts.
const EVERY: Duration = Duration::from_secs(2);
const FAULT: Duration = Duration::from_millis(1_200);
/// How long half of the contenders reach no member: longer than their sessions live, and than an
/// election may lengthen them.
const OUTAGE: Duration = Duration::from_secs(6);
/// How long what changed may take to come when all is well.
const CHANGES_LIMIT: Duration = Duration::from_secs(60);

/// How long recipes are tortured, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// How long.
    pub lasts: Duration,
    /// What is drawn from.
    pub seed: u64,
}

/// Runs a scene on one runtime against one version.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the recipes.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, scene: &Scene) -> Result<Report, Error> {
    let cluster = load::three_members(etcd)?;
    let bridges = [bridges(&cluster)?, bridges(&cluster)?];
    let (told, is_over) = (Told::default(), Arc::new(AtomicBool::new(false)));
    let mut tasks = Vec::new();
    for number in 0..CONTENDERS {
        let urls = bridges[usize::try_from(number % 2)?].iter().map(Bridge::url);
        let config = Config::new(urls).request_timeout(Duration::from_secs(3));
        let contender = Contender {
            rt: Arc::clone(&runtime.rt),
            client: runtime.connect_with(config)?,
            number,
            rng: Rng::new(scene.seed ^ number << 32),
            told: told.clone(),
            is_over: Arc::clone(&is_over),
        };
        tasks.push(runtime.spawn(contender.work()));
    }
    let mut report = Report::default();
    suffer(&cluster, &bridges, scene, &mut report)?;
    load::wait_healthy(&cluster)?;
    is_over.store(true, Ordering::Relaxed);
    tasks.into_iter().for_each(block_on);
    let client = runtime.connect(cluster.client_urls())?;
    let last = told.clone();
    let drained = client.clone();
    runtime.run(async move { contender::drain(&drained, &last).await });
    let changes = runtime.run(async move { changes(&client).await })?;
    report.judge(&told, &changes);
    Ok(report)
}

fn bridges(cluster: &Cluster) -> Result<Vec<Bridge>, Error> {
    let members = cluster.members();
    Ok(members.iter().map(|member| Bridge::new(member.addr())).collect::<Result<_, _>>()?)
}

/// Makes a fault every two seconds.
fn suffer(
    cluster: &Cluster,
    bridges: &[Vec<Bridge>; 2],
    scene: &Scene,
    report: &mut Report,
) -> Result<(), Error> {
    let mut rng = Rng::new(scene.seed);
    let begin = Instant::now();
    while begin.elapsed() < scene.lasts {
        let leader = load::wait_healthy(cluster)?;
        let role = if rng.below(2) == 0 { Role::Leader } else { Role::Follower };
        let member = role.member(cluster, leader);
        let drawn = usize::try_from(rng.below(6))?;
        let name = if let Some(fault) = MemberFault::ALL.get(drawn) {
            fault.begin(cluster, member)?;
            // The time is what the fault is about.
            std::thread::sleep(FAULT);
            fault.end(cluster, member)?;
            fault.to_string()
        } else if drawn == 3 {
            for half in bridges {
                half[member].blackhole();
            }
            std::thread::sleep(FAULT);
            for half in bridges {
                half[member].unblackhole();
            }
            "black hole".to_owned()
        } else if drawn == 4 {
            for half in bridges {
                half[member].reset_all();
            }
            "reset".to_owned()
        } else {
            // The others go on, and get what these lose.
            let half = &bridges[usize::try_from(rng.below(2))?];
            half.iter().for_each(Bridge::blackhole);
            std::thread::sleep(OUTAGE);
            half.iter().for_each(Bridge::unblackhole);
            *report.faults.entry(report::OUTAGE.to_owned()).or_default() += 1;
            continue;
        };
        *report.faults.entry(format!("{name} of a {role}")).or_default() += 1;
        std::thread::sleep(EVERY.saturating_sub(FAULT));
    }
    Ok(())
}

/// Returns all that ever changed.
async fn changes(client: &Client) -> Result<Vec<Change>, Error> {
    let last = client.get("none").await?.header.revision;
    let mut watch = client.watch(all()).from_revision(1).await?;
    let mut changes: Vec<Change> = Vec::new();
    let rt = client.runtime();
    let end = rt.now() + etcd3_lab::load::stretched(CHANGES_LIMIT);
    while changes.last().is_none_or(|change| change.revision < last) {
        let next = async { watch.next().await };
        let late = async {
            rt.sleep_until(end).await;
            None
        };
        let batch = futures_lite::future::or(next, late).await;
        let batch = batch.ok_or("not all changes come")??;
        changes.extend(changes_of(&batch));
    }
    Ok(changes)
}

fn changes_of(batch: &WatchBatch) -> impl Iterator<Item = Change> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    batch.iter().map(move |event| Change {
        revision: event.revision(),
        key: text(event.key()),
        value: event.value().map(|value| text(value)),
    })
}
