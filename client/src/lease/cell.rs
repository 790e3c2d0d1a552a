//! What is known of one lease: its task puts it there, its handles look.

use crate::runtime::Runtime;
use etcd3_core::error::Error;
use etcd3_core::lease::{LeaseLost, LossReason, Renewal};
use etcd3_core::{Instant, LeaseId};
use event_listener::{Event, EventListener};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A machine that was suspended for less than this was not.
// I-L8
pub(super) const MIN_SUSPENSION: Duration = Duration::from_secs(1);

/// How a lease does.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LeaseStatus {
    /// It is valid, and its renewals are acknowledged in time.
    Ok,
    /// It is valid, but its renewal is overdue.
    #[non_exhaustive]
    Late {
        /// Since when it is to have been renewed, on the clock of the client's
        /// [`runtime`](crate::Client::runtime).
        since: Instant,
        /// The last error, if the renewals failed; `None` if they are merely not answered.
        cause: Option<Error>,
    },
    /// It is not to be relied on any more, or not kept alive; this never changes again.
    Lost(LeaseLost),
}

impl LeaseStatus {
    /// Returns whether the lease is valid.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

/// What is known of one lease.
pub(super) struct Cell {
    pub(super) id: LeaseId,
    state: Mutex<State>,
    changed: Event,
}

struct State {
    /// `None` until the first renewal of a lease of which nothing was known.
    until: Option<Instant>,
    ttl: Duration,
    /// What [`Runtime::suspended`] said when `until` was set.
    suspended: Duration,
    /// How often it became late, or was not any more.
    changes: u64,
    late: Option<(Instant, Option<Error>)>,
    lost: Option<LeaseLost>,
}

/// What [`Cell::look`] finds.
pub(super) struct Look {
    pub(super) status: LeaseStatus,
    pub(super) changes: u64,
    /// Whether it is known until when the lease is valid.
    pub(super) is_known: bool,
}

impl Cell {
    pub(super) fn new(id: LeaseId) -> Self {
        let state = State {
            until: None,
            ttl: Duration::ZERO,
            suspended: Duration::ZERO,
            changes: 0,
            late: None,
            lost: None,
        };
        Self { id, state: Mutex::new(state), changed: Event::new() }
    }

    /// Notes a renewal; returns whether it is of use: what was lost stays so.
    pub(super) fn renew(&self, renewal: Renewal, suspended: Duration) -> bool {
        let mut state = self.lock();
        if state.lost.is_some() {
            return false;
        }
        let is_first = state.until.is_none();
        let was_late = state.late.take().is_some();
        state.until = Some(renewal.until);
        state.ttl = renewal.ttl;
        state.suspended = suspended;
        state.changes += u64::from(was_late);
        drop(state);
        if is_first || was_late {
            self.changed.notify(usize::MAX);
        }
        true
    }

    /// Notes that the renewal is overdue.
    pub(super) fn late(&self, since: Instant, cause: Option<Error>) {
        let mut state = self.lock();
        if state.lost.is_some() {
            return;
        }
        state.late = Some((since, cause));
        state.changes += 1;
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Notes that the lease is lost; the first reason stays.
    // I-L4
    pub(super) fn lose(&self, lost: impl FnOnce() -> LeaseLost) {
        let mut state = self.lock();
        if state.lost.is_some() {
            return;
        }
        state.lost = Some(lost());
        state.changes += 1;
        drop(state);
        self.changed.notify(usize::MAX);
    }

    /// Returns whether the lease is lost for this reason.
    pub(super) fn is_lost_as(&self, reason: LossReason) -> bool {
        self.lock().lost.as_ref().is_some_and(|lost| lost.reason == reason)
    }

    /// Says how the lease does now. Its time being over is noted here, too: the task may have been
    /// kept from running.
    // I-L4, I-L8
    pub(super) fn look(&self, rt: &dyn Runtime) -> Look {
        let (now, suspended) = (rt.now(), rt.suspended());
        let mut state = self.lock();
        let mut is_news = false;
        if state.lost.is_none()
            && let Some(until) = state.until
            && state.is_over(now, until, suspended)
        {
            let cause = state.late.take().and_then(|(_, cause)| cause);
            let is_denied = cause.as_ref().is_some_and(Error::is_permission_denied);
            let reason =
                if is_denied { LossReason::PermissionDenied } else { LossReason::DeadlinePassed };
            state.lost = Some(LeaseLost::new(reason).with_cause(cause));
            state.changes += 1;
            is_news = true;
        }
        let status = match (&state.lost, &state.late) {
            (Some(lost), _) => LeaseStatus::Lost(lost.clone()),
            (None, Some((since, cause))) => {
                LeaseStatus::Late { since: *since, cause: cause.clone() }
            }
            (None, None) => LeaseStatus::Ok,
        };
        let look = Look { status, changes: state.changes, is_known: state.until.is_some() };
        drop(state);
        if is_news {
            self.changed.notify(usize::MAX);
        }
        look
    }

    pub(super) fn ttl(&self) -> Duration {
        self.lock().ttl
    }

    /// Returns until when the lease is valid; the origin of the clock if that is not known.
    pub(super) fn valid_until(&self, rt: &dyn Runtime) -> Instant {
        let suspended = rt.suspended();
        let state = self.lock();
        match state.until {
            Some(until) => until - state.slept(suspended),
            None => Instant::ORIGIN,
        }
    }

    pub(super) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns for how long the machine was suspended since the last renewal.
    fn slept(&self, suspended: Duration) -> Duration {
        let slept = suspended.saturating_sub(self.suspended);
        if slept > MIN_SUSPENSION { slept } else { Duration::ZERO }
    }

    fn is_over(&self, now: Instant, until: Instant, suspended: Duration) -> bool {
        until - self.slept(suspended) <= now
    }
}
