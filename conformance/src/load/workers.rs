//! Workers that call at a steady rate, one call in flight each.

use super::calls::{CallFailure, CallKind, CallRecord};
use super::runtime::spawn;
use super::{BlockingRuntime, Error};
use crate::JoinHandle;
use etcd3::runtime::Runtime;
use etcd3::{Client, GetResponse};
use etcd3_lab::until;
use futures_lite::future::block_on;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What all keys of a load begin with.
pub const PREFIX: &str = "load/";

/// How many calls in a row have to succeed until a worker counts as calm.
const CALM_CALLS: usize = 3;

/// How many workers there are, and how often each calls.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many read.
    pub readers: usize,
    /// How many write.
    pub writers: usize,
    /// Calls a second of each.
    pub rate: u32,
}

/// Workers at work; their drop asks them to end.
#[derive(Debug)]
pub struct Load {
    plan: Plan,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    ended: AtomicBool,
    calls: Mutex<Vec<CallRecord>>,
    /// The last acknowledged key and value of each writer.
    latest: Mutex<Vec<Option<(String, String)>>>,
}

impl Load {
    /// Starts the workers.
    pub fn start(runtime: &BlockingRuntime, client: &Client, plan: Plan) -> Self {
        let shared = Arc::new(Shared {
            ended: AtomicBool::new(false),
            calls: Mutex::default(),
            latest: Mutex::new(vec![None; plan.writers]),
        });
        let count = plan.readers + plan.writers;
        let tasks = (0..count).map(|number| {
            let worker = Worker {
                number,
                plan,
                rt: Arc::clone(&runtime.rt),
                client: client.clone(),
                shared: Arc::clone(&shared),
            };
            spawn(&runtime.rt, worker.work())
        });
        Self { plan, tasks: tasks.collect(), shared }
    }

    /// Returns the calls that have ended, in that order.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.shared.lock().clone()
    }

    /// Waits until every worker has had three successes in a row that began after `since`.
    ///
    /// # Errors
    ///
    /// When a worker has not within `limit`; the error tells its last failure.
    pub fn wait_calm(&self, since: Instant, limit: Duration) -> Result<(), Error> {
        let calm = until(limit, "all workers to succeed", || Ok(self.is_calm(since).then_some(())));
        calm.map_err(|error| {
            let calls = self.shared.lock();
            let last = calls.iter().rev().find_map(|call| call.result.as_ref().err());
            let last = last.map_or("none", |failure| &failure.text);
            format!("{error}; the last failure: {last}").into()
        })
    }

    fn is_calm(&self, since: Instant) -> bool {
        let mut streaks = vec![0; self.plan.readers + self.plan.writers];
        let mut broken = vec![false; streaks.len()];
        let calls = self.shared.lock();
        for call in calls.iter().rev().take_while(|call| call.ended >= since) {
            broken[call.worker] |= call.failed();
            if call.begun >= since && !broken[call.worker] {
                streaks[call.worker] += 1;
            }
        }
        streaks.into_iter().all(|streak| streak >= CALM_CALLS)
    }

    /// Ends the workers, each after its call, and returns all calls.
    pub fn finish(mut self) -> Vec<CallRecord> {
        self.shared.ended.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            block_on(task);
        }
        std::mem::take(&mut *self.shared.lock())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<CallRecord>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latest(&self) -> MutexGuard<'_, Vec<Option<(String, String)>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    number: usize,
    plan: Plan,
    rt: Arc<dyn Runtime>,
    client: Client,
    shared: Arc<Shared>,
}

impl Worker {
    async fn work(self) {
        let step = Duration::from_secs(1) / self.plan.rate;
        let mut next = self.rt.now();
        for turn in 0_usize.. {
            if self.shared.ended.load(Ordering::SeqCst) {
                return;
            }
            let call = match self.number.checked_sub(self.plan.readers) {
                None => self.read(turn).await,
                Some(writer) => self.write(writer, turn).await,
            };
            self.shared.lock().push(call);
            // Late calls are made up for by nobody.
            next = (next + step).max(self.rt.now());
            self.rt.sleep_until(next).await;
        }
    }

    /// Reads a key that is known to be there; a key that is not, before the first is.
    async fn read(&self, turn: usize) -> CallRecord {
        let known = self.shared.latest()[turn % self.plan.writers].clone();
        let (key, value) =
            known.clone().unwrap_or_else(|| (format!("{PREFIX}none"), String::new()));
        let begun = Instant::now();
        let result = self.client.get(key.clone()).await;
        let ended = Instant::now();
        let is_stale = |answer: &GetResponse| {
            known.is_some() && answer.kvs.first().is_none_or(|kv| kv.value != value.as_bytes())
        };
        let stale = result.as_ref().is_ok_and(is_stale).then_some(key);
        let result = result.map(|answer| answer.header.revision).map_err(|error| failure(&error));
        CallRecord { worker: self.number, kind: CallKind::Read { stale }, begun, ended, result }
    }

    async fn write(&self, writer: usize, turn: usize) -> CallRecord {
        let (key, value) = (format!("{PREFIX}{writer}/{turn:07}"), format!("{writer}-{turn}"));
        let begun = Instant::now();
        let result = self.client.put(key.clone(), value.clone()).await;
        let ended = Instant::now();
        if result.is_ok() {
            self.shared.latest()[writer] = Some((key.clone(), value.clone()));
        }
        let result = result.map(|answer| answer.header.revision).map_err(|error| failure(&error));
        CallRecord {
            worker: self.number,
            kind: CallKind::Write { key, value },
            begun,
            ended,
            result,
        }
    }
}

fn failure(error: &etcd3::Error) -> CallFailure {
    CallFailure {
        outcome: error.outcome(),
        attempts: error.attempts(),
        endpoint: error.endpoint().map(str::to_owned),
        text: error.report().to_string(),
    }
}
