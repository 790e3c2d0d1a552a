//! Many watches on one gRPC stream, which is opened again when it is lost.
//!
//! The stream:
//!
//! ```text
//!          something is to be watched            Sent
//!   Idle ───────────────────────────► Acquiring ──────► Open
//!    ▲                                 ▲                 │
//!    │                                 │ poll: Attempt   │ Lost, Migrate, a status, silence,
//!    │                                 │                 │ a token that is too old
//!    │                               Waiting ◄───────────┘
//!    └── Close: nothing is watched, and the linger is over ── any state
//! ```
//!
//! Each watcher on it:
//!
//! ```text
//!            its turn              created
//!   Queued ───────────► Creating ──────────► Live ───────────────► End: compacted, refused,
//!    ▲  ▲                  │                  │ │                   cancelled by the server, …
//!    │  └──────────────────┴─ the stream ends ┘ │ more waits than it may buffer
//!    └─────────── half of it was taken ── Paused ◄┘
//! ```
//!
//! Every watcher has a *position*, the first revision that was not delivered; the server is told to
//! begin there whenever the watcher is created, so that nothing is lost and nothing comes twice.
//! One right behind the store begins with what comes next, and is created again if the answer
//! shows that the store was elsewhere. Only `position.rs` moves it. Cancelling removes a watcher
//! whatever its state.
//!
//! Ids on the stream are chosen here, so that a cancellation need not wait for the answer to the
//! creation. What is delivered and not yet taken is counted: a watcher that has too much waiting is
//! cancelled at the server and created again later, and the stream is always read.
//!
//! A silent server is asked for progress; if that is not answered, as servers are free to do, to
//! create a watcher; and if it does not answer that either, the stream goes elsewhere.

// W70–W88, I-W1–I-W17

mod asking;
mod batch;
mod commands;
mod confirmation;
#[cfg(feature = "laws")]
mod digest;
mod events;
mod open;
mod parts;
mod position;
mod progress;
mod refusal;
mod responses;
mod stream;
mod watcher;

pub use crate::request::{WatchOptions, watch};
pub use batch::{Event, EventKind, Previous, ResumeToken, WatchBatch};
pub use events::{Input, Item, Output, Settings, WatcherKey};
pub use progress::progress_is_ordered;

use crate::channel::{EndpointId, HealthSignal};
use crate::error::{Error, ErrorKind};
use crate::frame;
use crate::outcome::Outcome;
use crate::proto::etcdserverpb::{
    WatchCancelRequest, WatchProgressRequest, WatchRequest, watch_request::RequestUnion,
};
use crate::retry::Failure;
use crate::stream::Opening;
use crate::transport;
use crate::{Instant, KeyRange, Machine, Next};
use confirmation::Confirmation;
use open::{Creating, Due, Open};
use std::collections::{BTreeMap, VecDeque};
use watcher::{State, Watcher};

#[derive(Debug, Clone)]
enum Stream {
    Idle,
    Waiting(Option<Instant>),
    Acquiring,
    Open(Box<Open>),
    Closed(ErrorKind),
}

/// All watches on one stream; see the [module](self).
#[derive(Debug, Clone)]
pub struct Watches {
    settings: Settings,
    watchers: BTreeMap<WatcherKey, Watcher>,
    /// Those to be created, in their order; some may be gone.
    queue: VecDeque<WatcherKey>,
    stream: Stream,
    /// The last id that was chosen.
    last_id: i64,
    /// Since when nothing is watched.
    idle_since: Option<Instant>,
    /// Which cluster the stream is of; 0 until that is known.
    cluster_id: u64,
    /// The highest revision that a header told.
    seen: i64,
    confirmation: Confirmation,
    opening: Opening,
    /// Consecutive streams that were given up for want of an answer.
    unanswered: u32,
    /// Consecutive streams that ended for a reason that does not pass.
    strikes: u8,
    /// When a denial was last doubted.
    doubted: Option<Instant>,
    /// How many watchers wait for progress.
    awaiting: usize,
    outputs: VecDeque<Output>,
    ignored: u64,
    anomalies: u64,
}

impl Watches {
    /// Makes a stream that is not open and on which nothing is watched.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        let Settings { backoff, require_leader, only, seed, .. } = settings;
        Self {
            settings,
            watchers: BTreeMap::new(),
            queue: VecDeque::new(),
            stream: Stream::Idle,
            last_id: 0,
            idle_since: None,
            cluster_id: 0,
            seen: 0,
            confirmation: Confirmation::NotNeeded,
            opening: Opening::new(backoff, require_leader, only, seed),
            unanswered: 0,
            strikes: 0,
            doubted: None,
            awaiting: 0,
            outputs: VecDeque::new(),
            ignored: 0,
            anomalies: 0,
        }
    }
}

impl Machine for Watches {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Create(key, options) => self.create(now, key, options),
            Input::Cancel(key) => self.cancel(now, key),
            Input::Taken(key, bytes) => self.taken(key, bytes),
            Input::RequestProgress(key) => self.request_progress(now, key),
            Input::OrderedProgress(is_ordered) => match &mut self.stream {
                Stream::Open(open) => open.asking.is_ordered = is_ordered,
                _ => self.ignored += 1,
            },
            Input::Confirmed(answer) => self.on_confirmed(now, answer),
            Input::Sent(sent) if self.is_acquiring() => self.on_sent(now, sent),
            Input::Denied(denied) if self.is_acquiring() => self.on_denied(now, denied),
            Input::NoToken(error) if self.is_acquiring() => self.on_no_token(now, error),
            Input::Stream(transport::Event::Lost(lost)) if self.is_acquiring() => {
                // What was told of the endpoint before was told.
                self.opening.signal = HealthSignal::None;
                self.on_lost(now, &lost);
            }
            Input::Stream(event) if self.is_streaming() => self.on_event(now, event),
            Input::Migrate if self.is_streaming() => {
                self.opening.signal = HealthSignal::None;
                self.leave_stream();
                self.stream = Stream::Waiting(None);
            }
            Input::Closed(kind) if !matches!(self.stream, Stream::Closed(_)) => {
                self.end_all(&Error::new(kind));
                self.leave_stream();
                self.stream = Stream::Closed(kind);
                (self.idle_since, self.confirmation) = (None, Confirmation::NotNeeded);
                self.outputs.push_back(Output::Close);
            }
            _ => self.ignored += 1,
        }
        self.pump(now);
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Next::Do(output);
            }
            let due = self.next_due();
            match due {
                Some(at) if at <= now => self.on_due(now),
                _ => return Next::Wait(due),
            }
        }
    }
}

impl Watches {
    /// Returns whether the stream is open.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.stream, Stream::Open(_))
    }

    /// Returns how many watchers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Returns whether nothing is watched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }

    /// Returns the endpoint that the stream was last opened to.
    #[must_use]
    pub const fn endpoint(&self) -> Option<EndpointId> {
        self.opening.last_endpoint
    }

    /// Returns when the last message came on the stream that is open.
    #[must_use]
    pub fn heard(&self) -> Option<Instant> {
        match &self.stream {
            Stream::Open(open) => Some(open.heard),
            _ => None,
        }
    }

    /// Returns why the last stream that failed did.
    #[must_use]
    pub const fn last_error(&self) -> Option<&Error> {
        self.opening.last_error.as_ref()
    }

    /// Returns what the last stream that is over told of its endpoint.
    #[must_use]
    pub const fn signal(&self) -> HealthSignal {
        self.opening.signal
    }

    /// Returns the keys of a watcher, whichever.
    #[must_use]
    pub fn any_range(&self) -> Option<&KeyRange> {
        self.watchers.values().next().map(|watcher| watcher.options.range())
    }

    /// Returns the first revision that was not delivered to a watcher.
    #[must_use]
    pub fn position(&self, key: WatcherKey) -> Option<i64> {
        self.watchers.get(&key).map(|watcher| watcher.position.next())
    }

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Returns how many events came again, and were not delivered.
    // I-W2
    #[must_use]
    pub const fn anomalies(&self) -> u64 {
        self.anomalies
    }

    const fn is_acquiring(&self) -> bool {
        matches!(self.stream, Stream::Acquiring)
    }

    fn next_due(&self) -> Option<Instant> {
        let idle = self.idle_since.map(|since| since + self.settings.linger);
        let confirm = match self.confirmation {
            Confirmation::Later(_, at) => Some(at),
            Confirmation::NotNeeded | Confirmation::Asked(_) => None,
        };
        let stream = match &self.stream {
            Stream::Idle | Stream::Waiting(_) if !self.is_queued() => None,
            Stream::Idle => Some(Instant::ORIGIN),
            Stream::Waiting(until) => Some(until.unwrap_or(Instant::ORIGIN)),
            Stream::Open(open) => self.due_of(open).map(|due| due.0),
            Stream::Acquiring | Stream::Closed(_) => None,
        };
        [idle, confirm, stream].into_iter().flatten().min()
    }

    /// Returns whether a watcher is to be created.
    fn is_queued(&self) -> bool {
        self.queue.iter().any(|key| self.is_in_queue(*key))
    }

    fn is_in_queue(&self, key: WatcherKey) -> bool {
        self.watchers.get(&key).is_some_and(|watcher| watcher.state == State::Queued)
    }

    fn due_of(&self, open: &Open) -> Option<(Instant, Due)> {
        open.due(&self.settings, self.unanswered, self.awaiting > 0)
    }

    fn on_due(&mut self, now: Instant) {
        if self.idle_since.is_some_and(|since| since + self.settings.linger <= now) {
            self.opening.signal = HealthSignal::None;
            return self.close(now);
        }
        if let Confirmation::Later(revision, at) = self.confirmation
            && at <= now
        {
            self.confirmation = Confirmation::Asked(revision);
            return self.outputs.push_back(Output::Confirm);
        }
        match &mut self.stream {
            // What is watched again at once is not to open one stream after another.
            Stream::Idle if self.opening.has_failed() => self.wait(now),
            Stream::Idle | Stream::Waiting(_) => {
                let attempt = self.begin_attempt();
                self.outputs.push_back(Output::Attempt(attempt));
            }
            Stream::Open(_) => self.on_silence(now),
            Stream::Acquiring | Stream::Closed(_) => {}
        }
    }

    fn on_silence(&mut self, now: Instant) {
        let Stream::Open(open) = &self.stream else { return };
        let Some((_, due)) = self.due_of(open) else { return };
        match due {
            Due::Progress => {
                if let Stream::Open(open) = &mut self.stream {
                    open.on_due(now, &self.settings);
                }
                self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
            }
            Due::Probe => {
                let id = self.next_id();
                if let Stream::Open(open) = &mut self.stream {
                    open.created(now, Creating::new(id, None, false));
                }
                // A key that nobody has, at a revision that never comes.
                let probe = watch(KeyRange::from_wire(vec![0], vec![]));
                self.send(RequestUnion::CreateRequest(probe.create(id, i64::MAX - 1)));
            }
            Due::Lost => {
                self.unanswered = self.unanswered.saturating_add(1);
                let error = Error::new(ErrorKind::TimedOut(crate::error::Phase::Answer));
                self.fail(now, Failure::Unanswered, &error.with_outcome(Outcome::Unknown));
            }
        }
    }

    /// Sends creations as far as the server keeps up with them.
    fn pump(&mut self, now: Instant) {
        while let Stream::Open(open) = &mut self.stream
            && open.may_create()
            && let Some(key) = self.queue.pop_front()
        {
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            if watcher.state != State::Queued {
                continue;
            }
            let id = self.last_id.saturating_add(1);
            self.last_id = id;
            watcher.state = State::Creating(id);
            let is_from_now = watcher.is_at_head(self.seen);
            open.created(now, Creating::new(id, Some(key), is_from_now));
            let start = if is_from_now { 0 } else { watcher.position.next() };
            let create = watcher.options.create(id, start);
            self.send(RequestUnion::CreateRequest(create));
        }
    }

    const fn next_id(&mut self) -> i64 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    /// Cancels a watcher that the server has, or is about to have.
    fn cancel_live(&mut self, id: i64) {
        let Stream::Open(open) = &mut self.stream else { return };
        open.unbind(id);
        open.cancel(id);
        self.send_cancel(id);
    }

    fn send_cancel(&mut self, id: i64) {
        self.send(RequestUnion::CancelRequest(WatchCancelRequest { watch_id: id }));
    }

    /// Sends a request; creations that are too large were refused before.
    fn send(&mut self, union: RequestUnion) {
        let message = WatchRequest { request_union: Some(union) };
        if let Ok(frame) = frame::encode(&message, usize::MAX) {
            self.outputs.push_back(Output::Send(frame));
        }
    }
}
