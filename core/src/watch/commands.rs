//! What those who watch want: to begin, to end, and to be told no faster than they take.

// W70, W80, W81, I-W9, I-W10

use super::events::{Output, WatcherKey};
use super::watcher::{State, Watcher};
use super::{Stream, Watches};
use crate::Instant;
use crate::error::{Error, ErrorKind};
use crate::proto::etcdserverpb::{WatchRequest, watch_request::RequestUnion};
use crate::request::WatchOptions;
use prost::Message;

impl Watches {
    pub(super) fn create(&mut self, now: Instant, key: WatcherKey, options: WatchOptions) {
        if self.watchers.contains_key(&key) {
            self.ignored += 1;
            return;
        }
        let refusal = match &self.stream {
            Stream::Closed(kind) => Some(Error::new(*kind)),
            _ if options.start() < 1 => {
                Some(Error::invalid_request("a watch begins at a revision above 0"))
            }
            _ if self.is_too_large(&options) => {
                let limit = self.settings.max_request_bytes;
                Some(Error::new(ErrorKind::RequestOverLimit { len: create_len(&options), limit }))
            }
            _ if self.is_of_another_cluster(options.cluster_id()) => {
                let (expected, found) = (options.cluster_id(), self.cluster_id);
                Some(Error::new(ErrorKind::ClusterChanged { expected, found }))
            }
            _ => None,
        };
        if let Some(error) = refusal {
            if self.watchers.is_empty() && !matches!(self.stream, Stream::Closed(_)) {
                self.idle_since.get_or_insert(now);
            }
            return self.outputs.push_back(Output::End(key, error));
        }
        self.watchers.insert(key, Watcher::new(options));
        self.queue.push_back(key);
        self.idle_since = None;
    }

    fn is_too_large(&self, options: &WatchOptions) -> bool {
        create_len(options) > self.settings.max_request_bytes
    }

    pub(super) const fn is_of_another_cluster(&self, cluster_id: u64) -> bool {
        cluster_id != 0 && self.cluster_id != 0 && cluster_id != self.cluster_id
    }

    pub(super) fn cancel(&mut self, now: Instant, key: WatcherKey) {
        let Some(watcher) = self.watchers.remove(&key) else {
            self.ignored += 1;
            return;
        };
        self.drop_watcher(now, &watcher);
    }

    /// Has the server forget a watcher that is gone.
    // I-W9, W80, W81
    fn drop_watcher(&mut self, now: Instant, watcher: &Watcher) {
        self.awaiting -= usize::from(watcher.awaits_progress);
        if self.watchers.is_empty() {
            self.idle_since = Some(now);
        }
        if watcher.state == State::Queued {
            self.prune_queue();
        }
        let Stream::Open(open) = &mut self.stream else { return };
        match watcher.state {
            State::Live(id) => self.cancel_live(id),
            State::Creating(id) => {
                let Some(creating) = open.creating.iter_mut().find(|it| it.id == id) else {
                    return;
                };
                creating.key = None;
                // A server that chooses ids itself does not know this one.
                if open.takes_ids == Some(true) {
                    creating.is_canceled = true;
                    self.cancel_live(id);
                }
            }
            State::Queued | State::Paused => {}
        }
    }

    /// Forgets those of the queue that are gone, when they are many or the first.
    // X2, X3
    fn prune_queue(&mut self) {
        while self.queue.front().is_some_and(|key| !self.is_in_queue(*key)) {
            self.queue.pop_front();
        }
        if self.queue.len() > 2 * self.watchers.len() {
            let mut queue = std::mem::take(&mut self.queue);
            queue.retain(|key| self.is_in_queue(*key));
            self.queue = queue;
        }
    }

    pub(super) fn taken(&mut self, key: WatcherKey, bytes: usize) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        watcher.buffered = watcher.buffered.saturating_sub(bytes);
        if watcher.state == State::Paused && watcher.has_drained() {
            watcher.state = State::Queued;
            self.queue.push_back(key);
        }
    }

    pub(super) fn end(&mut self, now: Instant, key: WatcherKey, error: Error) {
        if let Some(watcher) = self.watchers.remove(&key) {
            self.outputs.push_back(Output::End(key, error));
            self.drop_watcher(now, &watcher);
        }
    }

    pub(super) fn end_all(&mut self, error: &Error) {
        for (key, _) in std::mem::take(&mut self.watchers) {
            self.outputs.push_back(Output::End(key, error.clone()));
        }
        self.queue.clear();
        self.awaiting = 0;
    }
}

/// Returns the most bytes that a creation with these options takes.
fn create_len(options: &WatchOptions) -> usize {
    let create = RequestUnion::CreateRequest(options.create(i64::MAX, i64::MAX));
    WatchRequest { request_union: Some(create) }.encoded_len()
}
