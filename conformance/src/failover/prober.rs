//! When the surviving members answer again, seen by clients of their own.

use crate::JoinHandle;
use crate::load::{BlockingRuntime, Error, pause, spawn};
use etcd3::Client;
use etcd3::runtime::Runtime;
use futures_lite::future::block_on;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time between two probes of one member. Probes overlap, since one that fell into the fault
/// is answered late or never.
const STEP: Duration = Duration::from_millis(25);

/// How long one probe may take, and how long they are repeated.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(30);

/// One client for each member, which knows no other.
#[derive(Debug)]
pub(super) struct Prober(Vec<Client>);

/// Probes of the survivors of one fault.
#[derive(Debug)]
pub(super) struct Probes {
    tasks: Vec<JoinHandle<Option<Instant>>>,
}

impl Prober {
    pub(super) fn new(runtime: &BlockingRuntime, urls: Vec<String>) -> Result<Self, Error> {
        urls.into_iter().map(|url| runtime.connect([url])).collect::<Result<_, _>>().map(Self)
    }

    /// Begins to write through every member but one.
    pub(super) fn start(&self, runtime: &BlockingRuntime, but: usize) -> Probes {
        let survivors = self.0.iter().enumerate().filter(|(member, _)| *member != but);
        let tasks = survivors.map(|(member, client)| {
            let (rt, client) = (Arc::clone(&runtime.rt), client.clone());
            runtime.spawn(first_answer(rt, client, format!("probe/{member}")))
        });
        Probes { tasks: tasks.collect() }
    }
}

impl Probes {
    /// Returns the moment from which on a majority of the survivors had answered; `None` if there
    /// was none within half a minute.
    pub(super) fn majority(self) -> Option<Instant> {
        let needed = self.tasks.len() / 2 + 1;
        let mut answers: Vec<Instant> = self.tasks.into_iter().filter_map(block_on).collect();
        answers.sort_unstable();
        answers.get(needed - 1).copied()
    }
}

/// Writes again and again until the first write is acknowledged.
async fn first_answer(rt: Arc<dyn Runtime>, client: Client, key: String) -> Option<Instant> {
    let first = Arc::new(Mutex::new(None));
    let begin = Instant::now();
    while begin.elapsed() < LIMIT {
        let (client, key) = (client.clone(), key.clone());
        let noted = Arc::clone(&first);
        spawn(&rt, async move {
            let answer = client.put(key, "x").timeout(PROBE_LIMIT).await;
            if answer.is_ok() {
                let mut first = noted.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(Instant::now);
            }
        });
        pause(&rt, STEP).await;
        let answered = *first.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.is_some() {
            return answered;
        }
    }
    None
}
