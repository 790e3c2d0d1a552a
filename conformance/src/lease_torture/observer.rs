//! Clients that only read: when the keys of leases are gone, at the first member that says so.

use crate::load::{BlockingRuntime, Error, pause, spawn};
use etcd3::runtime::{Instant, Runtime};
use etcd3::{Client, prefix};
use etcd3_lab::Cluster;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What keys of leases begin with.
pub(super) const PREFIX: &str = "leased/";
/// The time between two reads at one member.
const STEP: Duration = Duration::from_millis(50);
/// How long one read may take.
const READ_LIMIT: Duration = Duration::from_secs(1);

/// The keys that are looked at. Reads are serializable: each member is asked what it knows itself,
/// and the first that deletes a key is believed.
#[derive(Clone, Default)]
pub(super) struct Observer(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// By key, the revision that wrote it.
    written: BTreeMap<String, i64>,
    /// When it was seen that a key is not there any more.
    gone: BTreeMap<String, Instant>,
    reads: u64,
    is_over: bool,
}

impl Observer {
    /// Begins to read at every member, with a client that knows no other.
    pub(super) fn start(runtime: &BlockingRuntime, cluster: &Cluster) -> Result<Self, Error> {
        let observer = Self::default();
        for url in cluster.client_urls() {
            let client = runtime.connect([url])?;
            let rt = Arc::clone(&runtime.rt);
            drop(spawn(&runtime.rt, observer.clone().read(rt, client)));
        }
        Ok(observer)
    }

    /// Begins to look for a key.
    pub(super) fn expect(&self, key: String, revision: i64) {
        self.lock().written.insert(key, revision);
    }

    /// Returns when a key was first seen to be gone.
    pub(super) fn gone(&self, key: &str) -> Option<Instant> {
        self.lock().gone.get(key).copied()
    }

    /// Returns how many reads were answered.
    pub(super) fn reads(&self) -> u64 {
        self.lock().reads
    }

    pub(super) fn end(&self) {
        self.lock().is_over = true;
    }

    async fn read(self, rt: Arc<dyn Runtime>, client: Client) {
        while !self.lock().is_over {
            let read = client.get(prefix(PREFIX)).keys_only().serializable();
            // A member that is gone, or frozen, is asked again.
            if let Ok(found) = read.timeout(READ_LIMIT).await {
                let keys: Vec<_> = found.kvs.iter().map(|kv| kv.key.clone()).collect();
                self.note(rt.now(), found.header.revision, |key| {
                    keys.iter().any(|it| it == key.as_bytes())
                });
            }
            pause(&rt, STEP).await;
        }
    }

    /// Notes which of the keys are gone that had been written at this revision.
    fn note(&self, now: Instant, revision: i64, is_there: impl Fn(&str) -> bool) {
        let mut state = self.lock();
        state.reads += 1;
        let State { written, gone, .. } = &mut *state;
        let due = written.iter().filter(|(_, at)| **at <= revision);
        for (key, _) in due {
            if !is_there(key) {
                gone.entry(key.clone()).or_insert(now);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_gone_when_a_member_lacks_it_that_had_it_and_stays_so() {
        let observer = Observer::default();
        observer.expect("a".to_owned(), 5);
        let at = Instant::from_nanos;
        observer.note(at(1), 4, |_| false);
        assert_eq!(observer.gone("a"), None, "that member does not know of it yet");
        observer.note(at(2), 5, |_| true);
        assert_eq!(observer.gone("a"), None);
        observer.note(at(3), 9, |_| false);
        observer.note(at(4), 6, |_| true);
        observer.note(at(5), 9, |_| false);
        assert_eq!((observer.gone("a"), observer.reads()), (Some(at(3)), 5));
    }
}
