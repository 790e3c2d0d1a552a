//! The barrier: a key that others wait for to be gone.

use super::RecipeError;
use super::race::within;
use super::unique;
use super::view::{Pairs, View};
use crate::{Bytes, Client, IntoBytes, Outcome, delete, key, put};
use std::time::Duration;

/// A barrier: whoever waits for it goes on once it is released, or at once if nobody holds it.
///
/// It is held by nobody in particular, and so outlives whoever set it up; anybody may release it.
///
/// # Keys
///
/// The key of its name, with a value that tells the attempt that created it. Go's
/// `recipe.Barrier`, which leaves the value empty, and this one can use the same barrier. There, a
/// wait succeeds when its watch is ended by a compaction or an error; here, it goes on.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::Barrier;
///
/// # etcd3_sim::example(|client| async move {
/// let barrier = Barrier::new(&client, "migration");
/// barrier.hold().await?;
/// let worker = Barrier::new(&client, "migration");
/// client.spawn(async move {
///     if worker.wait().await.is_ok() {
///         println!("the migration is done");
///     }
/// });
/// barrier.release().await?;
/// # barrier.wait().await?;
/// # Ok(())
/// # });
/// ```
// X40, X41
#[derive(Debug, Clone)]
pub struct Barrier {
    client: Client,
    key: Bytes,
}

impl Barrier {
    /// Makes a handle of the barrier of this name; sends nothing.
    pub fn new(client: &Client, name: impl IntoBytes) -> Self {
        Self { client: client.clone(), key: name.into_bytes() }
    }

    /// Returns its key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// Sets the barrier up.
    ///
    /// # Errors
    ///
    /// [`KeyExists`](RecipeError::KeyExists) when it is held already, and those of a write. When
    /// the answer is lost, the key is read; the outcome is *unknown* only if it is not there: it
    /// was released already, or not created, or is yet to be.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the barrier is held.
    pub async fn hold(&self) -> Result<(), RecipeError> {
        let mark = unique::draw(&self.client, b"");
        let created = put(self.key.clone(), mark.clone());
        let free = key(self.key.clone()).missing();
        let error = match self.client.txn().when([free]).then([created]).await {
            Ok(done) if done.succeeded => return Ok(()),
            Ok(_) => return Err(RecipeError::KeyExists(self.key.clone())),
            Err(error) if error.outcome() != Outcome::Unknown => return Err(error.into()),
            Err(error) => error,
        };
        let found = self.client.get(self.key.clone()).await;
        match found.ok().and_then(|found| found.value().cloned()) {
            Some(value) if value == mark => Ok(()),
            // Then this attempt will not create it, or had, and it was released since.
            Some(_) => Err(RecipeError::KeyExists(self.key.clone())),
            None => Err(error.into()),
        }
    }

    /// Releases the barrier, whoever holds it; returns whether it was held. One that is held anew
    /// meanwhile stays.
    ///
    /// # Errors
    ///
    /// Those of a read and of a write. It may be called again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the barrier is released.
    pub async fn release(&self) -> Result<bool, RecipeError> {
        let found = self.client.get(self.key.clone()).keys_only().await?;
        let Some(held) = found.into_first() else { return Ok(false) };
        let same = key(self.key.clone()).create_revision().eq(held.create_revision);
        self.client.txn().when([same]).then([delete(self.key.clone())]).await?;
        // If it was not the same, that one was released by somebody else.
        Ok(true)
    }

    /// Waits until the barrier is released, or nobody holds it, across lost connections, members
    /// and compactions; also if somebody holds it anew since.
    ///
    /// # Errors
    ///
    /// Those of a [`ListWatch`](crate::ListWatch): of the first read, and later on what does not
    /// pass.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    // I-S3, S-13
    pub async fn wait(&self) -> Result<(), RecipeError> {
        let mut view = View::new(&self.client, key(self.key.clone()));
        let mut held = None;
        let released = |pairs: &Pairs| {
            let now = pairs.values().next().map(|pair| pair.create_revision);
            // Another key than before: that one was released.
            (now.is_none() || *held.get_or_insert(now) != now).then_some(())
        };
        Ok(view.until(released).await?)
    }

    /// The same as [`wait`](Self::wait), for so long at most; returns whether that came.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only stops waiting.
    pub async fn wait_timeout(&self, time: Duration) -> Result<bool, RecipeError> {
        Ok(within(&self.client, time, self.wait()).await?.is_some())
    }
}
