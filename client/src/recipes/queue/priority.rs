//! The queue in which items are taken by their priority.

use super::super::RecipeError;
use super::super::unique;
use super::items::{Items, Order};
use crate::{Bytes, Client, GetResponse, IntoBytes, KeyValue, get, key, ops, prefix, put};
use std::time::Duration;

/// A queue, whose items are taken by their priority, the lowest number first, and those of one
/// priority in the order in which they were enqueued, each by one reader.
///
/// An item belongs to whoever took it, as in a [`Queue`](super::Queue). It is taken only while
/// there is none before it, also of those that came after it was read.
///
/// # Keys
///
/// An item is a key `NAME/PPPPP/SSSSSSSSSSSSSSSS-…` with the item as its value: the priority in
/// five digits, a number one above that of the last item of this priority in sixteen, and a unique
/// name. With each item its writer writes the empty key `__NAME/PPPPP`, by which the numbers are
/// given out once; it stays when the queue is empty. Go's `recipe.PriorityQueue` and this one can
/// use the same queue. Its keys end with the number; since it gives a number out again when the
/// item is gone, its writers cannot tell whether a write without an answer was made. Therefore the
/// unique name here.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::PriorityQueue;
///
/// # etcd3_sim::example(|client| async move {
/// let queue = PriorityQueue::new(&client, "jobs");
/// queue.enqueue("sweep", 9).await?;
/// queue.enqueue("put the fire out", 0).await?;
///
/// assert_eq!(queue.dequeue().await?.value, "put the fire out");
/// assert_eq!(queue.dequeue().await?.value, "sweep");
/// # Ok(())
/// # });
/// ```
// X44
#[derive(Debug, Clone)]
pub struct PriorityQueue {
    items: Items,
}

impl PriorityQueue {
    /// Makes a handle of the queue of this name; sends nothing.
    pub fn new(client: &Client, name: impl IntoBytes) -> Self {
        let items = Items::new(client, &name.into_bytes(), Order::Key);
        Self { items }
    }

    /// Adds an item of this priority; returns its key.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::enqueue`](super::Queue::enqueue).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the item is added.
    // X44
    pub async fn enqueue(&self, item: impl IntoBytes, priority: u16) -> Result<Bytes, RecipeError> {
        let (client, item) = (self.items.client(), item.into_bytes());
        let mut class = self.items.prefix().to_vec();
        class.extend_from_slice(format!("{priority:05}").as_bytes());
        // Written with every item of the priority, so that it shows whether another one came.
        let guard = key([b"__", &class[..]].concat());
        class.push(b'/');
        let last = get(prefix(class.clone())).last_key().keys_only();
        let mut found = client.execute(last.clone()).await?;
        loop {
            let begin = [&class[..], format!("{:016}-", next_number(&found)).as_bytes()].concat();
            let name = unique::draw(client, &begin);
            let nobody_else = guard.clone().mod_revision().le(found.header.revision);
            let written = client
                .txn()
                .when([nobody_else])
                .then(ops![put(guard.start().clone(), ""), put(name.clone(), item.clone())])
                .otherwise(ops![last.clone()]);
            match written.await {
                Ok(done) if done.succeeded => return Ok(name),
                Ok(mut done) => found = done.responses.remove(0).into_get().unwrap_or_default(),
                Err(error) => {
                    unique::settle(client, &name, error).await?;
                    return Ok(name);
                }
            }
        }
    }

    /// Takes the first item, and waits for one if there is none; like
    /// [`Queue::dequeue`](super::Queue::dequeue). An item that is put back has its priority and
    /// number as before.
    ///
    /// # Errors
    ///
    /// Those of [`Queue::dequeue`](super::Queue::dequeue).
    ///
    /// # Cancel safety
    ///
    /// That of [`Queue::dequeue`](super::Queue::dequeue).
    pub async fn dequeue(&self) -> Result<KeyValue, RecipeError> {
        self.items.take().await
    }

    /// Takes the first item if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`dequeue`](Self::dequeue).
    ///
    /// # Cancel safety
    ///
    /// That of [`dequeue`](Self::dequeue).
    pub async fn try_dequeue(&self) -> Result<Option<KeyValue>, RecipeError> {
        self.items.try_take().await
    }

    /// Takes the first item, and waits for one for so long at most; a claim that was begun is
    /// brought to its end.
    ///
    /// # Errors
    ///
    /// Those of [`dequeue`](Self::dequeue).
    ///
    /// # Cancel safety
    ///
    /// That of [`dequeue`](Self::dequeue).
    pub async fn dequeue_timeout(&self, time: Duration) -> Result<Option<KeyValue>, RecipeError> {
        self.items.take_within(time).await
    }
}

/// Returns the number of the next item, after the last one; 0 where there is none with a number.
fn next_number(found: &GetResponse) -> u64 {
    let number = |key: &Bytes| {
        let name = key.rsplit(|byte| *byte == b'/').next()?;
        let digits = name.split(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse::<u64>().ok()
    };
    let last = found.first().and_then(|pair| number(&pair.key));
    last.map_or(0, |number| number.saturating_add(1))
}
