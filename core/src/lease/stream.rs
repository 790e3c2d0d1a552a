//! The stream: opening it, what is asked on it, what comes, and giving it up.

use super::asked::{Asked, SentAt};
use super::record::Turn;
use super::{KeepAlive, Output, Stream};
use crate::attempt::Sent;
use crate::auth;
use crate::channel::{Denied, HealthSignal};
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::outcome::Outcome;
use crate::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use crate::retry::{Failure, RetryAction};
use crate::stream::{End, Inbound, Received};
use crate::transport::{Event, Lost};
use crate::{Instant, LeaseId, frame};
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::time::Duration;

/// A stream is left at last when its oldest request was not answered for so long: servers end it
/// themselves after seven seconds.
// L10
const MAX_PATIENCE: Duration = Duration::from_secs(8);

impl KeepAlive {
    pub(super) fn on_sent(&mut self, now: Instant, sent: Sent) {
        self.opening.opened(now, sent);
        let inbound = Box::new(Inbound::new(self.settings.max_message_bytes));
        self.stream = Stream::Open { inbound, is_answered: false };
    }

    pub(super) fn on_denied(&mut self, now: Instant, denied: &Denied) {
        match denied {
            Denied::NoConnection => {}
            Denied::Throttled => self.wait(now),
            Denied::Plaintext(endpoint) => {
                let error = Error::new(ErrorKind::PlaintextPassword);
                self.opening.last_error = Some(error.with_endpoint(Some(endpoint.text())));
                self.wait(now);
            }
        }
    }

    /// Sends what is queued, as fast as the pace allows: not one by one while many wait, as answers
    /// would have it that come one by one.
    pub(super) fn pump(&mut self, now: Instant) {
        if self.pace.next_of(self.queue.len()) > now {
            return;
        }
        let mut frames = BytesMut::new();
        while self.is_streaming()
            && self.pace.next() <= now
            && let Some((_, id)) = self.queue.pop_first()
        {
            let Some(record) = self.leases.get_mut(&id) else { continue };
            record.queued = None;
            record.turn = Turn::Asked;
            let is_stuck = self.unanswered.contains(id);
            if !is_stuck {
                let sent = SentAt { time: now, suspended: Duration::ZERO };
                let patience = record.patience();
                self.unanswered.push(Asked { lease: id, sent, patience, is_void: false });
                self.pace.sent(now);
                let message = LeaseKeepAliveRequest { id: id.0 };
                // Never too long: it is a number.
                let _ = frame::encode_into(&message, usize::MAX, &mut frames);
            }
            if !record.is_asked {
                record.is_asked = true;
                let patience = if is_stuck { Duration::ZERO } else { record.patience() };
                record.single_at = Some(now + patience);
                if !record.is_late {
                    record.late_at = Some(now + record.lateness());
                }
            }
            record.set_timer(&mut self.timers, id);
        }
        if !frames.is_empty() {
            self.outputs.push_back(Output::Send(frames.freeze()));
        }
    }

    /// Takes what the stream told.
    pub(super) fn on_event(&mut self, now: Instant, event: Event) {
        let Stream::Open { inbound, .. } = &mut self.stream else { return };
        if !inbound.handle(event) {
            self.ignored += 1;
            return;
        }
        while let Stream::Open { inbound, .. } = &mut self.stream {
            match inbound.poll() {
                None => return,
                Some(Received::Message(message)) => self.on_message(now, message),
                Some(Received::End(end)) => return self.on_end(now, end),
            }
        }
    }

    fn on_message(&mut self, now: Instant, message: Bytes) {
        let Ok(answer) = LeaseKeepAliveResponse::decode(message) else {
            let error = Error::protocol("a response that cannot be decoded");
            self.fail(now, Failure::Malformed, error);
            return;
        };
        let found = ResponseHeader::from(answer.header).cluster_id;
        if self.cluster_id != 0 && found != 0 && found != self.cluster_id {
            // It would say of each lease that it does not exist.
            let error = ErrorKind::ClusterChanged { expected: self.cluster_id, found };
            let error = Error::new(error).with_outcome(Outcome::Unknown);
            self.fail(now, Failure::Lost, error);
            return;
        }
        let id = LeaseId(answer.id);
        let Some(asked) = self.unanswered.answered(id) else {
            self.ignored += 1;
            return;
        };
        self.left = 0;
        self.opening.signal = self.opening.signal.max(HealthSignal::Alive);
        if let Stream::Open { is_answered, .. } = &mut self.stream {
            *is_answered = true;
        }
        if asked.is_void {
            return self.renew_again(now, id);
        }
        match u64::try_from(answer.ttl) {
            Ok(seconds) if seconds > 0 => {
                if found != 0 && self.leases.contains_key(&id) {
                    self.cluster_id = found;
                }
                self.acknowledged(now, id, asked.sent, Duration::from_secs(seconds));
            }
            _ => self.not_found(now, id, asked.sent.time),
        }
    }

    fn on_end(&mut self, now: Instant, end: End) {
        match end {
            End::Lost(lost) => self.on_lost(now, &lost),
            End::Ok => {
                let error = Error::protocol("the server ended the stream of renewals");
                self.fail(now, Failure::Lost, error);
            }
            End::Malformed(error) => {
                self.fail(now, Failure::Malformed, error);
            }
            End::Status(status) => {
                let require_leader = self.settings.require_leader;
                let error = Error::answered(status.clone(), None);
                let failure =
                    Failure::Status { status: &status, require_leader, request_len: None };
                // The one that it was working on.
                // L10, L12, L42
                let oldest = self.unanswered.oldest().map(|asked| asked.lease);
                let action = self.fail(now, failure, error.clone());
                if let Some(id) = oldest.filter(|_| action != RetryAction::NewToken) {
                    self.isolate(now, id, error);
                }
            }
        }
    }

    pub(super) fn on_lost(&mut self, now: Instant, lost: &Lost) {
        let is_unsent = lost.outcome == Outcome::NotSent;
        let failure = if is_unsent { Failure::NotSent } else { Failure::Lost };
        let error = Error::new(ErrorKind::ConnectionLost).with_cause(lost.cause.clone());
        self.fail(now, failure, error);
    }

    /// Returns when the stream is to be left for want of an answer. A server that is slow with all
    /// of them is given more time.
    // I-L3
    pub(super) fn leave_at(&self) -> Option<Instant> {
        let oldest = self.unanswered.oldest()?;
        let patience = oldest.patience * (1 << self.left.min(3));
        Some(oldest.sent.after(patience.min(MAX_PATIENCE)))
    }

    pub(super) fn on_silence(&mut self, now: Instant) {
        self.left = self.left.saturating_add(1);
        let error = Error::new(ErrorKind::TimedOut(crate::error::Phase::Answer));
        let error = error.with_outcome(Outcome::Unknown);
        let oldest = self.unanswered.oldest().map(|asked| asked.lease);
        self.fail(now, Failure::Unanswered, error.clone());
        // The server may be stuck with this one, and the others are behind it.
        // L10
        if let Some(id) = oldest.filter(|_| self.silent == oldest && self.on_stream > 1) {
            self.isolate(now, id, error);
        }
        self.silent = oldest;
    }

    /// There is no token for the stream. Leases go on until their time is over: credentials may
    /// become right before that, and another member may take a token of which there is no newer
    /// one.
    // A9
    pub(super) fn on_no_token(&mut self, now: Instant, error: Option<Error>) {
        let error = error.or(self.opening.last_error.take()).unwrap_or_else(auth::no_token);
        for record in self.leases.values_mut() {
            record.error = Some(error.clone());
        }
        self.opening.signal = HealthSignal::None;
        self.opening.last_error = Some(error);
        self.opening.takes_any_token();
        self.wait(now);
    }

    /// Gives the stream up; all leases go on.
    // I-L5
    fn fail(&mut self, now: Instant, failure: Failure<'_>, error: Error) -> RetryAction {
        for asked in self.unanswered.iter() {
            if let Some(record) = self.leases.get_mut(&asked.lease) {
                record.error = Some(error.clone());
            }
        }
        let decision = self.opening.failed(failure, error);
        self.wait(now);
        decision.action
    }

    fn wait(&mut self, now: Instant) {
        let was_useful = match self.stream {
            Stream::Open { is_answered, .. } => is_answered || self.opening.is_old(now),
            _ => false,
        };
        self.leave_stream();
        self.stream = Stream::Waiting(Some(self.opening.next(now, was_useful)));
    }

    /// Queues what was asked for on the stream.
    pub(super) fn leave_stream(&mut self) {
        self.outputs.retain(|output| !matches!(output, Output::Send(_)));
        for asked in self.unanswered.take() {
            if let Some(record) = self.leases.get_mut(&asked.lease)
                && record.turn == Turn::Asked
            {
                record.enqueue(asked.sent.time, asked.lease, &mut self.queue);
            }
        }
    }

    /// Gives the stream back: there is no lease.
    pub(super) fn close(&mut self) {
        self.opening.signal = HealthSignal::None;
        self.idle_since = None;
        self.leave_stream();
        self.stream = Stream::Idle;
        self.outputs.push_back(Output::Close);
    }
}
