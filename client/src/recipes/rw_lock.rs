//! A lock that many readers or one writer hold.

use super::RecipeError;
use super::contender::{Contender, Entered, Entry};
use super::guard::guard;
use super::race::within;
use super::unique;
use crate::{Bytes, Error, IntoBytes, Session, get, prefix};
use std::time::Duration;

/// A lock that either any number of readers hold, or one writer, in the order in which they came: a
/// reader waits for the writers before it, and a writer for all before it.
///
/// The handles of one session are as many contenders as they ask, so that a reader which asks to
/// write, too, waits for itself.
///
/// # Loss
///
/// To hold it, or to wait for it, is done in the name of a session. Once that is lost, a wait ends
/// with its reason within one round trip, and [`lost`](RwLockGuard::lost) completes: nobody
/// believes to hold what its session has let go, as with Go's `recipe.RWMutex`. Since a holder may
/// be suspended just then, make what only the holder may do a transaction with the
/// [`fence`](RwLockGuard::fence).
///
/// # Keys
///
/// A reader is a key `NAME/read/…`, a writer `NAME/write/…`, of a unique name, attached to the
/// lease of the session; the order is that of the revisions that created them. Go's
/// `recipe.RWMutex` and this one can contend for the same lock. Other keys below the name are not
/// waited for here; by writers of Go they are.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::RwLock;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// let lock = RwLock::new(&session, "report");
///
/// let (one, two) = (lock.read().await?, lock.read().await?);
/// assert!(lock.try_write().await?.is_none());
/// one.unlock().await?;
/// two.unlock().await?;
///
/// let writer = lock.write().await?;
/// client.txn().when([writer.fence()]).then([etcd3::put("report/text", "…")]).await?;
/// writer.unlock().await?;
/// # Ok(())
/// # });
/// ```
// X45, S-07
#[derive(Debug, Clone)]
pub struct RwLock {
    session: Session,
    /// Where all keys are.
    all: Bytes,
    readers: Bytes,
    writers: Bytes,
}

/// A lock that is held. Made by the methods of [`RwLock`].
///
/// Dropping it unlocks in the background, again and again until that is known to be done or the
/// session is gone. It keeps its session.
#[must_use = "a guard that is dropped unlocks"]
pub struct RwLockGuard {
    contender: Contender,
}

impl RwLock {
    /// Makes a handle of the lock of this name; sends nothing.
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes) -> Self {
        let name = name.into_bytes();
        let under = |part: &[u8]| [&name[..], part].concat().into_bytes();
        let (all, readers, writers) = (under(b"/"), under(b"/read/"), under(b"/write/"));
        Self { session: session.clone(), all, readers, writers }
    }

    /// Waits until no writer is before it, and holds the lock with other readers.
    ///
    /// # Errors
    ///
    /// The session is lost, or somebody deleted the key, also while it waits; and errors of calls
    /// that do not pass. What passes, is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no key behind: it is deleted in the background.
    pub async fn read(&self) -> Result<RwLockGuard, RecipeError> {
        self.hold(&self.readers, &self.writers, 0).await
    }

    /// Waits until nobody is before it, and holds the lock alone.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// That of [`read`](Self::read).
    pub async fn write(&self) -> Result<RwLockGuard, RecipeError> {
        self.hold(&self.writers, &self.all, 1).await
    }

    /// Holds the lock with other readers, if no writer holds it or waits for it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// That of [`read`](Self::read).
    pub async fn try_read(&self) -> Result<Option<RwLockGuard>, RecipeError> {
        self.try_hold(&self.readers, &[&self.writers]).await
    }

    /// Holds the lock alone, if nobody holds it or waits for it.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// That of [`read`](Self::read).
    pub async fn try_write(&self) -> Result<Option<RwLockGuard>, RecipeError> {
        self.try_hold(&self.writers, &[&self.readers, &self.writers]).await
    }

    /// The same as [`read`](Self::read), waiting for so long at most.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// That of [`read`](Self::read).
    pub async fn read_timeout(&self, time: Duration) -> Result<Option<RwLockGuard>, RecipeError> {
        within(self.session.client(), time, self.read()).await
    }

    /// The same as [`write`](Self::write), waiting for so long at most.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// That of [`read`](Self::read).
    pub async fn write_timeout(&self, time: Duration) -> Result<Option<RwLockGuard>, RecipeError> {
        within(self.session.client(), time, self.write()).await
    }

    /// Creates a key under `own`, and waits for those under `others` that are older; the key itself
    /// counts among them, if it is one of so many.
    async fn hold(
        &self,
        own: &Bytes,
        others: &Bytes,
        itself: u64,
    ) -> Result<RwLockGuard, RecipeError> {
        let entered = Box::pin(self.entry(own, others).enter(&self.session)).await?;
        let is_alone = entered.read.count <= itself;
        let contender = contender_of(entered)?;
        if !is_alone {
            contender.wait_to_be_first(others, |key| self.takes_part(key)).await?;
        }
        Ok(RwLockGuard { contender })
    }

    async fn try_hold(
        &self,
        own: &Bytes,
        others: &[&Bytes],
    ) -> Result<Option<RwLockGuard>, RecipeError> {
        let mut entry = self.entry(own, own);
        entry.only_if.extend(others.iter().map(|part| prefix((*part).clone()).missing()));
        let entered = Box::pin(entry.enter(&self.session)).await?;
        Ok(entered.contender.map(|contender| RwLockGuard { contender }))
    }

    /// Returns whether a key is that of a reader or of a writer, and not what is stored below the
    /// name otherwise.
    // Case 18
    fn takes_part(&self, key: &[u8]) -> bool {
        key.starts_with(&self.readers) || key.starts_with(&self.writers)
    }

    fn entry(&self, own: &Bytes, others: &Bytes) -> Entry {
        Entry {
            lease: self.session.lease(),
            // Its turn is its own: nobody else has the name.
            key: unique::draw(self.session.client(), own),
            value: Bytes::new(),
            only_if: Vec::new(),
            read: get(prefix(others.clone())).count_only(),
        }
    }
}

/// Returns who entered where nothing stands in the way.
pub(super) fn contender_of(entered: Entered) -> Result<Contender, RecipeError> {
    let missing = || Error::protocol("a key that exists and is not found").into();
    entered.contender.ok_or_else(missing)
}

impl RwLockGuard {
    /// Unlocks; waits until that is done.
    ///
    /// # Errors
    ///
    /// Those of a write, after which it may be called again, and why the lock was not held any
    /// more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is unlocked; dropping the guard does it all the
    /// same.
    pub async fn unlock(&self) -> Result<(), RecipeError> {
        self.contender.leave().await
    }
}

guard!(RwLockGuard, "the lock is held");
