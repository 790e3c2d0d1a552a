//! A lock that one contender at a time holds.

use super::RecipeError;
use super::contender::{Contender, Entered, Entry, is_contender, own_key};
use super::race::race;
use crate::{
    Bytes, Compare, Error, Get, IntoBytes, ResponseHeader, Session, SortOrder, SortTarget, get,
    prefix,
};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// A lock that one contender at a time holds, in the order in which they came.
///
/// Cheap to clone. Every program that has a session can contend for it, by its name; two handles of
/// one session exclude each other, too, in the order in which they ask.
///
/// # A lock is advice
///
/// Nothing keeps a program that was suspended from going on as if it still held the lock, which is
/// somebody else's by then. So take the [`fence`](MutexGuard::fence) as a condition of whatever is
/// written to etcd in the name of the lock, and hand the
/// [create revision](MutexGuard::create_revision), which grows from holder to holder, to other
/// stores that can refuse what is older. [`lost`](MutexGuard::lost) tells to stop.
///
/// # Keys
///
/// A contender has one key: the name, a slash, and the id of the lease in hexadecimal, with an
/// empty value and attached to the lease. The one with the lowest create revision holds the lock,
/// each other one waits for the one before it. Go's `concurrency.Mutex`, `etcdctl lock` and the
/// service `Lock` of servers do the same, and contend for the same locks. What is stored below the
/// name otherwise, such as the keys of a lock `a/b` below those of `a`, is not waited for here; it
/// is by those, which then come later, never earlier.
///
/// # When things go wrong
///
/// - The session is lost, whyever: waiting ends at once in
///   [`SessionLost`](RecipeError::SessionLost), and so does [`lost`](MutexGuard::lost).
/// - Connections, members, answers or history are lost: waiting goes on.
/// - A future is dropped: the key is deleted in the background. Also where nobody knows whether it
///   was created: it is read, and looked out for as long as the session is there. Closing the
///   [client](crate::Client::close) waits for the deletion, and ends the looking out.
/// - A [`Session`] with [`OnLoss::Regrant`](crate::OnLoss::Regrant) contends with the lease that it
///   has when it is asked to, and what it holds is lost with that lease.
///
/// # Examples
///
/// ```
/// use etcd3::put;
/// use etcd3::recipes::Mutex;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// let mutex = Mutex::new(&session, "locks/report");
///
/// let guard = mutex.lock().await?;
/// // Written only while the lock is held.
/// let write = client.txn().when([guard.fence()]).then([put("report", "of today")]);
/// assert!(write.await?.succeeded);
/// guard.unlock().await?;
///
/// if let Some(guard) = mutex.try_lock().await? {
///     // Work that stops when the lock is lost.
///     let lost = guard.lost();
///     client.spawn(async move {
///         eprintln!("stop: {}", lost.await);
///     });
/// } // Dropped: unlocked in the background.
/// # Ok(())
/// # });
/// ```
// X10–X20, I-S1–I-S5
#[derive(Debug, Clone)]
pub struct Mutex {
    session: Session,
    /// The name and a slash.
    under: Bytes,
}

impl Mutex {
    /// Makes a handle of the lock of this name. Nothing is sent.
    // X10
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes) -> Self {
        let mut under = name.into_bytes().to_vec();
        under.push(b'/');
        Self { session: session.clone(), under: under.into() }
    }

    /// Waits until it holds the lock, in the order in which contenders came.
    ///
    /// # Errors
    ///
    /// [`SessionLost`](RecipeError::SessionLost), and [`KeyDeleted`](RecipeError::KeyDeleted) when
    /// somebody deleted the key by which it waited. Of the errors of calls those that do not pass,
    /// such as a missing permission; the others are waited out for as long as the session is there.
    /// No error leaves a key behind.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the queue: the key is deleted in the background,
    /// until that is known to be done or the session is gone.
    // X11, X12, X14
    pub async fn lock(&self) -> Result<MutexGuard, RecipeError> {
        let entered = self.entry().enter(&self.session).await?;
        let (contender, is_first) = placed(entered)?;
        let header = if is_first {
            *contender.header()
        } else {
            contender.wait_to_lead(&self.under).await?
        };
        Ok(MutexGuard { contender, header })
    }

    /// Takes the lock if nobody holds it or waits for it; `None` otherwise.
    ///
    /// It does not enter the queue then. Failures that pass are waited out as in
    /// [`lock`](Self::lock), so this can take time while no member can be reached.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock).
    // X13, CONC-008
    pub async fn try_lock(&self) -> Result<Option<MutexGuard>, RecipeError> {
        let mut entry = self.entry();
        entry.only_if.push(prefix(self.under.clone()).missing());
        let Some(entered) = entry.try_enter(&self.session).await? else { return Ok(None) };
        if entered.contender.is_some() {
            return self.held(entered).await;
        }
        let first = entered.read.into_first();
        if first.is_some_and(|pair| is_contender(&self.under, &pair.key)) {
            return Ok(None);
        }
        // Case 18: what is there is of no contender, or not of the first one.
        match self.entry().try_enter(&self.session).await? {
            Some(entered) => self.held(entered).await,
            None => Ok(None),
        }
    }

    /// Waits until it holds the lock, for so long at most; `None` when that is over.
    ///
    /// The lock is held for as long as the session is there, whatever the time was.
    ///
    /// # Errors
    ///
    /// Those of [`lock`](Self::lock).
    ///
    /// # Cancel safety
    ///
    /// As [`lock`](Self::lock). When the time is over, the key is deleted in the background.
    // Case 19
    pub async fn lock_timeout(&self, time: Duration) -> Result<Option<MutexGuard>, RecipeError> {
        let rt = self.session.client().runtime();
        let too_late = async {
            rt.sleep_until(rt.now() + time).await;
            Ok(None)
        };
        race(async { self.lock().await.map(Some) }, too_late).await
    }

    fn entry(&self) -> Entry {
        let lease = self.session.lease();
        Entry {
            key: own_key(&self.under, &lease),
            lease,
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

    /// Returns the guard of who entered, if no other contender came before.
    async fn held(&self, entered: Entered) -> Result<Option<MutexGuard>, RecipeError> {
        let (contender, is_first) = placed(entered)?;
        if is_first {
            let header = *contender.header();
            return Ok(Some(MutexGuard { contender, header }));
        }
        if let Some(header) = contender.leads(&self.under).await? {
            return Ok(Some(MutexGuard { contender, header }));
        }
        // Where it fails, dropping the contender goes on with it.
        let _ = contender.leave().await;
        Ok(None)
    }
}

/// Returns who entered, and whether its key is the oldest one.
// X12
fn placed(entered: Entered) -> Result<(Contender, bool), RecipeError> {
    let Some(contender) = entered.contender else {
        return Err(Error::protocol("a key that exists and is not found").into());
    };
    let first = entered.read.first().map(|pair| pair.create_revision);
    let is_first = first == Some(contender.create_revision());
    Ok((contender, is_first))
}

/// The lock, held. Made by [`Mutex::lock`] and the like.
///
/// Dropping it unlocks in the background: the deletion of its key is repeated until that is known
/// to be done or the session is gone; [`Client::close`](crate::Client::close) waits for that.
/// [`unlock`](Self::unlock) says what became of it. What is not unlocked, nor its guard dropped,
/// when the client is closed stays locked until the lease is over. A guard keeps its session.
#[must_use = "a guard that is dropped unlocks"]
pub struct MutexGuard {
    contender: Contender,
    header: ResponseHeader,
}

impl MutexGuard {
    /// Returns the key by which it holds the lock.
    // X17
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        self.contender.key()
    }

    /// Returns the revision that created the key: higher than that of any holder before, so that
    /// others can tell who is late.
    #[must_use]
    pub const fn create_revision(&self) -> i64 {
        self.contender.create_revision()
    }

    /// Returns the header of the answer that showed that the lock is held.
    // X17
    #[must_use]
    pub const fn header(&self) -> &ResponseHeader {
        &self.header
    }

    /// Returns the condition that the lock is held by this guard, for transactions that only the
    /// holder may make: `client.txn().when([guard.fence()])`.
    // X17, X20, I-S1
    #[must_use]
    pub fn fence(&self) -> Compare {
        self.contender.fence()
    }

    /// Returns whether the lock is held, as far as is known here: the session is valid, unlocking
    /// was not begun, and no [`lost`](Self::lost) has found the key deleted.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.contender.is_valid()
    }

    /// Completes when the lock is not held any more, with the reason: the session is lost, somebody
    /// deleted the key, or it was unlocked or dropped.
    ///
    /// It comes no later than the time of the lease is over by the own clock, and so before another
    /// contender can hold the lock. While it is polled, it watches the key; each future that this
    /// returns has a watch of its own. It does not keep the session.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the watch.
    // S-05, cases 19, 20
    pub fn lost(&self) -> impl Future<Output = RecipeError> + Send + 'static {
        self.contender.lost()
    }

    /// Unlocks: deletes the key, and nothing that was created in its place since. Nothing happens
    /// once that has succeeded. The guard is not valid from this moment on, whatever becomes of it.
    ///
    /// # Errors
    ///
    /// Those of a write: what became of the key is told by the
    /// [outcome](RecipeError::outcome), and it may be called again.
    /// [`KeyDeleted`](RecipeError::KeyDeleted) and [`SessionLost`](RecipeError::SessionLost) when
    /// the lock was lost before; there is nothing left to unlock then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the key is deleted; dropping the guard sees to it.
    // X16, S-03, case 17
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
