//! Many leases on one gRPC stream, and what is done when it does not renew them in time.
//!
//! The stream:
//!
//! ```text
//!          a lease is kept alive              Sent
//!   Idle ────────────────────────► Acquiring ──────► Open
//!    ▲                              ▲                 │
//!    │                              │ poll: Attempt   │ Lost, Migrate, a status,
//!    │                              │                 │ no answer to the oldest request
//!    │                            Waiting ◄───────────┘
//!    └── Close: there is no lease, and the linger is over ── any state
//! ```
//!
//! Each lease:
//!
//! ```text
//!             due           its turn            answered
//!   Resting ──────► Queued ──────────► Asked ──────────────► Resting
//!      ▲              ▲                  │
//!      │              └─ the stream ends ┤ with a status, and it was the oldest request
//!      └───── two acknowledgements ── Single ◄┘
//!
//!   any state ── no such lease, or `until` has passed ──► Lost
//! ```
//!
//! A lease is valid until the moment at which the request was sent that was acknowledged last, plus
//! the time to live that came with the answer: the server counts from when it handled the request,
//! which was later. Nothing but that moment, or the word of the server, ends it: streams and
//! members may come and go meanwhile.
//!
//! A request that is not answered in time is repeated by a call of its own, at another member, and
//! again each sixth of the time to live; a member that waits for a leader which is frozen answers
//! nothing for seven seconds, so the calls before go on. The stream goes elsewhere, too.

// L45, L46, I-L1–I-L8

mod asked;
#[cfg(feature = "laws")]
mod digest;
mod events;
mod pace;
mod record;
mod renewals;
mod stream;
mod timers;

pub use events::{Input, Known, LeaseLost, LossReason, Output, Renewal, Settings, SingleRenewal};

use crate::channel::{EndpointId, HealthSignal};
use crate::error::Error;
use crate::stream::{Inbound, Opening};
use crate::transport;
use crate::{Instant, LeaseId, Machine, Next};
use asked::Unanswered;
use pace::Pace;
use record::Record;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use timers::Timers;

#[derive(Debug, Clone)]
enum Stream {
    Idle,
    Waiting(Option<Instant>),
    Acquiring,
    Open {
        inbound: Box<Inbound>,
        /// Whether an answer came on it.
        is_answered: bool,
    },
    Closed,
}

/// All leases of a client; see the [module](self).
#[derive(Debug, Clone)]
pub struct KeepAlive {
    settings: Settings,
    /// Boxed, so that a search reads little but ids.
    leases: BTreeMap<LeaseId, Box<Record>>,
    /// When something is to be done about which lease: at most one entry each.
    timers: Timers,
    /// Those to be asked for on the stream, the most urgent first.
    queue: BTreeSet<(Instant, LeaseId)>,
    unanswered: Unanswered,
    pace: Pace,
    /// How many leases are not isolated.
    on_stream: usize,
    /// How many calls of their own are under way.
    singles: usize,
    /// The last round of such calls.
    rounds: u32,
    /// When the machine was suspended while such calls are under way, and for how long.
    suspensions: Vec<(Instant, Duration)>,
    /// Those that wait for such a call, the most urgent first.
    waiting_for_single: BTreeSet<(Instant, LeaseId)>,
    stream: Stream,
    opening: Opening,
    /// Consecutive streams that were left for want of an answer.
    left: u32,
    /// The lease that the last of them did not answer for.
    silent: Option<LeaseId>,
    /// Which cluster the leases are of; 0 until that is known.
    cluster_id: u64,
    /// Since when there is no lease.
    idle_since: Option<Instant>,
    outputs: VecDeque<Output>,
    ignored: u64,
}

impl KeepAlive {
    /// Makes a stream that is not open, without leases.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        let Settings { backoff, require_leader, only, seed, .. } = settings;
        Self {
            settings,
            leases: BTreeMap::new(),
            timers: Timers::new(),
            queue: BTreeSet::new(),
            unanswered: Unanswered::new(),
            pace: Pace::new(),
            on_stream: 0,
            singles: 0,
            rounds: 0,
            suspensions: Vec::new(),
            waiting_for_single: BTreeSet::new(),
            stream: Stream::Idle,
            opening: Opening::new(backoff, require_leader, only, seed),
            left: 0,
            silent: None,
            cluster_id: 0,
            idle_since: None,
            outputs: VecDeque::new(),
            ignored: 0,
        }
    }
}

impl Machine for KeepAlive {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Add(id, _) | Input::Renew(id) if self.is_closed() => self.refuse(id),
            Input::Add(id, known) => self.add(now, id, known),
            Input::Remove(id) => self.remove(now, id),
            Input::Revoked(id) => self.revoked(now, id),
            Input::Renew(id) => self.renew(now, id),
            Input::Single(single, sent, result) => self.on_single(now, single, sent, result),
            Input::Confirmed(id, result) => self.on_confirmed(now, id, result),
            Input::Suspended(by) => self.age(now, by),
            Input::Sent(sent) if self.is_acquiring() => self.on_sent(now, sent),
            Input::Denied(denied) if self.is_acquiring() => self.on_denied(now, &denied),
            Input::NoToken(error) if self.is_acquiring() => self.on_no_token(now, error),
            Input::Stream(transport::Event::Lost(lost)) if self.is_acquiring() => {
                self.opening.signal = HealthSignal::None;
                self.on_lost(now, &lost);
            }
            Input::Stream(event) if self.is_streaming() => self.on_event(now, event),
            Input::Migrate if self.is_streaming() => {
                self.opening.signal = HealthSignal::None;
                self.leave_stream();
                self.stream = Stream::Waiting(None);
            }
            Input::Closed(_) if !self.is_closed() => self.close_for_good(),
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

impl KeepAlive {
    /// Returns whether the stream is open.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.stream, Stream::Open { .. })
    }

    /// Returns how many leases are kept alive.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Returns whether no lease is kept alive.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// Returns until when a lease is valid, as far as that is known.
    #[must_use]
    pub fn valid_until(&self, id: LeaseId) -> Option<Instant> {
        self.leases.get(&id).and_then(|record| record.until)
    }

    /// Takes the loss of a lease that was not told yet: it is of those who had the lease before,
    /// and the lease may come again.
    pub fn take_lost(&mut self, id: LeaseId) -> Option<LeaseLost> {
        let is_its = |output: &Output| matches!(output, Output::Lost(it, _) if *it == id);
        let index = self.outputs.iter().position(is_its)?;
        match self.outputs.remove(index) {
            Some(Output::Lost(_, lost)) => Some(lost),
            _ => None,
        }
    }

    /// Returns the endpoint that the stream was last opened to.
    #[must_use]
    pub const fn endpoint(&self) -> Option<EndpointId> {
        self.opening.last_endpoint
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

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Returns how many leases wait for their turn on the stream.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    const fn is_acquiring(&self) -> bool {
        matches!(self.stream, Stream::Acquiring)
    }

    const fn is_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed)
    }

    fn next_due(&self) -> Option<Instant> {
        let idle = self.idle_since.map(|since| since + self.settings.linger);
        let lease = self.timers.first();
        let stream = match &self.stream {
            Stream::Idle | Stream::Waiting(_) if self.on_stream == 0 => None,
            Stream::Idle => Some(Instant::ORIGIN),
            Stream::Waiting(until) => Some(until.unwrap_or(Instant::ORIGIN)),
            Stream::Open { .. } => {
                let paced = (!self.queue.is_empty()).then(|| self.pace.next_of(self.queue.len()));
                paced.into_iter().chain(self.leave_at()).min()
            }
            Stream::Acquiring | Stream::Closed => None,
        };
        [idle, lease, stream].into_iter().flatten().min()
    }

    fn on_due(&mut self, now: Instant) {
        if self.idle_since.is_some_and(|since| since + self.settings.linger <= now) {
            return self.close();
        }
        if self.timers.first().is_some_and(|due| due <= now) {
            return self.on_leases_due(now);
        }
        match &self.stream {
            Stream::Idle | Stream::Waiting(_) => {
                self.stream = Stream::Acquiring;
                let attempt = self.opening.begin();
                self.outputs.push_back(Output::Attempt(attempt));
            }
            Stream::Open { .. } if self.leave_at().is_some_and(|at| at <= now) => {
                self.on_silence(now);
            }
            Stream::Open { .. } => self.pump(now),
            Stream::Acquiring | Stream::Closed => {}
        }
    }
}
