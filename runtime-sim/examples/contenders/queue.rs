//! One who puts items into a queue and takes some out.

use crate::contender::Healed;
use crate::log::Log;
use etcd3::Client;
use etcd3::recipes::{Queue, RecipeError};
use etcd3_core::rng::Rng;
use etcd3_sim::World;
use std::time::Duration;

pub(crate) const NAME: &str = "queue";
/// How many items each adds.
const ITEMS: u64 = 12;

pub(crate) struct User {
    pub(crate) world: World,
    pub(crate) client: Client,
    pub(crate) number: u32,
    pub(crate) rng: Rng,
    pub(crate) log: Log,
    pub(crate) healed: Healed,
}

impl User {
    pub(crate) async fn work(mut self) {
        let queue = Queue::new(&self.client, NAME);
        let mut added = 0;
        while added < ITEMS || !self.healed.is_set() {
            if added < ITEMS && self.rng.below(2) == 0 {
                self.add(&queue, added).await;
                added += 1;
            } else {
                let wait = Duration::from_millis(1 + self.rng.below(2_000));
                self.note(queue.dequeue_timeout(wait).await);
            }
            self.world.sleep(Duration::from_millis(self.rng.below(600))).await;
        }
    }

    async fn add(&self, queue: &Queue, n: u64) {
        let value = format!("{}-{n}", self.number);
        match queue.enqueue(&value).await {
            Ok(_) => self.log.item(&value, |item| item.is_enqueued = true),
            Err(_) => self.log.item(&value, |_| {}),
        }
    }

    fn note(&self, taken: Result<Option<etcd3::KeyValue>, RecipeError>) -> bool {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match taken {
            Ok(Some(item)) => self.log.item(&text(&item.value), |item| item.taken += 1),
            Ok(None) => return false,
            Err(RecipeError::ClaimUnknown(claim)) => {
                self.log.item(&text(&claim.item.value), |item| item.unknown += 1);
            }
            Err(_) => {}
        }
        true
    }

    /// Takes all that is left.
    pub(crate) async fn drain(&self) {
        let queue = Queue::new(&self.client, NAME);
        while self.note(queue.try_dequeue().await) {}
    }
}
