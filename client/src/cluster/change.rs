//! A change of the members whose answer may be lost, and that servers may not accept yet.
//!
//! ```text
//!            refused, and that may pass: again until the budget is used up
//!        ┌───────────────────────────────────────────────────────────────┐
//!        ▼                                                               │
//!  ── asked for ──▶ answered                                             │
//!        ▲  │ lost                                                       │
//!        │  ▼                                                            │
//!        │ list of members ──▶ done: as if answered                      │
//!        │  │     └──────────▶ refused, or out of time: outcome unknown ─┘
//!        └──┘ not done
//! ```
//!
//! Asking again is safe, since no change happens twice: ids are never used again, no voter becomes
//! a learner, addresses belong to one member at a time, and to set them again is to set them.

// M14, M17

use crate::call::{CallOptions, OperationCall};
use crate::{Client, Error, ErrorKind};
use etcd3_core::backoff::Backoff;
use etcd3_core::request::Operation;
use etcd3_core::request::cluster::{MemberListResponse, member_list};
use etcd3_core::rng::Rng;
use etcd3_core::{Instant, Outcome, ServerError};
use std::sync::Arc;
use std::time::Duration;

/// How long is waited before a change is asked for once more.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), cap: Duration::from_millis(400) };

/// The part of the time that the call gets; the rest is kept for a look at the list.
const FOR_THE_CALL: f64 = 0.75;

/// A change of the members.
pub(super) trait Change: Operation + Clone {
    /// Says what a list of members tells of this change, which may have been applied.
    fn settle(&self, list: &MemberListResponse, certainty: Certainty) -> Settled<Self::Response>;
}

/// What a list of members is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// It was confirmed by a majority: what is not in it is not there.
    Confirmed,
    /// It is what one member knows: what is in it has happened, and more may have.
    Local,
}

/// What is known of a change that may have been applied.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Settled<T> {
    /// It was applied; this is as good as its answer.
    Applied(T),
    /// It has not been applied so far, or that cannot be told.
    Open,
    /// It was not and cannot be, for this reason.
    Impossible(ServerError),
}

/// Makes a change, and finds out what became of it when its answer is lost; tries again for as long
/// as the budget lasts while it is refused for what passes.
pub(super) async fn make<C: Change>(
    client: &Client,
    change: C,
    options: CallOptions,
    budget: Duration,
) -> Result<C::Response, Error> {
    let shared = client.shared();
    let options = client.call_options(options);
    let rng = Rng::new(shared.next_seed());
    let mut making = Making { client, change, options, rng, may_be_applied: false };
    let until = shared.now() + budget;
    let mut refusals = 0;
    loop {
        let answer = making.once().await;
        let now = shared.now();
        match answer {
            Err(error) if may_be_accepted_later(&error) && now < until => {
                refusals += 1;
                let wait = BACKOFF.after(refusals, &mut making.rng);
                making.sleep_until(until.min(now + wait)).await;
            }
            answer => return answer,
        }
    }
}

/// Returns whether a change was refused for what others may see to: members that connect, start or
/// catch up.
fn may_be_accepted_later(error: &Error) -> bool {
    matches!(
        error.server_error(),
        Some(
            ServerError::Unhealthy
                | ServerError::MemberNotEnoughStarted
                | ServerError::LearnerNotReady
        )
    )
}

struct Making<'a, C> {
    client: &'a Client,
    change: C,
    options: CallOptions,
    rng: Rng,
    /// Whether the answer to an attempt was lost.
    may_be_applied: bool,
}

impl<C: Change> Making<'_, C> {
    /// Asks for the change until it is answered, within the time of one call.
    async fn once(&mut self) -> Result<C::Response, Error> {
        let shared = self.client.shared();
        let timeout = self.options.timeout.unwrap_or(shared.config.request_timeout);
        let deadline = shared.now() + timeout;
        let mut losses = 0;
        loop {
            let left = deadline.saturating_since(shared.now());
            let error = match self.call(self.change.clone(), left.mul_f64(FOR_THE_CALL)).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let is_lost = error.outcome() == Outcome::Unknown;
            self.may_be_applied |= is_lost;
            if !self.may_be_applied {
                return Err(error);
            }
            match self.look(deadline).await {
                Settled::Applied(response) => return Ok(response),
                Settled::Impossible(why) => return Err(self.impossible(why, &error)),
                Settled::Open => {}
            }
            losses += 1;
            let next = shared.now() + BACKOFF.after(losses, &mut self.rng);
            if !is_lost || next >= deadline || error.is_closed() {
                return Err(error.with_outcome(Outcome::Unknown));
            }
            self.sleep_until(next).await;
        }
    }

    /// Looks at the list of members: what a majority confirms, or else what one member knows.
    async fn look(&self, deadline: Instant) -> Settled<C::Response> {
        for (list, certainty) in [
            (member_list(), Certainty::Confirmed),
            (member_list().serializable(), Certainty::Local),
        ] {
            let left = deadline.saturating_since(self.client.shared().now());
            if let Ok(list) = self.call(list, left / 2).await {
                return self.change.settle(&list, certainty);
            }
        }
        Settled::Open
    }

    async fn call<T: Operation>(
        &self,
        operation: T,
        timeout: Duration,
    ) -> Result<T::Response, Error> {
        let options = CallOptions { timeout: Some(timeout), ..self.options };
        let shared = Arc::clone(self.client.shared());
        OperationCall::new(shared, operation, options).await.0
    }

    /// Makes the refusal that a server would answer with, if it were asked again.
    fn impossible(&self, why: ServerError, lost: &Error) -> Error {
        let rpc = self.change.rpc();
        Error::new(ErrorKind::Server(why))
            .with_outcome(Outcome::Rejected)
            .with_method(rpc.method.path)
            .with_effect(rpc.effect)
            .with_attempts(lost.attempts())
    }

    async fn sleep_until(&self, time: Instant) {
        self.client.shared().pool.rt.sleep_until(time).await;
    }
}
