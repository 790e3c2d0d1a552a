//! A lock that one session at a time holds.

use super::RecipeError;
use super::contender::{Contender, Entered, Entry, own_key};
use super::race::race;
use crate::{
    Bytes, Compare, Error, Get, IntoBytes, ResponseHeader, Session, SortOrder, SortTarget, get,
    prefix,
};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A lock that one contender at a time holds, in the order in which they came.
#[derive(Debug, Clone)]
pub struct Mutex {
    session: Session,
    /// The name and a slash.
    under: Bytes,
}

impl Mutex {
    /// Makes a handle of the lock of this name; nothing is sent.
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes) -> Self {
        let mut under = name.into_bytes().to_vec();
        under.push(b'/');
        Self { session: session.clone(), under: under.into() }
    }

    fn entry(&self) -> Entry {
        Entry {
            key: own_key(&self.under, &self.session.lease()),
            value: Bytes::new(),
            only_if: Vec::new(),
            read: self.first(),
        }
    }

    /// Reads the oldest key: that of the holder.
    fn first(&self) -> Get {
        let all = get(prefix(self.under.clone())).keys_only();
        all.sort(SortTarget::Create, SortOrder::Ascend).limit(1)
    }

    /// Waits for the lock, and holds it.
    pub async fn lock(&self) -> Result<MutexGuard, RecipeError> {
        let entered = self.entry().enter(&self.session).await?;
        let (contender, is_first) = placed(entered)?;
        if !is_first {
            contender.wait_to_be_first(&self.under).await?;
        }
        Ok(MutexGuard { contender })
    }

    /// Takes the lock if nobody holds it or waits for it.
    pub async fn try_lock(&self) -> Result<Option<MutexGuard>, RecipeError> {
        let mut entry = self.entry();
        entry.only_if.push(prefix(self.under.clone()).missing());
        let Some(entered) = entry.try_enter(&self.session).await? else { return Ok(None) };
        if entered.contender.is_none() {
            return Ok(None);
        }
        let (contender, is_first) = placed(entered)?;
        if !is_first {
            // It waited in an earlier life.
            contender.leave().await?;
            return Ok(None);
        }
        Ok(Some(MutexGuard { contender }))
    }

    /// Waits for the lock, for so long at most.
    pub async fn lock_timeout(&self, limit: Duration) -> Result<Option<MutexGuard>, RecipeError> {
        let rt = self.session.client().runtime();
        let too_late = async {
            rt.sleep_until(rt.now() + limit).await;
            Ok(None)
        };
        race(async { self.lock().await.map(Some) }, too_late).await
    }
}

/// Returns who entered, and whether it is the first of all.
// X12
fn placed(entered: Entered) -> Result<(Contender, bool), RecipeError> {
    let Some(contender) = entered.contender else {
        return Err(Error::protocol("a key that exists and is not found").into());
    };
    let first = entered.read.first().map(|pair| pair.create_revision);
    let is_first = first.is_none_or(|first| first == contender.create_revision());
    Ok((contender, is_first))
}

/// A lock that is held.
#[must_use = "a guard that is dropped unlocks"]
pub struct MutexGuard {
    contender: Contender,
}

impl MutexGuard {
    /// Returns its key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        self.contender.key()
    }

    /// Returns the revision that created its key.
    #[must_use]
    pub const fn create_revision(&self) -> i64 {
        self.contender.create_revision()
    }

    /// Returns the header of the transaction that created its key.
    #[must_use]
    pub const fn header(&self) -> &ResponseHeader {
        self.contender.header()
    }

    /// Returns the condition that the lock is held.
    #[must_use]
    pub fn fence(&self) -> Compare {
        self.contender.fence()
    }

    /// Returns whether the lock is held, as far as is known.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.contender.is_valid()
    }

    /// Completes when the lock is not held any more.
    pub fn lost(&self) -> impl Future<Output = RecipeError> + Send + 'static {
        self.contender.lost()
    }

    /// Unlocks.
    pub async fn unlock(&self) -> Result<(), RecipeError> {
        self.contender.leave().await
    }
}

impl fmt::Debug for MutexGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard")
            .field("key", self.key())
            .field("create_revision", &self.create_revision())
            .field("is_valid", &self.is_valid())
            .finish_non_exhaustive()
    }
}
