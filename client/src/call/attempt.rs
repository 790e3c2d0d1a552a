//! One attempt after another: the permit, the HTTP/2 stream, and the moment that is waited for.
//!
//! ```text
//!           begin                  open                    the stream ends
//!   Idle ──────────► Acquiring ──────────► Streaming ───────────────────────► Finished
//!    ▲                                                                           │
//!    └──────────────────────────────── release ──────────────────────────────────┘
//! ```
//!
//! A dumb carrier: it decides nothing. A machine says when to begin an attempt and when to release
//! it, and is told what comes of it; calls and the tasks of streams use it alike.

use super::alarm::Alarm;
use super::final_read::FinalRead;
use super::open_stream::{Open, OpenStream, Receiver};
use crate::pool::{ConnectionHandle, NoPermit, Permit, Pool};
use crate::tokens::{Tokens, Wanted};
use crate::transport::exchange::{Exchange, Sender};
use etcd3_core::call::{self, Sent, SentToken};
use etcd3_core::channel::{self, Denied, Finished, Freshness, Retirement, Want};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::metadata::Metadata;
use etcd3_core::stream;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Error, ErrorKind, Instant, lease, watch};
use event_listener::EventListener;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// The permit, the stream and the alarm of one attempt after another; see the [module](self).
pub(crate) struct Carrier {
    state: State,
    final_read: FinalRead,
    alarm: Alarm,
    /// Where the last one was sent.
    pub(crate) last: Option<Endpoint>,
    token_use: TokenUse,
    /// The token that the attempt is sent with.
    token: Option<SentToken>,
    /// Whether it is served while a client that is closed waits for its cleanup.
    is_cleanup: bool,
}

/// What attempts of a client with credentials do about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// They wait for it.
    Needed,
    /// They carry it if it is there.
    Optional,
    /// They go without.
    None,
}

enum State {
    /// Nothing is to be sent; the end of the client is waited for.
    Idle(Option<EventListener>),
    /// A token is waited for, in a client with credentials, then a permit.
    Acquiring { order: call::Attempt, has_token: bool, listener: Option<EventListener> },
    /// The stream is open; the alarm shares it with the control task.
    Streaming,
    /// The stream is over, and its permit is yet to be released.
    Finished(Permit),
}

/// What an attempt that is not streaming waits for.
pub(crate) enum Progress {
    /// There is a permit for it: it is to be opened.
    Admitted(Permit, call::Attempt),
    /// The machine is to be told this.
    Event(AttemptEvent),
}

/// What the machine is to be told of its attempt.
pub(crate) enum AttemptEvent {
    Sent(Sent),
    Denied(Denied),
    NoToken(Option<Error>),
    Stream(Event),
    Closed(ErrorKind),
}

/// Makes inputs of machines of what an attempt tells; all of them have these five.
macro_rules! inputs_of_machines {
    ($($input:ty),* $(,)?) => {
        $(impl From<AttemptEvent> for $input {
                fn from(event: AttemptEvent) -> Self {
                    match event {
                        AttemptEvent::Sent(sent) => Self::Sent(sent),
                        AttemptEvent::Denied(denied) => Self::Denied(denied),
                        AttemptEvent::NoToken(error) => Self::NoToken(error),
                        AttemptEvent::Stream(event) => Self::Stream(event),
                        AttemptEvent::Closed(kind) => Self::Closed(kind),
                    }
                }
            })*
    };
}

inputs_of_machines!(
    call::Input,
    lease::Input,
    stream::raw::Input,
    stream::server_stream::Input,
    watch::Input,
);

impl Carrier {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self {
            state: State::Idle(None),
            final_read: FinalRead::default(),
            alarm: Alarm::new(pool),
            last: None,
            token_use: TokenUse::Needed,
            token: None,
            is_cleanup: false,
        }
    }

    /// Sets what is done about a token.
    pub(crate) const fn token_use(mut self, token_use: TokenUse) -> Self {
        self.token_use = token_use;
        self
    }

    /// Sets whether attempts are served while a client that is closed waits for its cleanup.
    pub(crate) const fn cleanup(mut self, is_cleanup: bool) -> Self {
        self.is_cleanup = is_cleanup;
        self
    }

    pub(crate) const fn pool(&self) -> &Arc<Pool> {
        &self.alarm.pool
    }

    /// Begins an attempt; the one before must have been released.
    pub(crate) fn begin(&mut self, mut order: call::Attempt) {
        let tokens = self.alarm.pool.tokens.as_deref();
        let tokens = tokens.filter(|_| self.token_use != TokenUse::None);
        // I-A5
        order.want.is_secret |= tokens.is_some_and(|tokens| !tokens.allows_plaintext);
        let has_token = tokens.is_none() || self.token_use != TokenUse::Needed;
        self.state = State::Acquiring { order, has_token, listener: None };
    }

    /// Returns whether the attempt waits for a token.
    pub(crate) const fn awaits_token(&self) -> bool {
        matches!(self.state, State::Acquiring { has_token: false, .. })
    }

    /// Returns what the head of the request says that is sent now.
    pub(crate) fn metadata(&mut self, now: Instant, order: &call::Attempt) -> Metadata {
        let mut metadata = order.metadata(now);
        self.token = None;
        let tokens = self.alarm.pool.tokens.as_deref();
        let carried = tokens.filter(|_| self.token_use != TokenUse::None).map(Tokens::carried);
        if let Some(Some(carried)) = carried {
            metadata.token = carried.header;
            // Otherwise a newer one would be waited for.
            let is_needed = self.token_use == TokenUse::Needed;
            self.token = is_needed.then_some(carried.token);
        }
        metadata
    }

    /// Ends the attempt, whatever its state, and gives its permit back if it has one.
    pub(crate) fn release(&mut self, now: Instant, finished: impl Into<Finished>) -> Freshness {
        let permit = match std::mem::replace(&mut self.state, State::Idle(None)) {
            State::Streaming => self.stream().take().map(Open::end),
            State::Finished(permit) => Some(permit),
            State::Idle(_) | State::Acquiring { .. } => None,
        };
        permit.map_or(Freshness::Fresh, |permit| permit.release(now, finished))
    }

    /// Ends a stream that is open or over; an attempt that waits for a permit goes on.
    pub(crate) fn release_stream(&mut self, now: Instant, finished: impl Into<Finished>) {
        if matches!(self.state, State::Streaming | State::Finished(_)) {
            self.release(now, finished);
        }
    }

    /// Waits for what the attempt waits for, unless it is streaming.
    pub(crate) fn poll_progress(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Progress> {
        let (pool, is_cleanup) = (&self.alarm.pool, self.is_cleanup);
        match &mut self.state {
            State::Acquiring { order, has_token, listener } => {
                if !*has_token && let Some(tokens) = &pool.tokens {
                    let wanted = Wanted { now, stale: order.stale_token, is_cleanup };
                    if let Err(event) = ready!(tokens.poll_token(pool, wanted, listener, cx)) {
                        self.state = State::Idle(None);
                        return Poll::Ready(Progress::Event(event));
                    }
                    (*has_token, *listener) = (true, None);
                }
                let admit = || pool.admit(now, order.want, is_cleanup);
                let admitted = ready!(poll_permit(pool, order.want, admit, listener, cx));
                Poll::Ready(match admitted {
                    Ok(permit) => Progress::Admitted(permit, *order),
                    Err(NoPermit::Closed(kind)) => Progress::Event(AttemptEvent::Closed(kind)),
                    Err(NoPermit::Denied(denied)) => {
                        // Over: the machine says when there is to be another one.
                        self.state = State::Idle(None);
                        Progress::Event(AttemptEvent::Denied(denied))
                    }
                })
            }
            State::Streaming | State::Finished(_) => Poll::Pending,
            State::Idle(listener) => poll_refused(pool, is_cleanup, listener, cx)
                .map(|kind| Progress::Event(AttemptEvent::Closed(kind))),
        }
    }

    /// Notes that the request was handed over, with its stream.
    pub(crate) fn opened(
        &mut self,
        permit: Permit,
        exchange: Exchange,
        sender: Option<Box<Sender>>,
    ) -> AttemptEvent {
        let sent = Sent::new(&permit.admission, self.token);
        self.last = Some(permit.endpoint.clone());
        self.state = State::Streaming;
        self.stream().open(Open { exchange, sender, permit });
        AttemptEvent::Sent(sent)
    }

    /// Notes that the connection of the permit takes no more requests.
    pub(crate) fn not_opened(
        &mut self,
        permit: &Permit,
        lost: Lost,
        how: Retirement,
    ) -> AttemptEvent {
        self.pool().feed(channel::Input::Retired(permit.id(), how));
        self.state = State::Idle(None);
        self.explain(permit, Event::Lost(lost))
    }

    /// Hands over all that has come on the stream, as long as the machine is receiving. Returns
    /// what it is to be told last, if the stream is over.
    pub(crate) fn take_in<M: Receiver>(
        &mut self,
        now: Instant,
        machine: &mut M,
        cx: &mut Context<'_>,
    ) -> Option<AttemptEvent> {
        if !matches!(self.state, State::Streaming) {
            return None;
        }
        if let Some((open, event)) = self.stream().take_in(now, machine, cx) {
            // The stream is dropped before the machine hears of its end.
            let permit = open.end();
            let input = self.explain(&permit, event);
            self.state = State::Finished(permit);
            return Some(input);
        }
        self.pool().quickly_refuses(self.is_cleanup).map(AttemptEvent::Closed)
    }

    /// Looks once more at what has arrived, if the open stream is to be given up since `due`.
    pub(crate) fn poll_final_read(
        &mut self,
        now: Instant,
        due: Option<Instant>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        let due = due.filter(|due| *due <= now && matches!(self.state, State::Streaming));
        let Some(due) = due else {
            self.final_read.reset();
            return Poll::Ready(false);
        };
        self.final_read.poll(now, due, &mut self.alarm, cx).map(|()| true)
    }

    /// Has the task woken at this moment.
    pub(crate) fn set_alarm(&mut self, now: Instant, at: Instant, cx: &mut Context<'_>) {
        self.alarm.set(now, at, cx);
    }

    /// Waits for nothing until the next poll: the stream is not overdue, however long that takes.
    pub(crate) fn rest(&mut self) {
        self.alarm.rest();
    }

    /// Sends what is queued on the stream, as far as its window allows.
    pub(crate) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream().poll_send(cx)
    }

    /// Uses the sending half of the stream, if it has one.
    pub(crate) fn with_sender<T>(&self, act: impl FnOnce(&mut Sender) -> T) -> Option<T> {
        self.stream().with_sender(act)
    }

    /// Returns the connection of the stream that is open.
    pub(crate) fn connection(&self) -> Option<Arc<ConnectionHandle>> {
        self.stream().look(|open| Arc::clone(&open.permit.connection))
    }

    /// Returns a listener for the moment at which streams of this connection are to leave it.
    pub(crate) fn migration_listener(&self) -> Option<EventListener> {
        self.stream().look(|open| open.permit.connection.migration_listener())
    }

    /// Returns why a stream was lost, if it was this side that ended its connection.
    fn explain(&self, permit: &Permit, event: Event) -> AttemptEvent {
        let Event::Lost(mut lost) = event else { return AttemptEvent::Stream(event) };
        if let Some(kind) = self.pool().refuses(self.is_cleanup) {
            return AttemptEvent::Closed(kind);
        }
        lost.cause = permit.reason().or(lost.cause);
        AttemptEvent::Stream(Event::Lost(lost))
    }

    fn stream(&self) -> &OpenStream {
        &self.alarm.stream
    }
}

/// Waits for a permit.
fn poll_permit(
    pool: &Pool,
    want: Want,
    admit: impl Fn() -> Result<Permit, NoPermit>,
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<Result<Permit, NoPermit>> {
    loop {
        if let Some(changed) = listener {
            ready!(Pin::new(changed).poll(cx));
        }
        // Looks once more when the listener is there: it may have changed before that.
        for next in [None, Some(())] {
            *listener = next.map(|()| pool.changed_for(want));
            match admit() {
                Err(NoPermit::Denied(Denied::NoConnection)) => {}
                admitted => return Poll::Ready(admitted),
            }
        }
        pool.feed(channel::Input::Wanted);
    }
}

/// Waits until the client does not serve it any more, and says why.
fn poll_refused(
    pool: &Pool,
    is_cleanup: bool,
    listener: &mut Option<EventListener>,
    cx: &mut Context<'_>,
) -> Poll<ErrorKind> {
    loop {
        if let Some(kind) = pool.refuses(is_cleanup) {
            return Poll::Ready(kind);
        }
        match listener {
            None => *listener = Some(pool.closing()),
            Some(closing) => {
                ready!(Pin::new(closing).poll(cx));
                *listener = None;
            }
        }
    }
}
