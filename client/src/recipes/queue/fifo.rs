//! The queue in which items are taken in the order in which they came.

use super::super::RecipeError;
use super::super::unique::{self, Content};
use super::items::{Items, Order};
use crate::{Bytes, Client, IntoBytes, KeyValue};
use std::time::Duration;

/// A queue, whose items are taken in the order in which they were enqueued, each by one reader.
///
/// An item belongs to whoever took it: it is deleted by that, and nobody else gets it when its
/// reader dies. Handles are cheap to clone; any number of readers and writers may use a queue.
///
/// # Keys
///
/// An item is a key `NAME/…` of a unique name, with the item as its value; the order is that of the
/// revisions that wrote them. Go's `recipe.Queue` and this one can use the same queue. That one
/// reads all keys that begin with the name, so that the readers of `q` take the items of `q2` as
/// well; this one reads what is behind `NAME/` alone. Among Go's readers, let no name of a queue be
/// the beginning of another one, and nowhere put a queue below another one, as `q/a` would be
/// below `q`.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::Queue;
///
/// # etcd3_sim::example(|client| async move {
/// let queue = Queue::new(&client, "jobs");
/// queue.enqueue("paint").await?;
/// queue.enqueue("dry").await?;
///
/// assert_eq!(queue.dequeue().await?.value, "paint");
/// assert_eq!(queue.dequeue().await?.value, "dry");
/// assert!(queue.try_dequeue().await?.is_none());
/// # Ok(())
/// # });
/// ```
// X43
#[derive(Debug, Clone)]
pub struct Queue {
    items: Items,
}

impl Queue {
    /// Makes a handle of the queue of this name; sends nothing.
    pub fn new(client: &Client, name: impl IntoBytes) -> Self {
        let items = Items::new(client, &name.into_bytes(), Order::Revision);
        Self { items }
    }

    /// Adds an item; returns its key.
    ///
    /// # Errors
    ///
    /// Those of a write. It is never written twice. When the answer is lost, the item is looked
    /// for; the outcome is *unknown* only if it is not found then: a reader may have taken it
    /// already, or it was not written, or is yet to be.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the item is added.
    // X43, X46
    pub async fn enqueue(&self, item: impl IntoBytes) -> Result<Bytes, RecipeError> {
        let content = Content::lasting(item.into_bytes());
        let key = unique::create(self.items.client(), self.items.prefix(), content).await?;
        Ok(key)
    }

    /// Takes the oldest item, and waits for one if there is none, across lost connections, members
    /// and compactions. The item is as it was: with its key, and the revision that wrote it.
    ///
    /// # Errors
    ///
    /// Those of a read and of a write, but none that passes once it waits. Nothing was taken then,
    /// unless it is [`ClaimUnknown`](RecipeError::ClaimUnknown): a call by which an item was to be
    /// taken ended without an answer, and the item, which is in the error, is gone since. As long
    /// as the item is there, it is claimed again instead.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing. When an item was being claimed, that is done to the end
    /// in the background, and the next call on this handle or one of its clones gets the item, or
    /// the error. If there is none within a second, or the last handle is dropped before, the item
    /// is put back, as the youngest one; before the client is
    /// [closed](crate::Client::close), too. Only if the outcome of this is unknown, and the item is
    /// not found, or a client that is closed cannot wait for it, it may be lost.
    pub async fn dequeue(&self) -> Result<KeyValue, RecipeError> {
        self.items.take().await
    }

    /// Takes the oldest item if there is one.
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

    /// Takes the oldest item, and waits for one for so long at most; a claim that was begun is
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
