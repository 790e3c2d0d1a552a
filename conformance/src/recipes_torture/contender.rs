//! One contender: a lock, a leadership, items of a queue, in turns.

use super::report::Told;
use crate::load::pause;
use etcd3::recipes::{Election, Mutex, Queue, RecipeError};
use etcd3::runtime::{BoxFuture, Runtime};
use etcd3::{Bytes, Client, Compare, KeyValue, Session, put};
use etcd3_core::rng::Rng;
use etcd3_sim::history::contention::{Hold, Kind, fenced_value};
use futures_lite::future::or;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The time to live of sessions.
const TTL: Duration = Duration::from_secs(3);
/// How long a contender waits for its turn.
const TURN: Duration = Duration::from_secs(10);
const QUEUE: &str = "queue";

pub(super) struct Contender {
    pub(super) rt: Arc<dyn Runtime>,
    pub(super) client: Client,
    pub(super) number: u64,
    pub(super) rng: Rng,
    pub(super) told: Told,
    pub(super) is_over: Arc<AtomicBool>,
}

/// What is held, and how it is given up.
struct Held {
    kind: Kind,
    key: Bytes,
    create_revision: i64,
    revision: i64,
    fence: Compare,
    lost: BoxFuture<'static, RecipeError>,
    release: BoxFuture<'static, Result<(), RecipeError>>,
}

impl Contender {
    pub(super) async fn work(mut self) {
        let queue = Queue::new(&self.client, QUEUE);
        let mut items = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let Ok(session) = self.client.session(TTL).await else {
                pause(&self.rt, Duration::from_millis(200)).await;
                continue;
            };
            while session.is_valid() && !self.is_over.load(Ordering::Relaxed) {
                match self.rng.below(3) {
                    0 => self.hold(lock(&session).await).await,
                    1 => self.hold(lead(&session).await).await,
                    _ => {
                        self.enqueue(&queue, items).await;
                        items += 1;
                        note(&self.told, queue.dequeue_timeout(Duration::from_secs(1)).await);
                    }
                }
            }
            // Whether it succeeds or not: its lease ends by itself.
            let _ = session.close().await;
        }
        self.client.close().await;
    }

    async fn enqueue(&self, queue: &Queue, n: u64) {
        let value = format!("{}-{n}", self.number);
        let is_enqueued = queue.enqueue(&value).await.is_ok();
        self.told.item(&value, |item| item.is_enqueued |= is_enqueued);
    }

    /// Writes while it holds, and once more when it does not.
    async fn hold(&mut self, held: Result<Option<Held>, RecipeError>) {
        let Ok(Some(held)) = held else {
            return pause(&self.rt, Duration::from_millis(20)).await;
        };
        let key = String::from_utf8_lossy(&held.key).into_owned();
        let value = fenced_value(&key, held.create_revision);
        let number = self.told.acquired(Hold {
            kind: held.kind,
            key,
            create_revision: held.create_revision,
            revision: held.revision,
            from: self.rt.now(),
            until: None,
            untold: None,
            is_deleted: false,
        });
        let waits: Vec<u64> = (0..=self.rng.below(3)).map(|_| self.rng.below(300)).collect();
        let work = async {
            for wait in waits {
                pause(&self.rt, Duration::from_millis(wait)).await;
                // As long as it does not know, it holds what it has, or is told of the loss.
                while self.write(held.kind, held.fence.clone(), &value).await.is_none() {}
            }
            false
        };
        let lost = async {
            let reason = held.lost.await;
            self.told.over(number, self.rt.now());
            if let RecipeError::KeyDeleted(_) = reason {
                self.told.deleted(number);
            }
            true
        };
        let is_lost = or(lost, work).await;
        self.told.over(number, self.rt.now());
        self.told.lost(is_lost);
        let _ = held.release.await;
        self.write(held.kind, held.fence, &value).await;
    }

    /// Writes if the fence holds; returns whether it did, if that is known.
    async fn write(&self, kind: Kind, fence: Compare, value: &str) -> Option<bool> {
        let write = self.client.txn().when([fence]).then([put(kind.fenced(), value)]);
        let done = write.timeout(Duration::from_secs(2)).await;
        let is_accepted = done.ok().map(|done| done.succeeded);
        self.told.wrote(is_accepted);
        is_accepted
    }
}

async fn lock(session: &Session) -> Result<Option<Held>, RecipeError> {
    let mutex = Mutex::new(session, Kind::Mutex.name());
    let Some(guard) = mutex.lock_timeout(TURN).await? else { return Ok(None) };
    Ok(Some(Held {
        kind: Kind::Mutex,
        key: guard.key().clone(),
        create_revision: guard.create_revision(),
        revision: guard.header().revision,
        fence: guard.fence(),
        lost: Box::pin(guard.lost()),
        release: Box::pin(async move { guard.unlock().await }),
    }))
}

async fn lead(session: &Session) -> Result<Option<Held>, RecipeError> {
    let election = Election::new(session, Kind::Election.name());
    let Some(leader) = election.campaign_timeout("me", TURN).await? else { return Ok(None) };
    Ok(Some(Held {
        kind: Kind::Election,
        key: leader.key().clone(),
        create_revision: leader.create_revision(),
        revision: 0,
        fence: leader.fence(),
        lost: Box::pin(leader.lost()),
        release: Box::pin(async move { leader.resign().await }),
    }))
}

/// Notes what was taken; false where there was nothing.
fn note(told: &Told, taken: Result<Option<KeyValue>, RecipeError>) -> bool {
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    match taken {
        Ok(Some(item)) => told.item(&text(&item.value), |item| item.taken += 1),
        Ok(None) => return false,
        Err(RecipeError::ClaimUnknown(claim)) => {
            told.item(&text(&claim.item.value), |item| item.unknown += 1);
        }
        Err(_) => {}
    }
    true
}

/// Takes all items that are left.
pub(super) async fn drain(client: &Client, told: &Told) {
    let queue = Queue::new(client, QUEUE);
    while note(told, queue.try_dequeue().await) {}
}
