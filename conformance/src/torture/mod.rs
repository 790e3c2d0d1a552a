//! Watches while everything goes wrong: `cargo xtask watch-torture`.
//!
//! ```text
//!  8 writers ──────────────────────────────► 3 members ◄── a raw stream each: the log
//!                                              ▲   ▲
//!  64 watchers, 4 clients ── a bridge each ────┘   │
//!                                                  │
//!  every 2 seconds: kill, stop, partition, cut, black hole, compaction, another leader
//! ```
//!
//! What the watches delivered is compared with a log that no code under test has touched: each
//! member tells all changes over a stream of its own, past the bridges, which nothing but h2 and
//! prost handles, and which is opened again behind the last revision that came. The log is what the
//! members told together; it must have every revision, and members that tell of the same one must
//! agree. So it survives that a member loses history to a compaction while it is down, as long as
//! another one has told of it. What was acknowledged to writers must stand in it, and what callers
//! saw must fit its order.
//!
//! When all is healed, a key is written, and every watch has to deliver everything up to it, or at
//! least the server's word that there is no more.

mod board;
mod collector;
mod faults;
mod report;
mod sums;
mod verify;
mod watchers;
mod writers;

pub(crate) use collector::Collector;
pub use faults::Trouble;
pub use report::Report;
pub use writers::Traffic;

use crate::JoinHandle;
use crate::load::{self, BlockingRuntime, Error};
use board::{Board, PREFIX, choose};
use etcd3::{Client, Config};
use etcd3_core::rng::Rng;
use etcd3_lab::etcd::Binary;
use etcd3_lab::{Bridge, Cluster, until};
use etcd3_sim::history::watch::Known;
use faults::Site;
use futures_lite::future::block_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchers::Watcher;
use writers::{Caller, Writer};

/// From the beginning of one fault to that of the next.
const STEP: Duration = Duration::from_secs(2);
/// How long there is traffic before the first fault, and after the last one.
const BEFORE_AND_AFTER: Duration = Duration::from_secs(1);
/// How many clients the watchers share.
const CLIENTS: usize = 4;
/// How long the members may take to tell the last revision, and to agree on the hash.
const SETTLED_LIMIT: Duration = Duration::from_secs(60);

/// A cluster, and those at work on it.
#[derive(Debug, Clone)]
pub struct Scene {
    /// How many members there are: 1 or 3.
    pub members: usize,
    /// More flags of the members.
    pub flags: Vec<(String, String)>,
    /// What writers do.
    pub traffic: Traffic,
    /// How many writers there are, and callers whose calls are checked one by one.
    pub writers: usize,
    /// How many watchers there are.
    pub watchers: usize,
    /// What everything is drawn from.
    pub seed: u64,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// A fault every two seconds, for so long.
    Drawn(Duration),
    /// These, one after the other.
    These(Vec<Trouble>),
}

impl Scene {
    /// Describes the torture: three members, 8 writers and 64 watchers.
    #[must_use]
    pub fn torture(seed: u64) -> Self {
        let (traffic, flags) = (Traffic::Mixed, Vec::new());
        Self { members: 3, flags, traffic, writers: 8, watchers: 64, seed }
    }
}

/// Runs a scene on one runtime against one version.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(
    runtime: &BlockingRuntime,
    etcd: &Binary,
    scene: &Scene,
    schedule: &Schedule,
) -> Result<Report, Error> {
    let cluster = cluster(etcd, scene)?;
    let bridges: Vec<Bridge> = cluster
        .members()
        .iter()
        .map(|member| Bridge::new(member.addr()))
        .collect::<Result<_, _>>()?;
    let admin = runtime.connect(cluster.client_urls())?;
    let board = Board::new(&runtime.rt);
    health(runtime, &cluster)?;
    let version = etcd.version;
    let part = |part: u32| u16::try_from(part).unwrap_or(u16::MAX);
    let known = Known::of((part(version.major), part(version.minor), part(version.patch)));
    let run = Run { runtime, cluster: &cluster, bridges: &bridges, admin, board, known };
    run.play(scene, schedule)
}

fn cluster(etcd: &Binary, scene: &Scene) -> Result<Cluster, Error> {
    let builder = Cluster::builder().version(etcd).members(scene.members);
    let builder = builder.heartbeat(100).election(1000);
    let flags = scene.flags.iter();
    let builder = flags.fold(builder, |builder, (name, value)| builder.flag(name, value));
    let cluster = builder.behind_peer_proxy().start()?;
    load::wait_healthy(&cluster)?;
    Ok(cluster)
}

/// Demands that every member serves.
fn health(runtime: &BlockingRuntime, cluster: &Cluster) -> Result<(), Error> {
    for member in cluster.members() {
        let (rt, addr) = (Arc::clone(&runtime.rt), member.addr());
        runtime.run(async move { verify::health(&rt, addr).await })?;
    }
    Ok(())
}

/// A cluster, and all there is around it.
struct Run<'a> {
    runtime: &'a BlockingRuntime,
    cluster: &'a Cluster,
    bridges: &'a [Bridge],
    admin: Client,
    board: Board,
    known: Vec<Known>,
}

/// Those at work.
struct Crew {
    collectors: Vec<Collector>,
    writers: Vec<JoinHandle<()>>,
    watchers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

impl Run<'_> {
    fn play(&self, scene: &Scene, schedule: &Schedule) -> Result<Report, Error> {
        let crew = self.begin(scene)?;
        std::thread::sleep(BEFORE_AND_AFTER);
        let counts = self.trouble(scene, schedule)?;
        load::wait_healthy(self.cluster)?;
        health(self.runtime, self.cluster)?;
        let healed = Instant::now();
        self.end(crew, healed, counts)
    }

    fn begin(&self, scene: &Scene) -> Result<Crew, Error> {
        let mut rng = Rng::new(scene.seed);
        let (runtime, board) = (self.runtime, &self.board);
        let mut others = Vec::new();
        let collectors: Vec<Collector> = self
            .cluster
            .members()
            .iter()
            .map(|member| {
                let collector = Collector::default();
                let task = collector.clone().run(Arc::clone(&runtime.rt), member.addr());
                others.push(runtime.spawn(task));
                collector
            })
            .collect();
        let mut writers = Vec::new();
        for number in 0..scene.writers {
            let (board, client) = (board.clone(), runtime.connect(self.cluster.client_urls())?);
            let rng = Rng::new(rng.next_u64());
            // One of four is checked call by call.
            writers.push(if number % 4 == 3 {
                runtime.spawn(Caller { board, client, number, rng, seen: 0 }.run())
            } else {
                let traffic = scene.traffic;
                runtime.spawn(Writer { board, client, number, traffic, rng }.run())
            });
        }
        let urls: Vec<String> = self.bridges.iter().map(Bridge::url).collect();
        let clients: Vec<Client> = (0..CLIENTS)
            .map(|_| runtime.connect_with(Config::new(urls.clone())))
            .collect::<Result<_, _>>()?;
        let is_unordered = self.known.contains(&Known::ProgressOvertakes);
        let watchers = (0..scene.watchers).map(|number| {
            let (board, head) = (board.clone(), self.admin.clone());
            let client = clients[number % CLIENTS].clone();
            let rng = Rng::new(rng.next_u64());
            runtime.spawn(Watcher { board, client, head, number, rng, is_unordered }.run())
        });
        Ok(Crew { collectors, writers, watchers: watchers.collect(), others })
    }

    /// Makes everything go wrong, and ends it all.
    fn trouble(
        &self,
        scene: &Scene,
        schedule: &Schedule,
    ) -> Result<BTreeMap<Trouble, usize>, Error> {
        let mut rng = Rng::new(scene.seed ^ 0x5eed);
        let mut site = Site {
            runtime: self.runtime,
            cluster: self.cluster,
            bridges: self.bridges,
            admin: &self.admin,
            board: &self.board,
            counts: BTreeMap::new(),
            holes: Vec::new(),
        };
        match schedule {
            Schedule::Drawn(lasts) => {
                let begin = Instant::now();
                while begin.elapsed() < *lasts {
                    let step = Instant::now();
                    site.fill_holes(Some(step));
                    site.play(choose(&mut rng, &Trouble::DRAWN), &mut rng)?;
                    std::thread::sleep(STEP.saturating_sub(step.elapsed()));
                }
            }
            Schedule::These(troubles) => {
                for trouble in troubles {
                    site.play(*trouble, &mut rng)?;
                }
            }
        }
        site.fill_holes(None);
        Ok(site.counts)
    }

    /// Waits until everything was delivered, and checks it.
    fn end(
        &self,
        crew: Crew,
        healed: Instant,
        counts: BTreeMap<Trouble, usize>,
    ) -> Result<Report, Error> {
        let through = self.put(format!("{PREFIX}end"))?;
        self.board.lock().through = Some(through);
        // Writers go on meanwhile: servers tell of no progress on a stream while a watch on it
        // begins in the future, as one does that goes on behind the last revision.
        // W23
        crew.watchers.into_iter().for_each(block_on);
        std::thread::sleep(BEFORE_AND_AFTER.saturating_sub(healed.elapsed()));
        self.board.lock().is_calm = true;
        crew.writers.into_iter().for_each(block_on);
        let last = self.put("last".to_owned())?;
        let told = |collector: &Collector| collector.last() >= last;
        let all_told = || Ok(crew.collectors.iter().all(told).then_some(()));
        until(SETTLED_LIMIT, "all members to tell the last revision", all_told)?;
        self.agree(last)?;
        crew.collectors.iter().for_each(Collector::end);
        crew.others.into_iter().for_each(block_on);
        let events = collector::merged(&crew.collectors, last)?;
        let compactions = self.board.lock().compactions.clone();
        let log = verify::log(&events, &compactions)?;
        let checked = verify::all(&self.board, &log, &self.known);
        Ok(Report::new(&self.board, checked, log, healed, counts))
    }

    fn put(&self, key: String) -> Result<i64, Error> {
        let admin = self.admin.clone();
        let put = self.runtime.run(async move { admin.put(key, "").await })?;
        Ok(put.header.revision)
    }

    /// Waits until all members have the same hash.
    fn agree(&self, last: i64) -> Result<(), Error> {
        let mut why = String::new();
        let agreed = until(SETTLED_LIMIT, "the members' hashes to agree", || {
            let (admin, urls) = (self.admin.clone(), self.cluster.client_urls());
            let hashes = async move { verify::hashes(&admin, &urls, last).await };
            match self.runtime.run(hashes) {
                Ok(()) => Ok(Some(())),
                Err(problem) => {
                    why = problem;
                    Ok(None)
                }
            }
        });
        agreed.map_err(|error| format!("{error}: {why}").into())
    }
}
