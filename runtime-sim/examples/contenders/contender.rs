//! One contender: holds one thing after the other, and writes in its name.

use crate::held::{Held, acquire};
use crate::log::Log;
use etcd3::recipes::RecipeError;
use etcd3::runtime::Instant;
use etcd3::{Client, Compare, SortOrder, SortTarget, delete, key, prefix, put};
use etcd3_core::rng::Rng;
use etcd3_sim::World;
use etcd3_sim::history::contention::{Hold, Kind, fenced_value};
use futures_lite::future::or;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long after another one holds it a loss may be told.
pub(crate) const TOLD: Duration = Duration::from_secs(1);
/// The time to live of the sessions, which some faults outlast.
const TTL: Duration = Duration::from_secs(3);

/// When all faults are over, as far as that is known yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Healed(Arc<Mutex<Option<Instant>>>);

impl Healed {
    pub(crate) fn set(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

pub(crate) struct Contender {
    pub(crate) world: World,
    pub(crate) client: Client,
    pub(crate) rng: Rng,
    pub(crate) log: Log,
    pub(crate) healed: Healed,
}

impl Contender {
    /// Contends until all is well again, and then for each thing until it had it once more.
    // Progress after the faults: whoever waits then gets what it waits for.
    pub(crate) async fn work(mut self) {
        let mut left = Kind::ALL.to_vec();
        while !left.is_empty() {
            let Ok(session) = self.client.session(TTL).await else {
                self.pause(300).await;
                continue;
            };
            while session.is_valid() && !left.is_empty() {
                let is_healed = self.healed.is_set();
                let any =
                    usize::try_from(self.rng.below(Kind::ALL.len() as u64)).unwrap_or_default();
                let kind = if is_healed { left[0] } else { Kind::ALL[any] };
                let limit = Duration::from_millis(if is_healed { 60_000 } else { 4_000 });
                match acquire(&session, kind, limit).await {
                    Ok(Some(held)) => {
                        self.hold(kind, held).await;
                        if is_healed {
                            left.remove(0);
                        }
                    }
                    Ok(None) => self.log.seen().counters.given_up += 1,
                    Err(RecipeError::KeyDeleted(_)) => self.log.seen().counters.key_deleted += 1,
                    Err(_) => self.pause(200).await,
                }
                if !is_healed && self.rng.below(4) == 0 {
                    self.disturb().await;
                }
            }
            let closed = self.world.now() + TTL;
            while session.close().await.is_err() && self.world.now() < closed {
                self.pause(200).await;
            }
        }
    }

    /// Holds for a while, and gives it up in one of several ways.
    async fn hold(&mut self, kind: Kind, held: Box<dyn Held>) {
        let name = String::from_utf8_lossy(&held.key()).into_owned();
        let number = self.log.acquired(Hold {
            kind,
            key: name.clone(),
            create_revision: held.create_revision(),
            revision: held.revision(),
            from: self.world.now(),
            until: None,
            untold: None,
            is_deleted: false,
        });
        let value = fenced_value(&name, held.create_revision());
        let (fence, mut lost, mut is_lost) = (held.fence(), held.lost(), false);
        for _ in 0..=self.rng.below(4) {
            let wait = Duration::from_millis(self.rng.below(1_200));
            let work = async {
                self.world.sleep(wait).await;
                if self.write(kind, fence.clone(), &value).await == Some(false) {
                    let since = self.world.now();
                    self.world.sleep(TOLD).await;
                    self.log.seen().holds[number].untold = Some(since);
                }
                false
            };
            let told = async {
                let reason = (&mut lost).await;
                // Noted here: the call that is under way is no matter.
                self.log.over(number, self.world.now());
                let is_deleted = matches!(reason, RecipeError::KeyDeleted(_));
                self.log.seen().holds[number].is_deleted = is_deleted;
                true
            };
            is_lost = or(told, work).await;
            if is_lost {
                break;
            }
        }
        self.log.over(number, self.world.now());
        if is_lost {
            self.log.seen().counters.losses += 1;
        }
        if is_lost || self.rng.below(4) > 0 {
            let _ = held.release().await;
        }
        drop(held);
        // I-S1: the fence of a past holder.
        self.pause(100).await;
        self.log.seen().counters.late += 1;
        self.write(kind, fence, &value).await;
    }

    /// Writes if the fence holds; returns whether it did, if that is known.
    async fn write(&self, kind: Kind, fence: Compare, value: &str) -> Option<bool> {
        let write = self.client.txn().when([fence]).then([put(kind.fenced(), value)]);
        let done = write.timeout(Duration::from_secs(2)).await;
        let counters = &mut self.log.seen().counters;
        let Ok(done) = done else {
            counters.unknown += 1;
            return None;
        };
        *if done.succeeded { &mut counters.accepted } else { &mut counters.refused } += 1;
        Some(done.succeeded)
    }

    /// Deletes the key of one that waits, which has to notice it.
    async fn disturb(&mut self) {
        let kind = if self.rng.below(2) == 0 { Kind::Mutex } else { Kind::Election };
        let all = self.client.get(prefix(format!("{}/", kind.name()))).keys_only();
        let Ok(found) = all.sort(SortTarget::Create, SortOrder::Ascend).await else { return };
        let (Some(first), Some(last)) = (found.kvs.first(), found.kvs.last()) else { return };
        if first.key == last.key {
            return;
        }
        let is_there = |it: &etcd3::KeyValue| key(&it.key).create_revision().eq(it.create_revision);
        let when = [is_there(first), is_there(last)];
        let _ = self.client.txn().when(when).then([delete(&last.key)]).await;
    }

    async fn pause(&self, millis: u64) {
        self.world.sleep(Duration::from_millis(millis)).await;
    }
}
