//! What the server says, and which watcher it is about.

// W40–W44, W71–W83

use super::events::{Item, Output, WatcherKey};
use super::open::{Creating, Live};
use super::parts::Put;
use super::refusal::{self, Refusal};
use super::watcher::{State, Taken};
use super::{Stream, Watches};
use crate::Instant;
use crate::auth::MAX_RENEWALS;
use crate::channel::HealthSignal;
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::outcome::Outcome;
use crate::proto::etcdserverpb::WatchResponse;
use crate::proto::mvccpb;
use crate::retry::Failure;
use crate::stream::{End, Received};
use crate::transport::Event;
use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

/// How often a watcher may be refused for a reason that another attempt mends.
const MAX_REFUSALS: u8 = 3;

impl Watches {
    /// Takes what the stream told.
    pub(super) fn on_event(&mut self, now: Instant, event: Event) {
        let Stream::Open(open) = &mut self.stream else { return };
        if !open.inbound.handle(event) {
            self.ignored += 1;
            return;
        }
        while let Stream::Open(open) = &mut self.stream {
            match open.inbound.poll() {
                None => return,
                Some(Received::Message(message)) => self.on_message(now, message),
                Some(Received::End(end)) => return self.on_end(now, end),
            }
        }
    }

    fn on_end(&mut self, now: Instant, end: End) {
        match end {
            End::Lost(lost) => self.on_lost(now, &lost),
            End::Status(status) => {
                let require_leader = self.settings.require_leader;
                let error = Error::answered(status.clone(), None);
                let failure =
                    Failure::Status { status: &status, require_leader, request_len: None };
                self.fail(now, failure, &error);
            }
            // A server has no reason to end it.
            End::Ok => {
                let error = Error::protocol("the server ended the stream of watches");
                self.fail(now, Failure::Lost, &error);
            }
            End::Malformed(error) => match error.kind() {
                ErrorKind::ResponseOverLimit { len, limit } => self.on_over_limit(now, len, limit),
                _ => self.fail_for_good(now, &error),
            },
        }
    }

    /// A response was over the limit: the stream is of no more use, and its watcher is to blame.
    // I-W17, W86
    fn on_over_limit(&mut self, now: Instant, len: usize, limit: usize) {
        let Stream::Open(open) = &mut self.stream else { return };
        let id = id_of(open.inbound.rest());
        let key = id.and_then(|id| open.ids.get(&id)).map(|live| live.key);
        let Some((key, watcher)) = key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)))
        else {
            let error = Error::new(ErrorKind::ResponseOverLimit { len, limit });
            return self.fail_for_good(now, &error.with_outcome(Outcome::Unknown));
        };
        let error = watcher.over_limit(len, limit);
        watcher.strikes += 1;
        // The first time, it may have been one that servers do not cut (W28).
        if watcher.strikes > 1 {
            self.end(now, key, error.clone());
        }
        // The endpoint is not to blame.
        self.opening.signal = self.opening.signal.max(HealthSignal::Healthy);
        self.opening.last_error = Some(error);
        self.wait(now);
    }

    fn on_message(&mut self, now: Instant, message: Bytes) {
        let len = message.len();
        let Ok(response) = WatchResponse::decode(message) else {
            return self.fail_for_good(now, &Error::protocol("a response that cannot be decoded"));
        };
        let Stream::Open(open) = &mut self.stream else { return };
        open.hear(now);
        let header = ResponseHeader::from(response.header);
        if self.is_of_another_cluster(header.cluster_id) {
            let (expected, found) = (self.cluster_id, header.cluster_id);
            self.confirm(self.seen);
            let error = Error::new(ErrorKind::ClusterChanged { expected, found });
            return self.fail(now, Failure::Lost, &error.with_outcome(Outcome::Unknown));
        }
        if header.cluster_id != 0 {
            self.cluster_id = header.cluster_id;
        }
        match (response.created, response.canceled) {
            (true, true) => self.on_refused(now, &response),
            (true, false) => self.on_created(now, response.watch_id, header),
            (false, true) => self.on_canceled(now, &response),
            (false, false) => self.on_news(now, header, response, len),
        }
        self.seen = self.seen.max(header.revision);
    }

    // W71
    fn on_created(&mut self, now: Instant, id: i64, header: ResponseHeader) {
        let Stream::Open(open) = &mut self.stream else { return };
        if open.takes_ids.is_none()
            && let Some(first) = open.creating.front()
        {
            open.takes_ids = Some(first.id == id);
        }
        // -1 is nobody (W2).
        let is_free = id >= 0 && !open.ids.contains_key(&id);
        let creating = if is_free { open.answered(now, Some(id)) } else { None };
        let Some(creating) = creating else {
            let error = Error::protocol("a watch was created that was not asked for");
            return self.fail_for_good(now, &error);
        };
        self.unanswered = 0;
        let Creating { key, asked, is_canceled, is_from_now, .. } = creating;
        let watcher = key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)));
        let Some((key, watcher)) = watcher else {
            if !is_canceled {
                self.cancel_live(id);
            }
            return;
        };
        open.accepted = Some(now);
        open.bind(id, Live { key, asked, revision: header.revision });
        watcher.state = State::Live(id);
        watcher.refusals = 0;
        let is_elsewhere = is_from_now && header.revision != watcher.position.next() - 1;
        let expected = watcher.options.cluster_id();
        if self.is_of_another_cluster(expected) {
            let found = self.cluster_id;
            let error = Error::new(ErrorKind::ClusterChanged { expected, found });
            return self.end(now, key, error.with_outcome(Outcome::Rejected));
        }
        if is_elsewhere {
            return self.begin_exactly(key, id);
        }
        self.on_live(now, key, header);
    }

    /// Has a watcher created again that was to begin with what comes next, and began elsewhere: the
    /// store went on meanwhile, or the member lags.
    fn begin_exactly(&mut self, key: WatcherKey, id: i64) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        watcher.is_exact = true;
        watcher.state = State::Queued;
        self.queue.push_front(key);
        self.cancel_live(id);
    }

    /// Tells a watcher that the server has it.
    // I-W5: the revision of this header is no position.
    fn on_live(&mut self, now: Instant, key: WatcherKey, header: ResponseHeader) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let next = watcher.position.next();
        let item = if std::mem::replace(&mut watcher.is_created, true) {
            Item::Resumed(next)
        } else {
            Item::Created(header)
        };
        let is_awaited = watcher.awaits_progress;
        self.outputs.push_back(Output::Deliver(key, item));
        if is_awaited {
            self.ask_progress(now);
        }
        // Others tell of a later state: the member lags, or the cluster went back.
        let last = next - 1;
        if header.revision != 0 && header.revision < last && last <= self.seen {
            self.confirm(last);
        }
    }

    // W72
    fn on_refused(&mut self, now: Instant, response: &WatchResponse) {
        let Stream::Open(open) = &mut self.stream else { return };
        // Refusals have no id of their own; they come in the order of the requests.
        let Some(creating) = open.answered(now, None) else {
            let error = Error::protocol("a watch was refused that was not asked for");
            return self.fail_for_good(now, &error);
        };
        self.unanswered = 0;
        let is_fresh = self.has_fresh_token(now);
        let watcher = creating.key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)));
        let Some((key, watcher)) = watcher else { return };
        let refusal = refusal::of_creation(&response.cancel_reason, watcher.position);
        // A token that is older may have expired, however often that happens.
        let counts = is_fresh || !matches!(refusal, Refusal::Token(..));
        watcher.refusals = watcher.refusals.saturating_add(u8::from(counts));
        let may_repeat = watcher.refusals < MAX_REFUSALS;
        let is_first = watcher.refusals <= 1;
        let may_renew = u32::from(watcher.refusals) <= MAX_RENEWALS;
        watcher.state = State::Queued;
        match refusal {
            Refusal::DuplicateId if may_repeat => self.queue.push_back(key),
            Refusal::DuplicateId => {
                self.end(now, key, Error::protocol("every id is in use on the stream"));
            }
            Refusal::Token(reason, error) if may_renew && self.wants_newer_token(reason) => {
                self.queue.push_front(key);
                self.opening.last_error = Some(error);
                self.wait(now);
            }
            Refusal::Denied(error) if is_first && self.doubts_denial(now) => {
                self.queue.push_front(key);
                self.opening.last_error = Some(error);
                self.wait(now);
            }
            Refusal::Token(_, error) | Refusal::Denied(error) | Refusal::Final(error) => {
                self.end(now, key, error);
            }
        }
    }

    fn on_canceled(&mut self, now: Instant, response: &WatchResponse) {
        let Stream::Open(open) = &mut self.stream else { return };
        let id = response.watch_id;
        let Some(&Live { key, .. }) = open.ids.get(&id) else { return open.confirm_cancel(id) };
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let (position, compacted) = (watcher.position, response.compact_revision);
        let is_needless = compacted != 0 && position.next() >= compacted;
        let may_repeat = is_needless && watcher.refusals < MAX_REFUSALS;
        watcher.refusals += u8::from(may_repeat);
        if compacted == 0 {
            open.unbind(id);
        } else {
            // The server keeps it until it is cancelled, and meanwhile tells nobody of the stream
            // of progress. Others it has forgotten.
            // W8, W23
            self.cancel_live(id);
        }
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        watcher.state = State::Queued;
        if may_repeat {
            // Servers count from the last event, whatever they told of progress since.
            return self.queue.push_back(key);
        }
        let error = if is_needless {
            Error::protocol("a compaction of what has been delivered")
        } else {
            refusal::of_end(&response.cancel_reason, compacted, position)
        };
        self.end(now, key, error);
    }

    /// Takes events, or progress.
    fn on_news(
        &mut self,
        now: Instant,
        header: ResponseHeader,
        response: WatchResponse,
        len: usize,
    ) {
        let Stream::Open(open) = &mut self.stream else { return };
        let WatchResponse { watch_id, events, fragment, .. } = response;
        let is_progress = events.is_empty() && !fragment;
        let Some(&Live { key, .. }) = open.ids.get(&watch_id) else {
            if is_progress && watch_id == -1 {
                return self.on_common_progress(now, header.revision);
            }
            return self.on_stranger(now, watch_id);
        };
        open.is_useful = true;
        self.strikes = 0;
        if is_progress {
            // A part that is empty is none: servers cut between events.
            if !open.parts.contains(watch_id) {
                self.on_own_progress(key, header.revision);
            }
            return;
        }
        let limit = self.settings.max_batch_bytes;
        match open.parts.put(watch_id, events, len, fragment, limit) {
            Put::Complete(events, bytes) => {
                self.on_events(now, key, header, events, bytes);
            }
            Put::Incomplete => {}
            Put::OverLimit(len) => {
                let Some(watcher) = self.watchers.get(&key) else { return };
                let error = watcher.over_limit(len, limit);
                self.end(now, key, error);
            }
        }
    }

    fn on_events(
        &mut self,
        now: Instant,
        key: WatcherKey,
        header: ResponseHeader,
        events: Vec<mvccpb::Event>,
        bytes: usize,
    ) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let (taken, repeated) = watcher.take(header, events, bytes);
        self.anomalies += u64::try_from(repeated).unwrap_or(0);
        match taken {
            Taken::Batch(batch, bytes) => {
                if let (Stream::Open(open), Some(first)) = (&mut self.stream, batch.events.first())
                {
                    open.asking.on_events(first.revision());
                }
                self.outputs.push_back(Output::Deliver(key, Item::Events(batch, bytes)));
            }
            Taken::Nothing => {}
            Taken::Full => self.pause(key),
            Taken::Broken(error) => self.end(now, key, error),
        }
    }

    /// Takes news of a watcher that nobody has: the server is to forget it.
    // W44, W82
    fn on_stranger(&mut self, now: Instant, id: i64) {
        let last_id = self.last_id;
        let Stream::Open(open) = &mut self.stream else { return };
        if open.is_creating(id) {
            // Who knows what else came too early, and was nobody's (W4).
            let error = Error::protocol("news of a watch before it was created");
            return self.fail_for_good(now, &error);
        }
        match open.cancel_stranger(id, last_id) {
            Some(true) => self.send_cancel(id),
            Some(false) => {}
            None => {
                let error = Error::protocol("too many watchers that nobody created");
                self.fail_for_good(now, &error);
            }
        }
    }

    /// Cancels a watcher at the server until more of what waits has been taken.
    // W83, I-W10
    fn pause(&mut self, key: WatcherKey) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let id = watcher.id();
        watcher.state = State::Paused;
        self.outputs.push_back(Output::Suspended(key));
        if let Some(id) = id {
            self.cancel_live(id);
        }
    }
}

/// Reads the id of the watcher from the beginning of a response, its gRPC head included.
fn id_of(rest: &[u8]) -> Option<i64> {
    let mut message = rest.get(crate::frame::HEAD..)?;
    if let (1, WireType::LengthDelimited) = decode_key(&mut message).ok()? {
        let len = usize::try_from(decode_varint(&mut message).ok()?).ok()?;
        message = message.get(len..)?;
    } else {
        message = rest.get(crate::frame::HEAD..)?;
    }
    match decode_key(&mut message).ok()? {
        (2, WireType::Varint) => decode_varint(&mut message).ok().map(u64::cast_signed),
        // Left out when it is 0.
        _ => Some(0),
    }
}
