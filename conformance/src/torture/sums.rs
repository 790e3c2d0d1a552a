//! Listings with the changes after them, and caches: what is delivered adds up to the state.

use super::board::{Board, PREFIX};
use super::watchers::{CATCH_UP, TURN, may_fail};
use etcd3::{Client, Difference, KeyValue, ListWatch, ListWatchItem, prefix};
use etcd3_lab::load::Limit;
use std::collections::BTreeMap;

/// What somebody added up: by key, the revision that changed it and its value.
pub(super) type Pairs = BTreeMap<Vec<u8>, (i64, Vec<u8>)>;

/// What somebody added up, as of a revision.
pub(super) struct Added {
    pub(super) name: String,
    pub(super) revision: i64,
    pub(super) pairs: Pairs,
}

/// What a listing has delivered so far.
#[derive(Default)]
struct Sum {
    pairs: Pairs,
    revision: i64,
    /// Whether differences are to come.
    is_behind: bool,
}

impl Sum {
    fn put(&mut self, pair: &KeyValue) {
        self.pairs.insert(pair.key.to_vec(), (pair.mod_revision, pair.value.to_vec()));
    }

    fn add(&mut self, item: ListWatchItem) {
        match item {
            ListWatchItem::Page(page) => {
                for pair in &page {
                    self.put(pair);
                }
            }
            ListWatchItem::Listed(at) | ListWatchItem::Resynced(at) => {
                (self.revision, self.is_behind) = (at, false);
            }
            ListWatchItem::Compacted { .. } => self.is_behind = true,
            ListWatchItem::Events(batch) => {
                self.revision = batch.revision();
                for event in batch {
                    if event.is_delete() {
                        self.pairs.remove(&event.kv.key.to_vec());
                    } else {
                        self.put(&event.kv);
                    }
                }
            }
            ListWatchItem::Differences(differences) => {
                for difference in differences {
                    match difference {
                        Difference::Put(pair) => self.put(&pair),
                        other => drop(self.pairs.remove(&other.key().to_vec())),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Lists and watches until everything was delivered.
pub(super) async fn list(board: &Board, client: &Client, number: usize) -> Result<(), String> {
    loop {
        let list = client.list_watch(prefix(PREFIX));
        if let Some(Sum { pairs, revision, .. }) = follow(board, list).await? {
            let name = format!("list {number}");
            board.lock().added.push(Added { name, revision, pairs });
            return Ok(());
        }
    }
}

/// Follows a listing until everything was delivered; `None` when it did not begin.
async fn follow(board: &Board, mut list: ListWatch) -> Result<Option<Sum>, String> {
    let mut sum = Sum::default();
    let mut limit = None;
    loop {
        if let Some(through) = board.through() {
            if sum.revision >= through && !sum.is_behind {
                return Ok(Some(sum));
            }
            if limit.get_or_insert_with(|| Limit::new(CATCH_UP)).left().is_zero() {
                return Err(format!("a list at {} does not get to {through}", sum.revision));
            }
        }
        let Some(item) = board.within(TURN, list.next()).await else { continue };
        match item {
            Some(Ok(item)) => sum.add(item),
            Some(Err(error)) if may_fail(&error) && sum.revision == 0 => return Ok(None),
            Some(Err(error)) => return Err(format!("list ended: {}", error.report())),
            None => return Err("list ended without a reason".to_owned()),
        }
    }
}

/// Keeps a cache until everything is in it.
pub(super) async fn cache(
    board: &Board,
    client: &Client,
    number: usize,
    is_unordered: bool,
) -> Result<(), String> {
    let cache = loop {
        match client.cache(prefix(PREFIX)).await {
            Ok(cache) => break cache,
            Err(error) if may_fail(&error) => {}
            Err(error) => return Err(format!("no cache: {}", error.report())),
        }
    };
    let through = loop {
        if let Some(through) = board.through() {
            break through;
        }
        board.pause(TURN).await;
        // It goes on showing something, whatever happens.
        cache.get("t/00").map_err(|error| format!("cache ended: {}", error.report()))?;
    };
    let limit = Limit::new(CATCH_UP);
    while cache.wait_for(through).await.is_err() {
        if limit.left().is_zero() {
            return Err(format!("a cache at {} does not get to {through}", cache.revision()));
        }
    }
    if is_unordered {
        board.pause(TURN * 6).await;
    }
    // A change may come between the two.
    let (revision, found) = loop {
        let revision = cache.revision();
        let found = cache.range(prefix(PREFIX)).map_err(|error| error.report().to_string())?;
        if cache.revision() == revision {
            break (revision, found);
        }
    };
    let pairs = found.into_iter();
    let pairs = pairs.map(|it| (it.key.to_vec(), (it.mod_revision, it.value.to_vec())));
    let name = format!("cache {number}");
    board.lock().added.push(Added { name, revision, pairs: pairs.collect() });
    Ok(())
}
