//! Compaction: what is forgotten, and what stays readable.

// K16, K28

use super::refusal::{crash, refuse};
use super::store::Store;
use etcd3::proto::mvccpb::Event;
use etcd3::{ServerError, Status};

impl Store {
    /// Forgets what is needed only to read below `revision`, which itself stays readable.
    ///
    /// # Errors
    ///
    /// `OutOfRange`: "compacted" when the revision is compacted already, "future" when it is yet to
    /// come; `Internal` when servers of the version would lose a key by it.
    pub fn compact(&mut self, revision: i64) -> Result<(), Status> {
        if revision <= self.compacted {
            return Err(refuse(ServerError::Compacted));
        }
        if revision > self.revision() {
            return Err(refuse(ServerError::FutureRev));
        }
        if !self.personality.compaction_drops_tombstone && self.brings_back_at(revision) {
            return Err(crash("the compaction loses a key, and the next read of it is fatal"));
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

    /// Tells whether a key is deleted and then put within this revision, as a deletion with an open
    /// end in a transaction allows. Servers that keep the deletion drop the put instead, and stop
    /// with "range failed to find revision pair" at the next read of the key at that version.
    fn brings_back_at(&self, revision: i64) -> bool {
        let events = self.log.get(&revision).map_or(&[][..], Vec::as_slice);
        let kvs: Vec<_> = events.iter().filter_map(|event| event.kv.as_ref()).collect();
        kvs.iter().enumerate().any(|(at, kv)| {
            let is_gone = || kvs[..at].iter().any(|gone| gone.version == 0 && gone.key == kv.key);
            kv.version != 0 && is_gone()
        })
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
            is_last && !(is_deletion && self.personality.compaction_drops_tombstone)
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
