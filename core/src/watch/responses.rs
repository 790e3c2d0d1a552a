//! What the server says, and which watcher it is about.

// W40–W44, W71–W83

use super::events::{Item, Output, WatcherKey};
use super::refusal::{self, Refusal};
use super::watcher::{State, Taken};
use super::{Stream, Watches};
use crate::Instant;
use crate::error::{Error, ErrorKind};
use crate::header::ResponseHeader;
use crate::outcome::Outcome;
use crate::proto::etcdserverpb::WatchResponse;
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

    /// Leaves a stream whose server breaks the rules.
    fn fail_for_good(&mut self, now: Instant, error: &Error) {
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes < super::stream::MAX_STRIKES {
            return self.fail(now, Failure::Malformed, error);
        }
        self.end_all(error);
        self.close(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// A response was over the limit: the stream is of no more use, and its watcher is to blame.
    // I-W17, W86
    fn on_over_limit(&mut self, now: Instant, len: usize, limit: usize) {
        let Stream::Open(open) = &mut self.stream else { return };
        let id = id_of(open.inbound.rest());
        let key = id.and_then(|id| open.ids.get(&id).copied());
        let Some((key, watcher)) = key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)))
        else {
            let error = Error::new(ErrorKind::ResponseOverLimit { len, limit });
            return self.fail_for_good(now, &error.with_outcome(Outcome::Unknown));
        };
        let error = watcher.over_limit(len, limit);
        watcher.strikes += 1;
        // The first time, it may have been one that servers do not cut (W28).
        watcher.options = watcher.options.clone().fragment(true);
        if watcher.strikes > 1 {
            self.end(now, key, error.clone());
        }
        self.fail(now, Failure::Lost, &error);
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
        let is_used = open.ids.contains_key(&id);
        let creating = if is_used { None } else { open.answered(now, Some(id)) };
        let Some(creating) = creating else {
            let error = Error::protocol("a watch was created that was not asked for");
            return self.fail_for_good(now, &error);
        };
        self.unanswered = 0;
        let watcher = creating.key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)));
        let Some((key, watcher)) = watcher else {
            if !creating.is_canceled {
                self.send_cancel(now, id);
            }
            return;
        };
        open.ids.insert(id, key);
        watcher.state = State::Live(id);
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
        open.confirm_cancel(creating.id);
        let watcher = creating.key.and_then(|key| Some((key, self.watchers.get_mut(&key)?)));
        let Some((key, watcher)) = watcher else { return };
        watcher.strikes = watcher.strikes.saturating_add(1);
        let may_repeat = watcher.strikes < MAX_REFUSALS;
        let is_first = watcher.strikes == 1;
        watcher.leave(State::Queued);
        match refusal::of_creation(&response.cancel_reason, watcher.position) {
            Refusal::DuplicateId if may_repeat => self.queue.push_back(key),
            Refusal::DuplicateId => {
                self.end(now, key, Error::protocol("every id is in use on the stream"));
            }
            Refusal::Token(error) if is_first && self.wants_newer_token() => {
                self.queue.push_front(key);
                self.last_error = Some(error);
                self.wait(now);
            }
            Refusal::Token(error) | Refusal::Final(error) => self.end(now, key, error),
        }
    }

    fn on_canceled(&mut self, now: Instant, response: &WatchResponse) {
        let Stream::Open(open) = &mut self.stream else { return };
        let id = response.watch_id;
        if open.confirm_cancel(id) {
            return;
        }
        let Some(key) = open.ids.remove(&id) else { return };
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        // The server has forgotten it, or is told to.
        watcher.leave(State::Queued);
        let (position, compacted) = (watcher.position, response.compact_revision);
        let is_needless = compacted != 0 && position.next() >= compacted;
        let may_repeat = is_needless && watcher.strikes < MAX_REFUSALS;
        watcher.strikes += u8::from(may_repeat);
        if compacted != 0 {
            // The server keeps it until it is cancelled, and tells of no progress meanwhile.
            // W8, W23
            self.send_cancel(now, id);
        }
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
        let Some(&key) = open.ids.get(&watch_id) else {
            if is_progress && watch_id == -1 {
                open.is_useful = true;
                self.strikes = 0;
                return self.on_common_progress(now, header.revision);
            }
            // Nobody's: the server is to forget it.
            // W44, W82
            if !open.is_canceled(watch_id) {
                self.send_cancel(now, watch_id);
            }
            return;
        };
        open.is_useful = true;
        self.strikes = 0;
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        if is_progress && !watcher.is_partial() {
            return self.on_own_progress(key, header.revision);
        }
        let count = events.len();
        let limit = self.settings.max_batch_bytes;
        match watcher.take(header, events, len, fragment, limit) {
            Taken::Batch(batch, bytes) => {
                self.anomalies +=
                    u64::try_from(count.saturating_sub(batch.events.len())).unwrap_or(0);
                self.outputs.push_back(Output::Deliver(key, Item::Events(batch, bytes)));
            }
            Taken::Nothing => self.anomalies += u64::from(!fragment),
            Taken::Full => self.pause(now, key),
            Taken::Broken(error) => self.end(now, key, error),
        }
    }

    /// Cancels a watcher at the server until more of what waits has been taken.
    // W83, I-W10
    fn pause(&mut self, now: Instant, key: WatcherKey) {
        let Stream::Open(open) = &mut self.stream else { return };
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        let id = watcher.id();
        watcher.leave(State::Paused);
        self.outputs.push_back(Output::Suspended(key));
        if let Some(id) = id {
            open.ids.remove(&id);
            self.send_cancel(now, id);
        }
        // It may be that only what came at once was too much.
        self.taken(key, 0);
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
