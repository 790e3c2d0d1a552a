//! Transactions in memory.

mod attempt;
mod backoff;
mod commit;
mod error;
mod isolation;
mod token;
mod transaction;

pub use error::{Interrupted, StmError};
pub use isolation::Isolation;
pub use token::{StmToken, TokenState};
pub use transaction::Transaction;

use crate::{Bytes, Client, IntoBytes};
use attempt::{Attempt, Interruption, Reads};
use backoff::Backoff;
use std::future::Future;
use std::time::Duration;

/// How many attempts a run has if it is not told otherwise.
const MAX_ATTEMPTS: u32 = 64;

/// Runs closures as transactions: *software transactional memory*.
///
/// A closure reads and writes keys by a [`Transaction`]. When it is done, one transaction of etcd
/// writes all that it wrote, if what it read has not changed, as the [`Isolation`] says; otherwise
/// the closure is run again.
///
/// ```
/// use etcd3::recipes::{Interrupted, Stm, StmError};
///
/// # etcd3_sim::example(|client| async move {
/// # client.put("accounts/a", "100").await?;
/// # client.put("accounts/b", "100").await?;
/// let transfer = Stm::new(&client)
///     .run(|mut accounts| async move {
///         let mut both = Vec::new();
///         for value in accounts.get_many(["accounts/a", "accounts/b"]).await? {
///             let value = value.unwrap_or_default();
///             both.push(String::from_utf8_lossy(&value).parse().unwrap_or(0));
///         }
///         let (a, b): (i64, i64) = (both[0] - 10, both[1] + 10);
///         accounts.put("accounts/a", a.to_string());
///         accounts.put("accounts/b", b.to_string());
///         Ok::<_, Interrupted>(a)
///     })
///     .await;
/// match transfer {
///     Ok(done) => assert_eq!((done.value, done.attempts), (90, 1)),
///     Err(StmError::Unknown { error, .. }) => println!("done or not: {}", error.report()),
///     Err(other) => return Err(other.into()),
/// }
/// # assert_eq!(client.get("accounts/b").await?.value_str(), Some("110"));
/// # Ok(())
/// # });
/// ```
///
/// # Closures
///
/// A closure may be run several times, and has to do nothing but read and write by its
/// transaction. It takes by reference what it needs of its surroundings, or clones it for each
/// attempt. Its error is any type that [`Interrupted`] turns into, so that `?` works; one of its
/// own ends the run as [`StmError::Aborted`], and nothing is written. At the levels that read at
/// one revision, such an error is about a state that the store really was in; at the others, values
/// may not belong together. A closure that panics does so in the caller, and nothing is written.
///
/// The second attempt follows at once, with what the failed commit read. Each one after that waits,
/// up to 500 ms, and after 64 attempts the run ends as
/// [`StmError::Contended`]: see [`max_attempts`](Self::max_attempts).
///
/// # Unknown outcomes
///
/// A commit whose answer is lost may have taken place. It is not tried again, which might make a
/// transfer twice: the run ends as [`StmError::Unknown`]. Give the transaction a [`StmToken`] to
/// find out:
///
/// ```
/// use etcd3::recipes::{Interrupted, Stm, StmError, StmToken, TokenState};
///
/// # etcd3_sim::example(|client| async move {
/// let token = StmToken::new("transfers/4711");
/// let stm = Stm::new(&client).token(token.clone());
/// let run = stm.run(|mut tx| async move {
///     let n = tx.get("counter").await?.map_or(0, |value| value.len());
///     tx.put("counter", "x".repeat(n + 1));
///     Ok::<_, Interrupted>(())
/// });
/// match run.await {
///     Ok(_) => {}
///     Err(StmError::Unknown { .. }) => match token.settle(&client).await? {
///         TokenState::Committed { revision } => println!("done, at revision {revision}"),
///         TokenState::Void => println!("not done, and never will be"),
///     },
///     Err(other) => return Err(other.into()),
/// }
/// token.delete(&client).await?;
/// # Ok(())
/// # });
/// ```
///
/// # Transactions that only read
///
/// Where all is read at one revision, which the first read learns from a majority of the members,
/// that revision is when the transaction took place, and there is no commit. At
/// [`Isolation::RepeatableReads`], reads of several revisions are validated by a transaction that
/// also reads from a majority: etcd would answer one that holds nothing but compares from what one
/// member has, which may be stale. At [`Isolation::ReadCommitted`] there is nothing to validate.
///
/// # Together with Go
///
/// Programs that use Go's `concurrency.NewSTM` on the same keys are respected, and respect this:
/// what is compared is the same. Unlike there, retries wait and are bounded, a member that lags
/// behind is no error, reads are never stale, and values that were read ahead are not mixed with
/// those of another revision.
///
/// # Cancel safety
///
/// Dropping the future of a run before its commit is sent writes nothing. After that, the
/// transaction takes place or not.
#[derive(Debug, Clone)]
pub struct Stm {
    client: Client,
    isolation: Isolation,
    prefetch: Vec<Bytes>,
    max_attempts: u32,
    backoff: Backoff,
    token: Option<StmToken>,
}

/// A transaction that took place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed<T> {
    /// What the closure returned.
    pub value: T,
    /// The revision that wrote it, or, if it wrote nothing, that it read at; at
    /// [`Isolation::ReadCommitted`] that of its last read. 0 if it did neither.
    pub revision: i64,
    /// How many attempts it took.
    pub attempts: u32,
}

impl Stm {
    /// Runs transactions by this client, at the level `SerializableSnapshot`.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            isolation: Isolation::default(),
            prefetch: Vec::new(),
            max_attempts: MAX_ATTEMPTS,
            backoff: Backoff::default(),
            token: None,
        }
    }

    /// Sets what transactions may see of others.
    #[must_use]
    pub const fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Has keys read by one call before the closure is run. They count as read, whether or not the
    /// closure uses them.
    #[must_use]
    pub fn prefetch<K: IntoBytes>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.prefetch = keys.into_iter().map(IntoBytes::into_bytes).collect();
        self
    }

    /// Sets how many attempts a run has, 64 by default; 0 counts as 1.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long a run waits before its third attempt, at most, and at most before any; 5 ms
    /// and 500 ms by default. The bound doubles from one attempt to the next, and how much of it is
    /// waited is left to chance.
    #[must_use]
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff::new(first, longest);
        self
    }

    /// Has the commit write a token, by which it is known whether it took place. A run whose token
    /// is used already does not commit. A transaction that writes nothing writes no token.
    #[must_use]
    pub fn token(mut self, token: StmToken) -> Self {
        self.token = Some(token);
        self
    }

    /// Runs a transaction until it is committed, or cannot be.
    ///
    /// # Errors
    ///
    /// [`StmError`], which says what became of it. Nothing was written unless its
    /// [`outcome`](StmError::outcome) is *unknown*.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the commit is sent writes nothing. After that, the transaction
    /// takes place or not, as if the answer had been lost.
    pub async fn run<T, E, F, Fut>(&self, mut body: F) -> Result<Committed<T>, StmError<E>>
    where
        F: FnMut(Transaction) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut backoff = self.backoff.clone();
        let mut ahead = None;
        let most = self.max_attempts.max(1);
        for attempts in 1..=most {
            // What the failed commit read is used at once, or it would be old.
            if attempts > 2 || (attempts == 2 && ahead.is_none()) {
                backoff.wait(self.client.runtime()).await;
                ahead = None;
            }
            let (result, attempt) = self.attempt(ahead.take(), &mut body).await;
            match attempt.interruption() {
                Some(Interruption::Restart) => continue,
                Some(Interruption::Failed(error)) => {
                    return Err(StmError::Call { error: error.clone(), attempts });
                }
                None => {}
            }
            let value = match result {
                None => continue,
                Some(result) => result.map_err(StmError::Aborted)?,
            };
            match self.commit(attempt, attempts).await? {
                commit::End::Done { revision } => {
                    return Ok(Committed { value, revision, attempts });
                }
                commit::End::Conflict(reads) => ahead = Some(reads),
            }
        }
        Err(StmError::Contended { attempts: most })
    }

    /// Runs the closure once; without a result, it was not run, since the attempt was over before.
    async fn attempt<R, Fut: Future<Output = R>>(
        &self,
        ahead: Option<Reads>,
        body: &mut impl FnMut(Transaction) -> Fut,
    ) -> (Option<R>, Attempt) {
        let (mut transaction, shared) = Transaction::begin(&self.client, self.isolation, ahead);
        let prefetched = transaction.get_many(self.prefetch.iter().cloned()).await;
        let result = match prefetched {
            Ok(_) => Some(body(transaction).await),
            Err(_) => None,
        };
        let attempt = shared.take().unwrap_or_else(|| Attempt::new(self.isolation, None));
        (result, attempt)
    }
}
