//! Listings with the changes after them, added up.

use super::{PREFIX, State, TURN, Watching, choose, draw, may_fail, millis};
use etcd3::{Client, Difference, KeyValue, ListWatch, ListWatchItem, prefix};
use etcd3_core::rng::Rng;
use etcd3_sim::Host;
use std::time::Duration;

/// Somebody who lists and watches, once or several times.
pub(super) struct Lister {
    pub(super) all: Watching,
    pub(super) host: Host,
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) rng: Rng,
}

/// What was delivered, added up.
#[derive(Default)]
struct Sum {
    state: State,
    revision: i64,
    resyncs: u64,
    /// Whether differences are to come.
    is_behind: bool,
    is_listed: bool,
}

impl Sum {
    fn put(&mut self, pair: &KeyValue) {
        self.state.insert(pair.key.to_vec(), (pair.mod_revision, pair.value.to_vec()));
    }

    /// Adds an item; says whether the sum is a state of the store now.
    fn add(&mut self, item: ListWatchItem) -> Result<bool, String> {
        let expect = |is_so: bool, what: &str| if is_so { Ok(()) } else { Err(what.to_owned()) };
        match item {
            ListWatchItem::Page(pairs) => {
                expect(!self.is_listed, "a page after the listing")?;
                for pair in &pairs {
                    self.put(pair);
                }
            }
            ListWatchItem::Listed(revision) => {
                expect(!self.is_listed, "listed twice")?;
                (self.is_listed, self.revision) = (true, revision);
                return Ok(true);
            }
            ListWatchItem::Events(batch) => {
                expect(self.is_listed && !self.is_behind, "events between differences")?;
                expect(batch.events[0].revision() > self.revision, "events that were known")?;
                self.revision = batch.revision();
                for event in batch {
                    if event.is_delete() {
                        self.state.remove(&event.kv.key.to_vec());
                    } else {
                        self.put(&event.kv);
                    }
                }
                return Ok(true);
            }
            ListWatchItem::Compacted { requested, .. } => {
                // A listing that is compacted says that it begins anew, too.
                expect(requested > self.revision || self.is_behind || !self.is_listed, "too old")?;
                (self.is_behind, self.is_listed) = (true, true);
            }
            ListWatchItem::Differences(differences) => {
                expect(self.is_behind, "differences that nobody expects")?;
                for difference in differences {
                    match difference {
                        Difference::Put(pair) => self.put(&pair),
                        Difference::Delete(key) => {
                            let known = self.state.remove(&key.to_vec());
                            expect(known.is_some(), "a deletion of what was not there")?;
                        }
                        _ => {}
                    }
                }
            }
            ListWatchItem::Resynced(revision) => {
                expect(std::mem::take(&mut self.is_behind), "resynced out of nothing")?;
                expect(revision >= self.revision, "resynced to the past")?;
                self.revision = revision;
                self.resyncs += 1;
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

impl Lister {
    pub(super) async fn run(mut self) -> Result<(), String> {
        loop {
            let mut list = self.client.list_watch(prefix(PREFIX));
            if self.rng.below(2) == 0 {
                list = list.prev_kv();
            }
            if self.rng.below(2) == 0 {
                list = list.progress_notify().max_buffered_bytes(700);
            }
            let lasts = (self.rng.below(2) == 0).then(|| millis(&mut self.rng, 15_000));
            if self.follow(list, lasts).await.map_err(|it| format!("{}: {it}", self.name))? {
                return Ok(());
            }
        }
    }

    /// Follows a listing until it is left; says whether everything was delivered.
    async fn follow(
        &mut self,
        mut list: ListWatch,
        lasts: Option<Duration>,
    ) -> Result<bool, String> {
        let all = self.all.clone();
        let mut sum = Sum::default();
        let end = lasts.map(|lasts| all.world.now() + lasts);
        let pause_ms = choose(&mut self.rng, &[1, 1, 1_500]);
        loop {
            let through = all.through();
            if through.is_some_and(|through| sum.revision >= through && !sum.is_behind) {
                all.note_state(&self.name, sum.revision, sum.state);
                return Ok(true);
            }
            if through.is_none() && end.is_some_and(|end| end <= all.world.now()) {
                return Ok(false);
            }
            let Some(item) = all.within(TURN, list.next()).await else { continue };
            let whole = match item {
                Some(Ok(item)) => {
                    if let ListWatchItem::Events(batch) = &item {
                        draw(&self.host, &self.name, batch);
                    }
                    sum.add(item)?
                }
                // Until there is a listing, nobody knows it from a call.
                Some(Err(error)) if may_fail(&error) && !sum.is_listed => return Ok(false),
                Some(Err(error)) => return Err(format!("ended: {}", error.report())),
                None => return Err("ended without a reason".to_owned()),
            };
            all.found().resyncs += std::mem::take(&mut sum.resyncs);
            if whole && self.rng.below(8) == 0 {
                all.note_state(&self.name, sum.revision, sum.state.clone());
            }
            if through.is_none() {
                all.world.sleep(millis(&mut self.rng, pause_ms)).await;
            }
        }
    }
}
