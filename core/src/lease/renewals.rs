//! The leases: when each is renewed, how often, and what ends it.

use super::asked::SentAt;
use super::events::{Known, LeaseLost, LossReason, Output, Renewal, SingleRenewal};
use super::record::{Record, Turn};
use super::{KeepAlive, Stream};
use crate::channel::HealthSignal;
use crate::error::Error;
use crate::{Instant, LeaseId};
use std::time::Duration;

/// How many suspensions are told apart; of more, the oldest count as one.
const MAX_SUSPENSIONS: usize = 16;
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
        let round = self.next_round();
        let mut record = Record::new(now, known, round, &mut self.opening.rng);
        record.set_timer(&mut self.timers, id);
        self.pace.add(record.rate());
        self.on_stream += 1;
        self.leases.insert(id, Box::new(record));
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

    /// Numbers another round of calls, whatever lease it is of.
    const fn next_round(&mut self) -> u32 {
        self.rounds = self.rounds.wrapping_add(1);
        self.rounds
    }

    /// A lease came after the end.
    // L21
    pub(super) fn refuse(&mut self, id: LeaseId) {
        self.ignored += 1;
        let lost = LeaseLost::new(LossReason::Closed);
        self.outputs.push_back(Output::Lost(id, lost));
    }

    pub(super) fn remove(&mut self, now: Instant, id: LeaseId) {
        if self.leases.contains_key(&id) {
            self.forget(now, id);
        } else {
            self.ignored += 1;
            self.silence(id);
        }
    }

    /// The cluster has let a lease go: what was asked before says nothing of one that comes again.
    pub(super) fn revoked(&mut self, now: Instant, id: LeaseId) {
        self.unanswered.void(id);
        self.remove(now, id);
    }

    fn forget(&mut self, now: Instant, id: LeaseId) {
        let Some(mut record) = self.leases.remove(&id) else { return };
        record.dequeue(id, &mut self.queue);
        record.clear_timer(&mut self.timers, id);
        self.pace.remove(record.rate());
        self.on_stream -= usize::from(record.isolated == 0);
        if let Some(until) = record.waits {
            self.waiting_for_single.remove(&(until, id));
        }
        self.silence(id);
        if self.leases.is_empty() && !matches!(self.stream, Stream::Closed) {
            self.idle_since = Some(now);
            // The next may be of another one.
            self.cluster_id = 0;
        }
        self.release_singles(now, record.singles);
    }

    /// Has nothing more told of a lease.
    fn silence(&mut self, id: LeaseId) {
        self.outputs.retain(|output| match output {
            Output::RenewSingly(single, _) => single.lease != id,
            Output::Confirm(it)
            | Output::Renewed(it, _)
            | Output::Late(it, ..)
            | Output::Lost(it, _) => *it != id,
            Output::Attempt(_) | Output::Send(_) | Output::Close => true,
        });
    }

    /// Something is to be done about leases. Those that are due together are sent together.
    pub(super) fn on_leases_due(&mut self, now: Instant) {
        let mut queued = Vec::new();
        while self.outputs.is_empty()
            && let Some((at, leases)) = self.timers.pop(now)
        {
            for id in leases {
                if self.on_lease_due(now, at, id) {
                    queued.push(id);
                }
            }
        }
        self.pump(now);
        // Most were sent, which has set their timers.
        if !self.queue.is_empty() {
            for id in queued {
                if let Some(record) = self.leases.get_mut(&id) {
                    record.set_timer(&mut self.timers, id);
                }
            }
        }
    }

    /// Something is to be done about a lease whose timer is over. Returns whether all that is left
    /// to do is to send it, and to set its timer then.
    fn on_lease_due(&mut self, now: Instant, at: Instant, id: LeaseId) -> bool {
        let is_open = self.is_streaming();
        let Some(record) = self.leases.get_mut(&id) else { return false };
        if !record.timer_is_over(at) {
            return false;
        }
        if record.until.is_some_and(|until| until <= now) {
            let is_denied = record.error.as_ref().is_some_and(Error::is_permission_denied);
            let reason =
                if is_denied { LossReason::PermissionDenied } else { LossReason::DeadlinePassed };
            self.lose(now, id, reason);
            return false;
        }
        if let Turn::Resting(due) = record.turn
            && due <= now
        {
            // On a stream that is open it waits for its turn, and nothing is wrong.
            let waits = is_open && record.isolated == 0;
            let lateness = if waits { record.single_interval() } else { record.lateness() };
            if record.since.is_none() {
                record.since = Some(now);
                record.late_at = Some(now + lateness);
            }
            if record.isolated > 0 {
                record.turn = Turn::Single;
                record.single_at = Some(now);
            } else {
                let patience =
                    if record.is_asked { record.patience() } else { record.single_interval() };
                record.single_at = Some(now + patience);
                record.enqueue(now, id, &mut self.queue);
                if is_open && record.late_at.is_none_or(|at| at > now) {
                    return true;
                }
            }
        }
        if record.late_at.is_some_and(|at| at <= now) {
            record.late_at = None;
            record.is_late = true;
            let since = record.since.unwrap_or(now);
            let error = self.cause(id);
            self.outputs.push_back(Output::Late(id, since, error));
        }
        let Some(record) = self.leases.get_mut(&id) else { return false };
        if record.single_at.is_some_and(|at| at <= now) {
            record.single_at = None;
            self.renew_singly(now, id);
        }
        if let Some(record) = self.leases.get_mut(&id) {
            record.set_timer(&mut self.timers, id);
        }
        false
    }

    /// Has a lease renewed by a call of its own, unless there are too many of them.
    fn renew_singly(&mut self, now: Instant, id: LeaseId) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if record.waits.is_some() {
            return;
        }
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

    /// Counts calls that are over, and makes others that waited, the most urgent first.
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
        let sent = sent.min(now);
        match result {
            Ok(Duration::ZERO) => {
                self.not_found(now, id, sent);
                self.release_singles(now, 1);
            }
            Ok(ttl) => {
                if record.isolated > 0 {
                    record.isolated -= 1;
                    self.on_stream += usize::from(record.isolated == 0);
                }
                let suspended = self.suspended_since(sent);
                self.acknowledged(now, id, SentAt { time: sent, suspended }, ttl);
                self.release_singles(now, 1);
            }
            Err(error) => {
                record.error = Some(error);
                self.release_singles(now, 1);
            }
        }
    }

    /// A renewal was acknowledged whose request was sent at this moment.
    // I-L1, I-L7, I-L8
    pub(super) fn acknowledged(&mut self, now: Instant, id: LeaseId, sent: SentAt, ttl: Duration) {
        let round = self.next_round();
        let Some(record) = self.leases.get_mut(&id) else { return };
        let until = sent.after(ttl);
        if sent.time < record.acknowledged || until <= now {
            // An answer that came late: a newer request was answered, or the time is over.
            self.ignored += 1;
            self.renew_again(now, id);
            return;
        }
        record.acknowledged = sent.time;
        record.is_new = false;
        record.error = None;
        record.since = None;
        record.is_asked = false;
        record.is_late = false;
        record.late_at = None;
        record.single_at = None;
        record.round = round;
        record.dequeue(id, &mut self.queue);
        let singles = std::mem::take(&mut record.singles);
        if let Some(until) = record.waits.take() {
            self.waiting_for_single.remove(&(until, id));
        }
        if record.ttl != Some(ttl) {
            self.pace.remove(record.rate());
            record.ttl = Some(ttl);
            self.pace.add(record.rate());
        }
        record.until = Some(until);
        let due = sent.after(record.interval(&mut self.opening.rng));
        record.rest(due);
        record.set_timer(&mut self.timers, id);
        self.outputs.push_back(Output::Renewed(id, Renewal { until, ttl }));
        self.release_singles(now, singles);
    }

    /// Renews a lease as soon as may be: what was answered is of no use.
    pub(super) fn renew_again(&mut self, now: Instant, id: LeaseId) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if record.turn == Turn::Asked && !self.unanswered.contains(id) {
            record.enqueue(now, id, &mut self.queue);
        }
    }

    /// A member that was asked at this moment did not know a lease.
    // L11, I-L4
    pub(super) fn not_found(&mut self, now: Instant, id: LeaseId, sent: Instant) {
        let Some(record) = self.leases.get_mut(&id) else { return };
        if sent < record.acknowledged {
            // It was asked before another one renewed it, or before it was granted.
            self.renew(now, id);
            return self.renew_again(now, id);
        }
        if !record.is_new {
            return self.lose(now, id, LossReason::Expired);
        }
        if record.turn != Turn::Confirming {
            record.dequeue(id, &mut self.queue);
            record.turn = Turn::Confirming;
            // The answer may take long; meanwhile it is renewed elsewhere.
            record.single_at = Some(now + record.single_interval());
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
            record.dequeue(id, &mut self.queue);
            record.turn = Turn::Single;
            record.single_at = Some(now);
            record.set_timer(&mut self.timers, id);
        }
    }

    fn lose(&mut self, now: Instant, id: LeaseId, reason: LossReason) {
        let error = self.cause(id).filter(|_| reason != LossReason::Expired);
        if reason == LossReason::Expired {
            self.unanswered.void(id);
        }
        self.forget(now, id);
        self.outputs.push_back(Output::Lost(id, LeaseLost::new(reason).with_cause(error)));
    }

    /// Returns why a lease is not renewed, if something went wrong.
    fn cause(&self, id: LeaseId) -> Option<Error> {
        let error = self.leases.get(&id).and_then(|record| record.error.as_ref());
        let is_well = matches!(self.stream, Stream::Open { is_answered: true, .. });
        error.or_else(|| self.last_error().filter(|_| !is_well)).cloned()
    }

    /// Returns for how long the machine was suspended since a call was sent.
    fn suspended_since(&self, sent: Instant) -> Duration {
        let since = self.suspensions.iter().filter(|it| sent <= it.0).map(|it| it.1);
        since.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Counts the time that the machine was suspended.
    // I-L8
    pub(super) fn age(&mut self, now: Instant, by: Duration) {
        if self.singles == 0 {
            self.suspensions.clear();
        }
        self.suspensions.push((now, by));
        if self.suspensions.len() > MAX_SUSPENSIONS {
            let (_, oldest) = self.suspensions.remove(0);
            self.suspensions[0].1 = self.suspensions[0].1.saturating_add(oldest);
        }
        self.unanswered.age(by);
        for (id, record) in &mut self.leases {
            record.age(by);
            record.set_timer(&mut self.timers, *id);
        }
    }

    pub(super) fn close_for_good(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        self.outputs.retain(|it| matches!(it, Output::Renewed(..) | Output::Lost(..)));
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
