//! Work that is done only while leading.

use super::super::RecipeError;
use super::super::race::race;
use super::super::retry::Backoff;
use super::{Election, Leadership};
use crate::runtime::Instant;
use crate::{Bytes, IntoBytes, Lease, LeaseLost, LeaseStatus, LossReason, Session};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The part of the time to live that is left at least while work goes on.
const MARGIN_DIVISOR: u32 = 10;

/// Runs a future only while leading an election, and drops it when the leadership is lost: before
/// the lease may be over for the cluster, so that no two of them run at once.
///
/// That holds as long as the executor runs and the future does not block: what may be written only
/// by the leader needs the [fence](Leadership::fence) all the same, since a program may be
/// suspended between a look and a write. A session is one candidate, however many latches it has:
/// those lead and work together, until the one that began the candidacy is done.
///
/// # Examples
///
/// ```
/// use etcd3::put;
/// use etcd3::recipes::LeaderLatch;
/// use std::time::Duration;
///
/// # etcd3_sim::example(|client| async move {
/// let session = client.session(Duration::from_secs(10)).await?;
/// let latch = LeaderLatch::new(&session, "report", "10.0.0.7:80");
/// let made = latch
///     .run(|leadership| {
///         let client = client.clone();
///         async move {
///             let report = put("report-of-today", "…");
///             client.txn().when([leadership.fence()]).then([report]).await.map(|it| it.succeeded)
///         }
///     })
///     .await??;
/// assert!(made);
/// # Ok(())
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct LeaderLatch {
    election: Election,
    value: Bytes,
    margin: Option<Duration>,
}

impl LeaderLatch {
    /// Makes a latch of the election of this name; `value` is what it proclaims. Nothing is sent.
    #[must_use]
    pub fn new(session: &Session, name: impl IntoBytes, value: impl IntoBytes) -> Self {
        let election = Election::new(session, name);
        Self { election, value: value.into_bytes(), margin: None }
    }

    /// Sets how long before the end of the lease the work is dropped if no renewal is acknowledged:
    /// half of the time to live at most, a tenth by default. Leases are renewed each third of their
    /// time, so that what is set here makes no difference while that works.
    #[must_use]
    pub const fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Returns the election that it takes part in.
    #[must_use]
    pub const fn election(&self) -> &Election {
        &self.election
    }

    /// Campaigns, does the work while leading, and resigns when it is done; returns what came of
    /// it.
    ///
    /// # Errors
    ///
    /// Those of [`Election::campaign`], and the reason when the leadership is lost: the work was
    /// dropped then. Where to resign fails, it is done in the background.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work and resigns in the background.
    pub async fn run<T, F: Future<Output = T>>(
        &self,
        work: impl FnOnce(Leadership) -> F,
    ) -> Result<T, RecipeError> {
        let leadership = Box::pin(self.election.campaign(self.value.clone())).await?;
        self.lead(leadership, work).await
    }

    /// The same, and campaigns again when the leadership is lost, until the work is done or the
    /// session is over. With a session that is [granted anew](crate::OnLoss::Regrant) that is when
    /// it is closed.
    ///
    /// # Errors
    ///
    /// That the session is over, and what of [`Election::campaign`] is not the loss of a lease or
    /// of a key.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the work and resigns in the background.
    pub async fn run_until_done<T, F: Future<Output = T>>(
        &self,
        mut work: impl FnMut(Leadership) -> F,
    ) -> Result<T, RecipeError> {
        loop {
            match self.run(&mut work).await {
                Err(RecipeError::Call(error)) => return Err(error.into()),
                Err(_) => self.until_valid().await?,
                done => return done,
            }
        }
    }

    async fn lead<T, F: Future<Output = T>>(
        &self,
        leadership: Leadership,
        work: impl FnOnce(Leadership) -> F,
    ) -> Result<T, RecipeError> {
        let lost = Box::pin(race(leadership.lost(), self.late(leadership.contender().lease())));
        let mut work = pin!(work(leadership.clone()));
        let lease = leadership.contender().lease();
        let work = poll_fn(|cx| match self.overdue(lease) {
            // Before the timers tell: a machine may have slept, or an executor been held up.
            Some(error) => Poll::Ready(Err(error)),
            None => work.as_mut().poll(cx).map(Ok),
        });
        let done = race(async { Err(lost.await) }, work).await?;
        // Another handle of the session may lead by the same key, and goes on.
        if !leadership.contender().is_guest() {
            // Where it fails, dropping the leadership goes on with it.
            let _ = Box::pin(leadership.resign()).await;
        }
        Ok(done)
    }

    /// Completes when the end of the lease comes too near.
    // Case 20
    async fn late(&self, lease: &Lease) -> RecipeError {
        let rt = self.election.session().client().runtime();
        loop {
            if let Some(error) = self.overdue(lease) {
                return error;
            }
            rt.sleep_until(self.end(lease)).await;
        }
    }

    /// Returns why the work may not go on, if that is so now.
    fn overdue(&self, lease: &Lease) -> Option<RecipeError> {
        if let LeaseStatus::Lost(lost) = lease.status() {
            return Some(lost.into());
        }
        let is_late = self.election.session().client().runtime().now() >= self.end(lease);
        is_late.then(|| LeaseLost::new(LossReason::DeadlinePassed).into())
    }

    /// Returns until when there is work, if no renewal is acknowledged.
    fn end(&self, lease: &Lease) -> Instant {
        let ttl = lease.ttl();
        let margin = self.margin.unwrap_or(ttl / MARGIN_DIVISOR).min(ttl / 2);
        lease.valid_until() - margin
    }

    /// Waits until the session has a lease that leaves time for work; fails when it is over.
    async fn until_valid(&self) -> Result<(), RecipeError> {
        let session = self.election.session();
        let over = async { Err(session.lost().await.into()) };
        let valid = async {
            let mut backoff = Backoff::new(session.client());
            while self.overdue(&session.lease()).is_some() {
                backoff.rest().await;
            }
            Ok(())
        };
        race(over, valid).await
    }
}
