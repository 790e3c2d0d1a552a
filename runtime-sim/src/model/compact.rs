//! Compaction: what is forgotten, and what stays readable (K16, K28).

use super::refusal::refuse;
use super::store::Store;
use etcd3_client::proto::mvccpb::Event;
use etcd3_client::{ServerError, Status};

impl Store {
    /// Forgets what is needed only to read below `revision`, which itself stays readable.
    ///
    /// # Errors
    ///
    /// `OutOfRange`: "compacted" when the revision is compacted already, "future" when it is yet to
    /// come.
    pub fn compact(&mut self, revision: i64) -> Result<(), Status> {
        if revision <= self.compacted {
            return Err(refuse(ServerError::Compacted));
        }
        if revision > self.revision() {
            return Err(refuse(ServerError::FutureRev));
        }
        self.compacted = revision;
        for versions in self.keys.values_mut() {
            // Of the versions up to the revision only the last is of use.
            let old = versions.iter().take_while(|version| version.revision <= revision).count();
            let keep = old.saturating_sub(1);
            versions.drain(..keep);
            if versions.first().is_some_and(|v| v.revision <= revision && v.live.is_none()) {
                versions.remove(0);
            }
        }
        self.keys.retain(|_, versions| !versions.is_empty());
        self.compact_log(revision);
        Ok(())
    }

    /// Forgets events below the revision, and at the revision those of versions that are gone.
    fn compact_log(&mut self, revision: i64) {
        self.log = self.log.split_off(&revision);
        let Some(events) = self.log.get_mut(&revision) else { return };
        let all = std::mem::take(events);
        let stays = |at: usize, event: &Event| {
            let key = event.kv.as_ref().map(|kv| &kv.key);
            let is_last = !all[at + 1..].iter().any(|e| e.kv.as_ref().map(|kv| &kv.key) == key);
            let is_deletion = event.kv.as_ref().is_some_and(|kv| kv.version == 0);
            is_last && !(is_deletion && self.drops_tombstone)
        };
        let kept: Vec<_> = all
            .iter()
            .enumerate()
            .filter(|(at, e)| stays(*at, e))
            .map(|(_, e)| e.clone())
            .collect();
        if kept.is_empty() {
            self.log.remove(&revision);
        } else {
            *events = kept;
        }
    }
}
