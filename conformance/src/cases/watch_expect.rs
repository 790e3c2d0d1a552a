//! What cases about watches do over and over: take events, and see that nothing else comes.

use crate::{BoxError, Ctx};
use etcd3::{Client, Error, Event, Watch, WatchBatch, WatchHandle, WatchItem};
use futures_lite::FutureExt;
use std::time::Duration;

/// The longest wait for something that is due.
pub(super) const LIMIT: Duration = Duration::from_secs(30);
/// A request for progress is made again after this time: servers do not answer while a watch of the
/// stream catches up.
// W23
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// A watch whose batches are all checked: none is empty, none repeats or goes back, and none ends
/// within a revision.
// I-W2, I-W3
pub(super) struct Reader {
    ctx: Ctx,
    watch: Watch,
    /// The last revision of the last batch.
    last: i64,
}

impl Reader {
    pub(super) fn new(ctx: &Ctx, watch: Watch) -> Self {
        Self { ctx: ctx.clone(), watch, last: 0 }
    }

    pub(super) fn handle(&self) -> WatchHandle {
        self.watch.handle()
    }

    /// Returns the next item, which is due.
    pub(super) async fn item(&mut self) -> Result<WatchItem, BoxError> {
        let next = self.ctx.within(LIMIT, self.watch.next_item()).await;
        let item = next.ok_or("nothing comes")?.ok_or("the watch has ended")??;
        if let WatchItem::Events(batch) = &item {
            let first = batch.events.first().ok_or("a batch without events")?.revision();
            assert!(first > self.last, "{first} after {}", self.last);
            assert!(batch.events.is_sorted_by_key(Event::revision), "{batch:?}");
            self.last = batch.revision();
        }
        Ok(item)
    }

    /// Returns the next batch, which is due; what comes before it is of no interest.
    pub(super) async fn batch(&mut self) -> Result<WatchBatch, BoxError> {
        loop {
            if let WatchItem::Events(batch) = self.item().await? {
                return Ok(batch);
            }
        }
    }

    /// Returns the next events, so many; a batch ends with the last of them.
    pub(super) async fn take(&mut self, count: usize) -> Result<Vec<Event>, BoxError> {
        let mut events = vec![];
        while events.len() < count {
            events.extend(self.batch().await?);
        }
        assert_eq!(events.len(), count, "{events:?}");
        Ok(events)
    }

    /// Returns all events up to a revision: those that come before the server says that there are
    /// no others.
    pub(super) async fn all_to(&mut self, revision: i64) -> Result<Vec<Event>, BoxError> {
        let handle = self.handle();
        let told = async {
            loop {
                let asked = async { Some(handle.request_progress().await) };
                let again = async {
                    self.ctx.pause(ASK_AGAIN).await;
                    None
                };
                if asked.or(again).await.transpose()?.is_some_and(|told| told >= revision) {
                    return Ok::<_, Error>(());
                }
            }
        };
        self.ctx.within(LIMIT, told).await.ok_or("no progress is told")??;
        let mut events = vec![];
        loop {
            match self.item().await? {
                WatchItem::Events(batch) => events.extend(batch),
                WatchItem::Progress(told) if told >= revision => return Ok(events),
                _ => {}
            }
        }
    }

    /// Returns why the watch ended, which is due, and nothing follows; there may be news before it,
    /// but no events.
    pub(super) async fn end(&mut self) -> Result<Error, BoxError> {
        loop {
            let next = self.ctx.within(LIMIT, self.watch.next_item()).await;
            match next.ok_or("the watch does not end")?.ok_or("it ends without a reason")? {
                Ok(WatchItem::Events(batch)) => panic!("events instead of the end: {batch:?}"),
                Ok(_) => {}
                Err(error) => {
                    assert!(self.watch.next_item().await.is_none(), "something follows");
                    return Ok(error);
                }
            }
        }
    }
}

/// Returns the events in short, with revisions counted from `base`: `2 a=b`, `3 -a`.
pub(super) fn lines(base: i64, events: &[Event]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let line = |event: &Event| {
        let (revision, key) = (event.revision() - base, text(&event.kv.key));
        if event.is_delete() {
            // W10: nothing else is known of it.
            let kv = &event.kv;
            assert_eq!((kv.version, kv.create_revision, kv.value.len()), (0, 0, 0), "{event:?}");
            return format!("{revision} -{key}");
        }
        format!("{revision} {key}={}", text(&event.kv.value))
    };
    events.iter().map(line).collect()
}

/// Returns the revision of the store.
pub(super) async fn revision(client: &Client) -> Result<i64, Error> {
    Ok(client.get("revision").await?.header.revision)
}
