//! All that the store of a cluster went through, what has been compacted included.

use crate::model::store::Store;
use etcd3::proto::mvccpb::Event;

/// Every change and every compaction, as the member noted them that was the first to apply them.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// The last revision that was noted.
    revision: i64,
    pub(super) events: Vec<Event>,
    pub(super) compactions: Vec<i64>,
}

impl Past {
    /// Notes what the entry did that was just applied; it made one revision at most.
    pub(super) fn note(&mut self, store: &Store) {
        if store.revision() > self.revision {
            self.revision = store.revision();
            self.events.extend(store.log.get(&self.revision).into_iter().flatten().cloned());
        }
        let compacted = store.compacted();
        if compacted > 0 && self.compactions.last().is_none_or(|last| *last < compacted) {
            self.compactions.push(compacted);
        }
    }
}
