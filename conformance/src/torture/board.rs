//! What those at work in a torture share.

use super::sums::Added;
use crate::load::pause;
use etcd3::runtime::Runtime;
use etcd3_core::rng::Rng;
use etcd3_sim::history::Entry;
use etcd3_sim::history::watch::{Record, Recorder};
use futures_lite::FutureExt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What watches, listings and caches look at.
pub(super) const PREFIX: &str = "t/";
/// The end of the range of `PREFIX`, by the rule of etcd's documentation.
pub(super) const PREFIX_END: &str = "t0";
/// What is checked call by call.
pub(super) const CALLS: &str = "key-";

/// What is going on, and what came of it so far; cheap to clone.
#[derive(Clone)]
pub(super) struct Board {
    pub(super) rt: Arc<dyn Runtime>,
    /// The highest revision that was acknowledged to anybody.
    acknowledged: Arc<AtomicI64>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub(super) struct State {
    /// Whether writers are to stop.
    pub(super) is_calm: bool,
    /// What has to be delivered to everybody, once nothing is wrong any more.
    pub(super) through: Option<i64>,
    pub(super) records: Vec<Record>,
    /// Which keys there were, by those who add up what comes.
    pub(super) added: Vec<Added>,
    pub(super) history: Vec<Entry>,
    /// Writes that were acknowledged, by revision, key and value.
    pub(super) writes: Vec<(i64, String, String)>,
    /// Reads of the past, or of now, and what they showed.
    pub(super) reads: Vec<(i64, Vec<etcd3::KeyValue>)>,
    /// When those who watch had everything.
    pub(super) complete: Vec<Instant>,
    pub(super) problems: Vec<String>,
    pub(super) compactions: Vec<i64>,
    pub(super) failed_writes: u64,
}

impl Board {
    pub(super) fn new(rt: &Arc<dyn Runtime>) -> Self {
        let acknowledged = Arc::new(AtomicI64::new(1));
        Self { rt: Arc::clone(rt), acknowledged, state: Arc::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn acknowledged(&self) -> i64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub(super) fn acknowledge(&self, revision: i64) {
        self.acknowledged.fetch_max(revision, Ordering::SeqCst);
    }

    pub(super) fn through(&self) -> Option<i64> {
        self.lock().through
    }

    pub(super) fn is_calm(&self) -> bool {
        self.lock().is_calm
    }

    pub(super) fn keep(&self, recorder: Recorder) {
        match recorder.finish() {
            Ok(record) => self.lock().records.push(record),
            Err(problem) => self.problem(problem),
        }
    }

    pub(super) fn problem(&self, problem: String) {
        self.lock().problems.push(problem);
    }

    pub(super) async fn pause(&self, time: Duration) {
        pause(&self.rt, time).await;
    }

    /// Waits for something, or for so long; `None` if that was first.
    pub(super) async fn within<T>(
        &self,
        time: Duration,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let timeout = async {
            self.pause(time).await;
            None
        };
        async { Some(future.await) }.or(timeout).await
    }
}

/// Draws one of some choices.
pub(super) fn choose<T: Clone>(rng: &mut Rng, choices: &[T]) -> T {
    let at = rng.below(u64::try_from(choices.len()).unwrap_or(1));
    choices[usize::try_from(at).unwrap_or_default()].clone()
}

pub(super) fn millis(rng: &mut Rng, below: u64) -> Duration {
    Duration::from_millis(rng.below(below))
}
