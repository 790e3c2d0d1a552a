//! The leases: when each is renewed, how often, and what ends it.

use super::events::{Known, LeaseLost, LossReason, Output, Renewal, SingleRenewal};
use super::record::{Record, Turn};
use super::{KeepAlive, Stream};
use crate::channel::HealthSignal;
use crate::error::Error;
use crate::{Instant, LeaseId};
use std::time::Duration;

/// How many leases are renewed by calls of their own at once.
const MAX_SINGLES: usize = 64;
/// How many acknowledgements bring a lease back to the stream.
const TRUSTED_AFTER: u8 = 2;
/// How soon a lease is renewed again that a member did not know.
const RETRY_NEW: Duration = Duration::from_millis(500);

impl KeepAlive {
    pub(super) fn add(&mut self, now: Instant, id: LeaseId, known: Known) {
        if self.leases.contains_key(&id) {
            self.ignored += 1;
            return;
        }
        self.idle_since = None;
        if known.cluster_id != 0 {
            self.cluster_id = known.cluster_id;
        }
        let mut record = Record::new(now, known, &mut self.opening.rng);
        record.set_timer(&mut self.timers, id);
        self.pace.add(record.rate());
        self.on_stream += 1;
        self.leases.insert(id, record);
    }

    pub(super) fn renew(&mut self, now: Instant, id: LeaseId) {
        match self.leases.get_mut(&id) {
            None => self.add(now, id, Known::default()),
            Some(record) => {
                if let Turn::Resting(due) = &mut record.turn {
                    *due = now.min(*due);
                    record.set_timer(&mut self.timers, id);
                }
            }
        }
    }

    pub(super) fn forget(&mut self, now: Instant, id: LeaseId) {
        let Some(record) = self.leases.remove(&id) else {
            self.ignored += 1;
            return;
        };
        record.clear_timer(&mut self.timers, id);
        self.pace.remove(record.rate());
        self.on_stream -= usize::from(record.isolated == 0);
        if let Some(until) = record.waits {
            self.waiting_for_single.remove(&(until, id));
        }
        self.release_singles(now, record.singles);
        // Nothing more is told of it.
        self.outputs.retain(|output| match output {
            Output::RenewSingly(single, _) => single.lease != id,
            Output::Confirm(it)
            | Output::Renewed(it, _)
            | Output::Late(it, ..)
            | Output::Lost(it, _) => *it != id,
            Output::Attempt(_) | Output::Send(_) | Output::Close => true,
        });
        if self.leases.is_empty() && !matches!(self.stream, Stream::Closed) {
            self.idle_since = Some(now);
        }
    }

    /// Something is to be done about a lease.
    pub(super) fn on_lease_due(&mut self, now: Instant, id: LeaseId) {
        let is_open = self.is_streaming();
        let Some(record) = self.leases.get_mut(&id) else { return };
        if record.until.is_some_and(|until| until <= now) {
            let is_denied = record.error.as_ref().is_some_and(Error::is_permission_denied);
            let reason =
                if is_denied { LossReason::PermissionDenied } else { LossReason::DeadlinePassed };
            return self.lose(now, id, reason);
        }
        if let Turn::Resting(due) = record.turn
            && due <= now
        {
            record.since = record.since.or(Some(now));
            if record.isolated > 0 {
                record.turn = Turn::Single;
                record.single_at = Some(now);
                record.late_at = Some(now + record.lateness());
            } else {
                record.turn = Turn::Queued;
                self.queue.push_back(id);
                record.single_at = Some(now + record.single_interval());
                // On a stream that is open it waits for its turn, and nothing is wrong.
                let wait = if is_open { record.single_interval() } else { record.lateness() };
                record.late_at = Some(now + wait);
            }
            if record.is_late {
                record.late_at = None;
            }
        }
        if record.late_at.is_some_and(|at| at <= now) {
            record.late_at = None;
            record.is_late = true;
            let since = record.since.unwrap_or(now);
            let error = record.error.as_ref().or(self.opening.last_error.as_ref()).cloned();
            self.outputs.push_back(Output::Late(id, since, error));
        }
        if record.single_at.is_some_and(|at| at <= now) {
            record.single_at = None;
            self.renew_singly(now, id);
        }
        if let Some(record) = self.leases.get_mut(&id) {
            record.set_timer(&mut self.timers, id);
        }
    }

    /// Has a lease renewed by a call of its own, unless there are too many of them.
    fn renew_singly(&mut self, now: Instant, id: LeaseId) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if self.singles >= MAX_SINGLES {
            let until = record.give_up_at(now);
            record.waits = Some(until);
            self.waiting_for_single.insert((until, id));
            return;
        }
        self.singles += 1;
        record.singles += 1;
        record.single_at = Some(now + record.single_interval());
        let single = SingleRenewal { lease: id, round: record.round };
        self.outputs.push_back(Output::RenewSingly(single, record.give_up_at(now)));
        record.set_timer(&mut self.timers, id);
    }

    /// So many calls are over: others may be made, the most urgent first.
    fn release_singles(&mut self, now: Instant, over: u32) {
        self.singles -= usize::try_from(over).unwrap_or(usize::MAX).min(self.singles);
        while self.singles < MAX_SINGLES
            && let Some((_, id)) = self.waiting_for_single.pop_first()
        {
            if let Some(record) = self.leases.get_mut(&id) {
                record.waits = None;
            }
            self.renew_singly(now, id);
        }
    }

    pub(super) fn on_single(
        &mut self,
        now: Instant,
        single: SingleRenewal,
        sent: Instant,
        result: Result<Duration, Error>,
    ) {
        let id = single.lease;
        let record = self.leases.get_mut(&id);
        let Some(record) = record.filter(|it| it.round == single.round && it.singles > 0) else {
            self.ignored += 1;
            return;
        };
        record.singles -= 1;
        match result {
            Ok(Duration::ZERO) => {
                self.not_found(now, id);
                self.release_singles(now, 1);
            }
            Ok(ttl) => {
                if record.isolated > 0 {
                    record.isolated -= 1;
                    self.on_stream += usize::from(record.isolated == 0);
                }
                self.acknowledged(now, id, sent, ttl);
                self.release_singles(now, 1);
            }
            Err(error) => {
                record.error = Some(error);
                self.release_singles(now, 1);
            }
        }
    }

    /// A renewal was acknowledged whose request was sent at this moment.
    // I-L1, I-L7
    pub(super) fn acknowledged(&mut self, now: Instant, id: LeaseId, sent: Instant, ttl: Duration) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if sent < record.acknowledged {
            // An answer that came late: a newer request was answered.
            self.ignored += 1;
            return;
        }
        record.acknowledged = sent;
        record.is_new = false;
        record.error = None;
        record.since = None;
        record.is_asked = false;
        record.is_late = false;
        record.late_at = None;
        record.single_at = None;
        record.round = record.round.wrapping_add(1);
        let singles = std::mem::take(&mut record.singles);
        if let Some(until) = record.waits.take() {
            self.waiting_for_single.remove(&(until, id));
        }
        self.pace.remove(record.rate());
        record.ttl = Some(ttl);
        self.pace.add(record.rate());
        let until = sent + ttl;
        record.until = Some(until);
        let due = sent + record.interval(&mut self.opening.rng);
        record.turn = Turn::Resting(due);
        record.set_timer(&mut self.timers, id);
        self.outputs.push_back(Output::Renewed(id, Renewal { until, ttl }));
        self.release_singles(now, singles);
    }

    /// A member does not know a lease.
    // L11, I-L4
    pub(super) fn not_found(&mut self, now: Instant, id: LeaseId) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if !record.is_new {
            return self.lose(now, id, LossReason::Expired);
        }
        if record.turn != Turn::Confirming {
            record.turn = Turn::Confirming;
            record.single_at = None;
            record.set_timer(&mut self.timers, id);
            self.outputs.push_back(Output::Confirm(id));
        }
    }

    pub(super) fn on_confirmed(&mut self, now: Instant, id: LeaseId, result: Result<bool, Error>) {
        let record = self.leases.get_mut(&id);
        let Some(record) = record.filter(|it| it.turn == Turn::Confirming) else {
            self.ignored += 1;
            return;
        };
        match result {
            Ok(false) => return self.lose(now, id, LossReason::Expired),
            Ok(true) => {}
            Err(error) => record.error = Some(error),
        }
        record.is_asked = false;
        record.turn = Turn::Resting(now + record.single_interval().min(RETRY_NEW));
        record.set_timer(&mut self.timers, id);
    }

    /// Takes a lease off the stream that broke with it, until calls of its own renew it.
    // L42, I-L5
    pub(super) fn isolate(&mut self, now: Instant, id: LeaseId, error: Error) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        record.error = Some(error);
        if record.isolated == 0 {
            self.on_stream -= 1;
        }
        record.isolated = TRUSTED_AFTER;
        if matches!(record.turn, Turn::Queued | Turn::Asked) {
            record.turn = Turn::Single;
            record.single_at = Some(now);
            record.set_timer(&mut self.timers, id);
        }
    }

    fn lose(&mut self, now: Instant, id: LeaseId, reason: LossReason) {
        let error = self.leases.get(&id).and_then(|record| record.error.clone());
        let error = error.filter(|_| reason != LossReason::Expired);
        self.forget(now, id);
        self.outputs.push_back(Output::Lost(id, LeaseLost::new(reason).with_cause(error)));
    }

    /// Counts the time that the machine was suspended.
    pub(super) fn age(&mut self, by: Duration) {
        self.unanswered.age(by);
        for (id, record) in &mut self.leases {
            record.age(by);
            record.set_timer(&mut self.timers, *id);
        }
    }

    pub(super) fn close_for_good(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        self.outputs.retain(|output| matches!(output, Output::Renewed(..)));
        for id in leases.into_keys() {
            self.outputs.push_back(Output::Lost(id, LeaseLost::new(LossReason::Closed)));
        }
        self.timers.clear();
        self.queue.clear();
        self.waiting_for_single.clear();
        (self.singles, self.on_stream) = (0, 0);
        self.unanswered = super::asked::Unanswered::new();
        self.pace = super::pace::Pace::new();
        self.idle_since = None;
        self.opening.signal = HealthSignal::None;
        self.stream = Stream::Closed;
        self.outputs.push_back(Output::Close);
    }
}
