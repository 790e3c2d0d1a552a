//! What is delivered, beside what happened.

use super::{Change, Watched, World};
use etcd3_core::watch::{self, Item, WatchBatch};
use etcd3_core::{Error, ErrorKind};

impl World {
    pub(super) fn deliver(&mut self, at: usize, item: Item) {
        let watched = &mut self.watched[at];
        assert!(!watched.is_over, "I4: {item:?} after the end");
        assert_eq!(watched.is_created, !matches!(item, Item::Created(_)), "{item:?}");
        match item {
            Item::Created(_) => watched.is_created = true,
            Item::Resumed(next) => assert!(next >= watched.next, "I-W4"),
            Item::Events(batch, bytes) => {
                let limit = watched.options.buffer_limit();
                watched.waiting += bytes;
                assert!(watched.waiting <= limit.max(limit / 2 + bytes), "I-W10");
                self.deliver_events(at, &batch);
            }
            Item::Progress(revision) => {
                let missing = self.expected(at).find(|(of, _)| *of <= revision);
                assert_eq!(missing, None, "I-W7: {at} is told of {revision}");
            }
        }
    }

    /// Returns what a watch is still to deliver.
    pub(super) fn expected(&self, at: usize) -> impl Iterator<Item = (i64, Vec<&Change>)> {
        let Watched { options, next, .. } = &self.watched[at];
        let leaves_deletes_out = !options.create(1, 1).filters.is_empty();
        let wants = move |change: &&Change| {
            options.range().contains(&change.0) && !(change.1 && leaves_deletes_out)
        };
        let after = self.history.range(*next..);
        let wanted =
            after.map(move |(of, all)| (*of, all.iter().filter(wants).collect::<Vec<_>>()));
        wanted.filter(|(_, changes)| !changes.is_empty())
    }

    /// I-W1–I-W3: the next revisions that there are, whole, and no others.
    fn deliver_events(&mut self, at: usize, batch: &WatchBatch) {
        for events in batch.revisions() {
            let delivered: Vec<Change> =
                events.iter().map(|event| (event.kv.key.to_vec(), event.is_delete())).collect();
            let revision = events.first().map(watch::Event::revision).unwrap_or_default();
            let delivered = Some((revision, delivered.iter().collect()));
            assert_eq!(delivered, self.expected(at).next(), "watch {at}");
            self.watched[at].next = revision + 1;
        }
    }

    /// I-W6: a watch ends for a compaction alone, and for a true one.
    pub(super) fn end(&mut self, at: usize, error: &Error) {
        let ErrorKind::WatchCompacted { requested, compacted } = error.kind() else {
            panic!("{at} ends: {error:?}");
        };
        assert!(requested < compacted && requested >= self.watched[at].next);
        let missing = self.expected(at).find(|(of, _)| *of < requested);
        assert_eq!(missing, None, "{at} has passed what it did not deliver");
        assert!(!std::mem::replace(&mut self.watched[at].is_over, true), "I4: {at} ends twice");
    }
}
