//! A semaphore: so many at a time.

use super::RecipeError;
use super::contender::{Contender, Entry, is_contender};
use super::guard::guard;
use super::race::within;
use super::rw_lock::contender_of;
use super::{retry, unique};
use crate::{
    Bytes, Get, GetResponse, IntoBytes, KeyRange, Session, SortOrder, SortTarget, get, prefix,
};
use std::time::Duration;

/// A semaphore: so many hold it at a time, in the order in which they came.
///
/// All who use it have to agree on the number; whoever has a greater one gets in before its turn.
/// With a number of 0 nobody ever does. One session may hold several permits.
///
/// # Loss
///
/// As with an [`RwLock`](super::RwLock): waits end with their session, and
/// [`lost`](Permit::lost) and [`fence`](Permit::fence) tell of it.
///
/// # Keys
///
/// A permit that is held or waited for is a key `NAME/…` of a unique name, attached to the lease of
/// the session; those that were created first hold it. What is stored below the name otherwise
/// counts for nothing. Go has no such recipe.
///
/// # Examples
///
/// ```
/// use etcd3::recipes::Semaphore;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// let downloads = Semaphore::new(&session, "downloads", 2);
///
/// let (one, two) = (downloads.acquire().await?, downloads.acquire().await?);
/// assert!(downloads.try_acquire().await?.is_none());
/// one.release().await?;
/// assert!(downloads.try_acquire().await?.is_some());
/// # two.release().await?;
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct Semaphore {
    session: Session,
    /// The name and a slash.
    under: Bytes,
    permits: u32,
}

/// A permit of a [`Semaphore`].
///
/// Dropping it gives it back in the background, again and again until that is known to be done or
/// the session is gone. It keeps its session.
#[must_use = "a permit that is dropped is given back"]
pub struct Permit {
    contender: Contender,
}

impl Semaphore {
    /// Makes a handle of the semaphore of this name, with so many permits; sends nothing.
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes, permits: u32) -> Self {
        let under = [&name.into_bytes()[..], b"/"].concat().into_bytes();
        Self { session: session.clone(), under, permits }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// The session is lost, or somebody deleted the key, also while it waits; and errors of calls
    /// that do not pass. What passes, is waited for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no key behind: it is deleted in the background.
    pub async fn acquire(&self) -> Result<Permit, RecipeError> {
        let (contender, is_among) = self.enter().await?;
        if !is_among {
            // Whoever of them leaves, there is one fewer before it.
            let (before, permits) = (self.before(&contender), u64::from(self.permits));
            contender.wait_for(&before, permits, |found| self.full(found)).await?;
        }
        Ok(Permit { contender })
    }

    /// Takes a permit if one is left, and nobody waits for it.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// That of [`acquire`](Self::acquire).
    pub async fn try_acquire(&self) -> Result<Option<Permit>, RecipeError> {
        // Without a key of its own, which others would see for a moment.
        let client = self.session.client();
        let all = || client.get(prefix(self.under.clone())).keys_only();
        if self.full(&retry::read_in(&self.session, all).await?).is_some() {
            return Ok(None);
        }
        let (contender, is_among) = self.enter().await?;
        if is_among {
            return Ok(Some(Permit { contender }));
        }
        // Some may have come later, while an answer was lost.
        let before = self.before(&contender);
        let before = retry::read(client, || client.execute(before.clone()));
        if self.full(&contender.unless_lost(before).await?).is_none() {
            return Ok(Some(Permit { contender }));
        }
        // Where it fails, dropping the contender goes on with it.
        let _ = contender.leave().await;
        Ok(None)
    }

    /// Waits for a permit, for so long at most.
    ///
    /// # Errors
    ///
    /// Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    ///
    /// That of [`acquire`](Self::acquire).
    pub async fn acquire_timeout(&self, time: Duration) -> Result<Option<Permit>, RecipeError> {
        within(self.session.client(), time, self.acquire()).await
    }

    /// Reads those that came before.
    fn before(&self, contender: &Contender) -> Get {
        get(prefix(self.under.clone()))
            .sort(SortTarget::Create, SortOrder::Ascend)
            .max_create_revision(contender.create_revision() - 1)
            .keys_only()
    }

    /// Returns which keys to wait for, if those that were found have all permits.
    // Case 18
    fn full(&self, found: &GetResponse) -> Option<KeyRange> {
        let count = found.kvs.iter().filter(|pair| is_contender(&self.under, &pair.key)).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        (count >= u64::from(self.permits)).then(|| prefix(self.under.clone()))
    }

    /// Creates a key; whether it is among those that hold a permit.
    async fn enter(&self) -> Result<(Contender, bool), RecipeError> {
        let entry = Entry {
            lease: self.session.lease(),
            key: unique::draw(self.session.client(), &self.under),
            value: Bytes::new(),
            only_if: Vec::new(),
            read: get(prefix(self.under.clone())).count_only(),
        };
        let entered = Box::pin(entry.enter(&self.session)).await?;
        // The key itself counts, too.
        let is_among = entered.read.count <= u64::from(self.permits);
        Ok((contender_of(entered)?, is_among))
    }
}

impl Permit {
    /// Gives it back; waits until that is done.
    ///
    /// # Errors
    ///
    /// Those of a write, after which it may be called again, and why it was not held any more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether it is given back; dropping the permit does it all
    /// the same.
    pub async fn release(&self) -> Result<(), RecipeError> {
        self.contender.leave().await
    }
}

guard!(Permit, "the permit is held");
