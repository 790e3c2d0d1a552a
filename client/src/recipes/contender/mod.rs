//! A session that contends with others: its key among theirs, from the transaction that creates it
//! to the one that deletes it.
//!
//! ```text
//!              the transaction is answered              leave, or dropped
//!   Entering ───────────────────────────► Contender ───────────────────────► deletion
//!      │ dropped, or fails, and may have created the key                       ▲
//!      └── the call is waited for, or the key read, in the background ─────────┘
//! ```
//!
//! The key has the id of the lease in its name, so only this session writes it. Handles of one
//! session take turns at it ([`Session::turns`]), and the turn is given back when the key is known
//! to be gone: what a handle finds there was left by nobody who is still at it. An incarnation of
//! the key is named by its create revision, and no other one is deleted.
// X10, X11, I-S1, I-S4, I-S5

mod clear;
mod enter;
mod wait;

use clear::Remains;
pub(super) use enter::{Entered, Entry};
use wait::lost_of;

use super::RecipeError;
use super::race::race;
use crate::{
    Bytes, Client, Compare, Error, IntoBytes, KeyValue, Lease, LeaseLost, LeaseStatus, LossReason,
    Outcome, ResponseHeader, Session, SessionTurn, SessionTurns, delete, key,
};
use event_listener::Event;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How many times as many keys are read when none of those before was of a contender.
pub(super) const FURTHER: u64 = 32;

/// Whose key it is. Does not keep the session.
#[derive(Debug, Clone)]
struct Owner {
    client: Client,
    /// The one that the session has now: with another one it is another contender.
    lease: Lease,
    key: Bytes,
    turns: SessionTurns,
}

impl Owner {
    fn new(session: &Session, lease: &Lease, key: &Bytes) -> Self {
        Self {
            client: session.client().clone(),
            lease: lease.clone(),
            key: key.clone(),
            turns: session.turns(key.clone()),
        }
    }

    /// Waits for a result, until the lease is lost.
    // I-S2
    async fn unless_lost<T, E: Into<RecipeError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, RecipeError> {
        let lost = async { Err(RecipeError::SessionLost(self.lease.lost().await)) };
        let work = async { work.await.map_err(|error| self.name(error.into())) };
        let result = race(lost, work).await?;
        // A machine that slept past the end of it may come here before it is told.
        match self.lease.status() {
            LeaseStatus::Lost(lost) => Err(lost.into()),
            _ => Ok(result),
        }
    }

    /// Names the error of a call by what it means here.
    fn name(&self, error: RecipeError) -> RecipeError {
        match (&error, self.lease.status()) {
            (_, LeaseStatus::Lost(lost)) => RecipeError::SessionLost(lost),
            (RecipeError::Call(call), _) if call.is_lease_not_found() => {
                // The next renewal finds it, too.
                RecipeError::SessionLost(
                    LeaseLost::new(LossReason::Expired).with_cause(call.clone()),
                )
            }
            _ => error,
        }
    }
}

/// Returns the own key of a session under a prefix: the prefix and the id of the lease, in
/// hexadecimal, as Go's `concurrency` has it.
// X10
pub(super) fn own_key(prefix: &Bytes, lease: &Lease) -> Bytes {
    let id = lease.id().0;
    let sign = if id < 0 { "-" } else { "" };
    let mut key = prefix.to_vec();
    key.extend_from_slice(format!("{sign}{:x}", id.unsigned_abs()).as_bytes());
    key.into_bytes()
}

/// Returns whether a key under a prefix is that of a contender: the id of a lease follows, in
/// hexadecimal. What is stored below otherwise takes no part, such as the keys of a name `a/b`
/// below those of `a`.
// Case 18
pub(super) fn is_contender(under: &[u8], key: &[u8]) -> bool {
    let id = key.strip_prefix(under).unwrap_or_default();
    let digits = id.strip_prefix(b"-").unwrap_or(id);
    matches!(digits.len(), 1..=16)
        && digits.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'))
}

/// A session that has its key among those of others.
///
/// Dropping it deletes the key in the background, until that is known to be done or the session is
/// gone; [`leave`](Self::leave) does it at once.
#[derive(Debug)]
pub(super) struct Contender {
    /// Kept for as long as this takes part.
    session: Session,
    owner: Owner,
    create_revision: i64,
    header: ResponseHeader,
    /// How many transactions may yet create the key, as nobody knows what became of them.
    unknown: AtomicU32,
    /// Whether the key is that of another handle, which deletes it.
    is_guest: bool,
    stage: Arc<Stage>,
}

/// What the contender and the futures of its loss share.
#[derive(Debug, Default)]
struct Stage {
    /// It is being given up, or was.
    leaving: AtomicBool,
    /// A deletion was sent, and what became of it is not known.
    doubtful: AtomicBool,
    /// The key is known to be gone.
    gone: AtomicBool,
    given_up: Event,
    turn: Mutex<Option<SessionTurn>>,
}

impl Stage {
    fn new(turn: Option<SessionTurn>) -> Self {
        Self { turn: Mutex::new(turn), ..Self::default() }
    }

    /// Notes that it is given up; returns whether it was before.
    fn give_up(&self) -> bool {
        let was_before = self.leaving.swap(true, Ordering::Relaxed);
        self.given_up.notify(usize::MAX);
        was_before
    }

    /// Completes when it is given up.
    async fn given_up(&self) {
        loop {
            let given_up = self.given_up.listen();
            if self.leaving.load(Ordering::Relaxed) {
                return;
            }
            given_up.await;
        }
    }

    /// Notes that the key is gone, and gives the turn back.
    fn gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
        drop(self.take_turn());
    }

    fn take_turn(&self) -> Option<SessionTurn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Contender {
    /// Returns the contender of a key that is there. Without the turn it is a guest of the handle
    /// that has it, and leaves the key to that one when it is dropped.
    pub(super) fn of_found(
        session: &Session,
        lease: &Lease,
        found: &KeyValue,
        header: ResponseHeader,
        turn: Option<SessionTurn>,
    ) -> Self {
        Self {
            session: session.clone(),
            owner: Owner::new(session, lease, &found.key),
            create_revision: found.create_revision,
            header,
            unknown: AtomicU32::new(0),
            is_guest: turn.is_none(),
            stage: Arc::new(Stage::new(turn)),
        }
    }

    /// Returns the session that it is in the name of.
    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// Returns whether the key is that of another handle.
    pub(super) const fn is_guest(&self) -> bool {
        self.is_guest
    }

    /// Returns the lease that its key is attached to.
    pub(super) const fn lease(&self) -> &Lease {
        &self.owner.lease
    }

    /// Returns why the key is gone that was found to be.
    pub(super) async fn why_gone(&self) -> RecipeError {
        self.gone();
        wait::why_gone(&self.owner).await
    }

    /// Waits for a result, until the lease is lost.
    // I-S2
    pub(super) async fn unless_lost<T, E: Into<RecipeError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, RecipeError> {
        self.owner.unless_lost(work).await
    }

    /// Returns its key.
    pub(super) const fn key(&self) -> &Bytes {
        &self.owner.key
    }

    /// Returns the revision that created the key.
    pub(super) const fn create_revision(&self) -> i64 {
        self.create_revision
    }

    /// Returns the header of the transaction by which it entered.
    pub(super) const fn header(&self) -> &ResponseHeader {
        &self.header
    }

    /// Returns the condition that this incarnation of the key is there.
    // X17, I-S1
    pub(super) fn fence(&self) -> Compare {
        key(self.owner.key.clone()).create_revision().eq(self.create_revision)
    }

    /// Returns whether the lease is valid, the key not known to be gone, and not to be deleted.
    pub(super) fn is_valid(&self) -> bool {
        let stage = &self.stage;
        let is_over = [&stage.leaving, &stage.gone];
        self.owner.lease.is_valid() && !is_over.iter().any(|it| it.load(Ordering::Relaxed))
    }

    /// Deletes this incarnation of the key. Once that succeeded there is nothing to do any more.
    ///
    /// # Errors
    ///
    /// Those of a write, after which it may be done again; and that the key, or the session, was
    /// gone before.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves open whether the key is deleted; dropping the contender deletes
    /// it all the same.
    // X16, I-S1, case 17
    pub(super) async fn leave(&self) -> Result<(), RecipeError> {
        let stage = &self.stage;
        let was_given_up = stage.give_up();
        if stage.gone.load(Ordering::Relaxed) {
            self.gone();
            return if was_given_up { Ok(()) } else { Err(wait::why_gone(&self.owner).await) };
        }
        // Also when this future is dropped.
        let was_doubtful = stage.doubtful.swap(true, Ordering::Relaxed);
        let deletion = delete(self.owner.key.clone());
        let call = self.owner.client.txn().when([self.fence()]).then([deletion]);
        match call.await {
            Ok(done) => {
                self.gone();
                if done.succeeded || was_doubtful {
                    return Ok(());
                }
                Err(wait::why_gone(&self.owner).await)
            }
            Err(error) => {
                let is_unknown = was_doubtful || error.outcome() == Outcome::Unknown;
                stage.doubtful.store(is_unknown, Ordering::Relaxed);
                Err(self.owner.name(error.into()))
            }
        }
    }

    /// Completes when this is over, with the reason: the session is lost, the key was deleted by
    /// somebody, or it was given up. Holds neither the session nor its lease.
    pub(super) fn lost(&self) -> impl Future<Output = RecipeError> + Send + 'static {
        lost_of(self)
    }

    /// Notes that the key is gone, and gives the turn back. May be called again.
    fn gone(&self) {
        self.stage.gone();
        let remains = self.remains();
        if remains.is_something() {
            clear::spawn(remains);
        }
    }

    /// Returns what is left beside the key.
    fn remains(&self) -> Remains {
        Remains::new(&self.session, &self.owner, self.unknown.swap(0, Ordering::Relaxed))
    }
}

impl Drop for Contender {
    // I-S5
    fn drop(&mut self) {
        self.stage.give_up();
        if self.is_guest {
            return;
        }
        if self.stage.gone.load(Ordering::Relaxed) {
            return self.gone();
        }
        let mut remains = self.remains();
        (remains.turn, remains.created) = (self.stage.take_turn(), Some(self.create_revision));
        clear::spawn(remains);
    }
}

/// Returns whether a call may have been applied.
fn may_have_been_applied(error: &Error) -> bool {
    error.outcome() == Outcome::Unknown
}
