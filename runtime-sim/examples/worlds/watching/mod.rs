//! Watches, listings with watches and caches of all kinds beside the calls of a world, checked by
//! the nine guarantees.

mod caches;
mod churn;
mod lists;
mod watchers;

use etcd3::{Client, Error, KeyRange, WatchBatch};
use etcd3_core::rng::Rng;
use etcd3_sim::history::watch::{
    Asked, Delivery, Demands, End, Known, Log, Record, Recorder, Start, Verdict, check,
};
use etcd3_sim::{Etcd, Host, World};
use futures_lite::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What listings and caches hold, and what most watchers look at.
const PREFIX: &str = "w/";
/// The end of the range of `PREFIX`, by the rule of etcd's documentation.
const PREFIX_END: &str = "w0";
const KEYS: u64 = 12;
/// How many watchers each client has, beside its listing or cache.
const WATCHERS: u64 = 4;
/// The time in which somebody who watches looks up from what they do.
const TURN: Duration = Duration::from_secs(1);
/// How long after the end of all faults a watch may need to have delivered everything.
const CATCH_UP: Duration = Duration::from_secs(60);

/// What the state of a range was, as somebody added it up: by key, the revision that changed it and
/// its value.
type State = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

/// All that is watched in a world.
#[derive(Clone)]
pub(crate) struct Watching {
    world: World,
    etcd: Etcd,
    /// Bugs of the servers from which the client cannot guard its users.
    known: Arc<[Known]>,
    found: Arc<Mutex<Found>>,
}

#[derive(Default)]
struct Found {
    /// The revision that everything must be delivered up to, once nothing is wrong any more.
    through: Option<i64>,
    is_calm: bool,
    churning: usize,
    /// The names of those that still watch.
    at_work: BTreeSet<String>,
    records: Vec<Record>,
    states: Vec<(String, i64, State)>,
    problems: Vec<String>,
    resyncs: u64,
}

/// What the watches of a world came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watched {
    pub(crate) watches: u64,
    pub(crate) events: u64,
    pub(crate) progress: u64,
    pub(crate) resumed: u64,
    pub(crate) compacted: u64,
    pub(crate) cancelled: u64,
    pub(crate) states: u64,
    pub(crate) resyncs: u64,
    pub(crate) excused: u64,
}

impl Watched {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            watches,
            events,
            progress,
            resumed,
            compacted,
            cancelled,
            states,
            resyncs,
            excused,
        } = other;
        self.watches += watches;
        self.events += events;
        self.progress += progress;
        self.resumed += resumed;
        self.compacted += compacted;
        self.cancelled += cancelled;
        self.states += states;
        self.resyncs += resyncs;
        self.excused += excused;
    }

    fn count(&mut self, record: &Record) {
        self.watches += 1;
        self.cancelled += u64::from(record.end == End::Cancelled);
        self.compacted += u64::from(matches!(record.end, End::Compacted { .. }));
        for delivery in &record.deliveries {
            match delivery {
                Delivery::Batch(batch) => self.events += batch.events.len() as u64,
                Delivery::Progress(_) => self.progress += 1,
                Delivery::Resumed => self.resumed += 1,
            }
        }
    }
}

impl Watching {
    pub(crate) fn new(world: &World, etcd: &Etcd, version: (u16, u16, u16)) -> Self {
        let is_unguarded = |known: &Known| {
            // Guarded from: the client leaves out what comes again, or before its time.
            !matches!(known, Known::BackInTime | Known::FutureStart)
        };
        let known: Vec<Known> = Known::of(version).into_iter().filter(is_unguarded).collect();
        Self {
            world: world.clone(),
            etcd: etcd.clone(),
            known: known.into(),
            found: Arc::default(),
        }
    }

    /// Begins to change keys, and to watch them, with a client.
    pub(crate) fn begin(&self, host: &Host, client: &Client, number: u32) {
        let mut rng = Rng::new(self.world.seed() ^ 0x3a7c_0000 ^ u64::from(number));
        self.found().churning += 1;
        let churn = churn::Churn { all: self.clone(), client: client.clone() };
        host.spawn(churn.run(Rng::new(rng.next_u64())));
        for at in 0..WATCHERS {
            let name = format!("watch {number}.{at}");
            let (all, client) = (self.clone(), client.clone());
            let rng = Rng::new(rng.next_u64());
            let host_of_it = host.clone();
            let watcher =
                watchers::Watcher { all, host: host_of_it, client, name: name.clone(), rng };
            self.spawn(host, name, watcher.run());
        }
        let (all, client) = (self.clone(), client.clone());
        let rng = Rng::new(rng.next_u64());
        if number.is_multiple_of(2) {
            let name = format!("list {number}");
            let host_of_it = host.clone();
            let lister = lists::Lister { all, host: host_of_it, client, name: name.clone(), rng };
            self.spawn(host, name, lister.run());
        } else {
            let name = format!("cache {number}");
            let cacher = caches::Cacher { all, client, name: name.clone(), rng };
            self.spawn(host, name, cacher.run());
        }
    }

    /// Waits until everything that is watched has been delivered, once nothing is wrong any more.
    pub(crate) async fn complete(&self, client: &Client) -> Result<(), String> {
        self.found().is_calm = true;
        let end = self.world.now() + CATCH_UP;
        self.until(|found| found.churning == 0, "writers").await?;
        let mut last = 0;
        while last == 0 {
            match client.put(format!("{PREFIX}end"), "end").await {
                Ok(put) => last = put.header.revision,
                Err(error) if self.world.now() >= end => return Err(error.report().to_string()),
                Err(_) => {}
            }
        }
        self.found().through = Some(last);
        // Servers tell of no progress on a stream as long as a watch on it begins in the future, as
        // one does that goes on behind the last revision (W23).
        let writing = async {
            loop {
                let _ = client.put("other", "more").await;
                self.world.sleep(TURN / 2).await;
            }
        };
        self.until(|found| found.at_work.is_empty(), "watches").or(writing).await
    }

    /// Checks what was delivered.
    pub(crate) fn check(&self) -> Result<Watched, String> {
        let log = self.etcd.log().map_err(|violation| violation.to_string())?;
        let mut found = self.found();
        if let Some(problem) = found.problems.first() {
            return Err(problem.clone());
        }
        let through = found.through.unwrap_or_default();
        let demands = Demands { through, known: &self.known };
        let mut verdict = Verdict::default();
        let mut watched = Watched { resyncs: found.resyncs, ..Watched::default() };
        for record in std::mem::take(&mut found.records) {
            watched.count(&record);
            verdict.merge(check(&log, &record, &demands));
        }
        watched.excused = verdict.excused.len() as u64;
        if let Some(violation) = verdict.violations.first() {
            return Err(format!("{violation}, and {} more", verdict.violations.len() - 1));
        }
        for (name, revision, state) in std::mem::take(&mut found.states) {
            watched.states += 1;
            self.compare(&log, &name, revision, &state)?;
        }
        Ok(watched)
    }

    /// Compares what somebody added up with the state of the store.
    fn compare(&self, log: &Log, name: &str, revision: i64, state: &State) -> Result<(), String> {
        let asked = Asked::new(PREFIX, PREFIX_END, Start::At(1));
        let expected: State = log
            .state_at(revision)
            .into_iter()
            .filter(|(key, _)| asked.covers(key))
            .map(|(key, kv)| (key.to_vec(), (kv.mod_revision, kv.value.to_vec())))
            .collect();
        let may_lose = self.known.iter().any(|known| *known != Known::ProgressOvertakes);
        let is_excused = |key: &[u8]| may_lose && is_lost_delete(log, key);
        let differs = |key: &Vec<u8>| expected.get(key) != state.get(key);
        let keys = expected.keys().chain(state.keys());
        match keys.into_iter().find(|key| differs(key) && !is_excused(key)) {
            None => Ok(()),
            Some(key) => Err(format!(
                "{name}: at revision {revision} {:?} is {:?}, not {:?}",
                String::from_utf8_lossy(key),
                state.get(key),
                expected.get(key)
            )),
        }
    }

    fn spawn<F>(&self, host: &Host, name: String, task: F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.found().at_work.insert(name.clone());
        let all = self.clone();
        host.spawn(async move {
            let result = task.await;
            let mut found = all.found();
            found.at_work.remove(&name);
            found.problems.extend(result.err());
        });
    }

    async fn until(&self, is_so: impl Fn(&Found) -> bool, what: &str) -> Result<(), String> {
        // Whoever hangs says so before.
        let end = self.world.now() + CATCH_UP * 2;
        while !is_so(&self.found()) {
            if let Some(problem) = self.found().problems.first() {
                return Err(problem.clone());
            }
            if self.world.now() >= end {
                let left = &self.found().at_work;
                return Err(format!("{what} hang long after all is well: {left:?}"));
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn through(&self) -> Option<i64> {
        self.found().through
    }

    fn is_calm(&self) -> bool {
        self.found().is_calm
    }

    fn keep(&self, recorder: Recorder) -> Result<(), String> {
        let record = recorder.finish()?;
        self.found().records.push(record);
        Ok(())
    }

    /// Returns whether the answer to a request for progress may come before events that it covers.
    // W24
    fn is_progress_unordered(&self) -> bool {
        self.known.contains(&Known::ProgressOvertakes)
    }

    fn note_state(&self, name: &str, revision: i64, state: State) {
        self.found().states.push((name.to_owned(), revision, state));
    }

    /// Waits for something, or for so long; `None` if that was first.
    async fn within<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let timeout = async {
            self.world.sleep(time).await;
            None
        };
        async { Some(future.await) }.or(timeout).await
    }
}

/// Has a batch drawn that was delivered.
fn draw(host: &Host, watch: &str, batch: &WatchBatch) {
    if let Some(first) = batch.events.first() {
        host.batch(watch, first.revision()..=batch.revision(), batch.events.len());
    }
}

/// Returns whether servers may have lost a deletion of a key.
fn is_lost_delete(log: &Log, key: &[u8]) -> bool {
    log.compactions().iter().any(|compacted| {
        let at = log.first_at(*compacted);
        let changes = log.changes()[at..].iter().take_while(|it| it.revision() == *compacted);
        changes.into_iter().any(|it| it.kv.key == key && it.kv.version == 0)
    })
}

/// Returns whether something may go wrong so while a world is troubled.
fn may_fail(error: &Error) -> bool {
    error.is_retryable() || error.is_compacted()
}

/// Draws one of some choices.
fn choose<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    let at = rng.below(u64::try_from(choices.len()).unwrap_or(1));
    choices[usize::try_from(at).unwrap_or_default()].clone()
}

fn millis(rng: &mut Rng, below: u64) -> Duration {
    Duration::from_millis(rng.below(below))
}

/// Returns the range from a key up to another one, and what goes over the wire for it.
fn range(from: &str, to: &str) -> (KeyRange, Asked) {
    let range = KeyRange::from_wire(from.as_bytes().to_vec(), to.as_bytes().to_vec());
    (range, Asked::new(from.as_bytes().to_vec(), to.as_bytes().to_vec(), Start::At(1)))
}
