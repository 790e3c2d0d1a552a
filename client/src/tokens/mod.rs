//! The token that requests carry: who asks for it, who waits for it, and how it is had.
//!
//! Shared by the connections of calls and of leases, under a lock of its own. One task a client
//! makes the logins, so that a caller who gives up stalls nobody; whoever needs a token waits for
//! it in its own future, within its own deadline. A client without credentials has none of this.

// I-A1, I-A2, R22, R30

mod source;
mod task;

pub(crate) use source::Credentials;
pub(crate) use task::run;

use crate::call::{self, attempt::AttemptEvent};
use crate::config::Config;
use crate::either::either;
use crate::pool::{Pool, notify_all};
use crate::shared::Shared;
use etcd3_core::Secret;
use etcd3_core::auth::{Answer, Auth, Generation, Input, Output, Settings, StaleToken};
use etcd3_core::call::SentToken;
use etcd3_core::channel::EndpointId;
use etcd3_core::error::{Cause, Phase};
use etcd3_core::metadata::Token;
use etcd3_core::{Error, ErrorKind, Instant, Machine, Next};
use event_listener::{Event, EventListener};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

/// The tokens of one client with credentials.
pub(crate) struct Tokens {
    state: Mutex<State>,
    /// What those who wait for a token are told has changed.
    changed: Event,
    /// The task is to look at the machine.
    wanted: Event,
    /// Whether they may go where others on the network can read them.
    pub(crate) allows_plaintext: bool,
}

struct State {
    auth: Auth,
    /// The header of the token that is known; `None` when none is needed.
    header: Option<Token>,
}

/// What an attempt wants of its token, at a moment.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) now: Instant,
    /// The one that was refused last: a newer one.
    pub(crate) stale: Option<StaleToken>,
    pub(crate) is_cleanup: bool,
}

/// What a request carries that a client with credentials sends.
pub(crate) struct Carried {
    pub(crate) token: SentToken,
    pub(crate) header: Option<Token>,
}

impl Tokens {
    /// Makes the tokens of a client; `None` for one without credentials.
    pub(crate) fn new(config: &Config, seed: u64) -> Option<Self> {
        let credentials = config.credentials.as_ref()?;
        let auth = Auth::new(Settings::new(credentials.source(), seed));
        let state = Mutex::new(State { header: header_of(&auth), auth });
        let allows_plaintext = config.plaintext_passwords;
        Some(Self { state, changed: Event::new(), wanted: Event::new(), allows_plaintext })
    }

    /// Waits for a token that is newer than the one that was refused, if one was; returns what the
    /// machine is to be told if there is none.
    pub(crate) fn poll_token(
        &self,
        pool: &Pool,
        wanted: Wanted,
        listener: &mut Option<EventListener>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), AttemptEvent>> {
        loop {
            if let Some(changed) = listener {
                ready!(Pin::new(changed).poll(cx));
            }
            // Asks once more when the listener is there: it may have come before that.
            for next in [None, Some(())] {
                *listener = next.map(|()| self.changed.listen());
                if let Some(kind) = pool.refuses(wanted.is_cleanup) {
                    return Poll::Ready(Err(AttemptEvent::Closed(kind)));
                }
                match self.ask(wanted.now, wanted.stale) {
                    Answer::Take(_) => return Poll::Ready(Ok(())),
                    Answer::None(error) => {
                        return Poll::Ready(Err(AttemptEvent::NoToken(error)));
                    }
                    Answer::Wait => {}
                }
            }
        }
    }

    /// Waits for the first token.
    ///
    /// # Errors
    ///
    /// Why there is none, also if that may pass.
    pub(crate) async fn log_in(&self, pool: &Pool) -> Result<(), Error> {
        loop {
            let changed = self.changed();
            if let Some(kind) = pool.closed_kind() {
                return Err(Error::new(kind));
            }
            match self.ask(pool.rt.now(), None) {
                Answer::Take(_) => return Ok(()),
                Answer::None(error) => {
                    return Err(error.unwrap_or_else(|| Error::new(ErrorKind::NoToken)));
                }
                Answer::Wait => {}
            }
            if let Some(error) = self.last_error() {
                return Err(error);
            }
            either(changed, pool.closed()).await;
        }
    }

    /// Returns what a request carries now. Of one that was refused meanwhile the server says so
    /// again.
    pub(crate) fn carried(&self) -> Option<Carried> {
        let state = self.lock();
        let (token, _) = state.auth.current()?;
        Some(Carried { token, header: state.header.clone() })
    }

    /// Returns why there is no token, as far as that is known.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.lock().auth.last_error().cloned()
    }

    /// Notified when what is known of the token changed.
    pub(crate) fn changed(&self) -> EventListener {
        self.changed.listen()
    }

    /// Wakes all who wait: the client is closed.
    pub(crate) fn close(&self) {
        notify_all(&self.changed);
    }

    /// Asks for a token, and for another one where it is due.
    pub(crate) fn ask(&self, now: Instant, stale: Option<StaleToken>) -> Answer {
        let (answer, is_asked_for) = {
            let auth = &mut self.lock().auth;
            let answer = auth.answer(now, stale);
            let is_asked_for = match answer {
                Answer::Wait => true,
                Answer::Take(_) => auth.is_due(now),
                Answer::None(_) => false,
            };
            if is_asked_for {
                auth.handle(now, Input::Asked(stale));
            }
            (answer, is_asked_for)
        };
        if is_asked_for {
            notify_all(&self.wanted);
        }
        answer
    }

    /// Says what the task is to do.
    fn poll(&self, now: Instant) -> Next<Output> {
        self.lock().auth.poll(now)
    }

    /// Tells what came of the login, or of the hook.
    fn tell(&self, now: Instant, input: Input) {
        let mut state = self.lock();
        state.auth.handle(now, input);
        state.header = header_of(&state.auth);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds why there was no token to the error of a call that waited for one.
pub(crate) fn explain(shared: &Shared, only: Option<EndpointId>, error: Error) -> Error {
    let pool = &shared.pool;
    let why = pool.tokens.as_ref().and_then(|tokens| tokens.last_error());
    if why.is_none() && !pool.channel(|channel| channel.is_ready()) {
        return call::explain(shared, only, error);
    }
    error.with_phase(Phase::Token).with_cause(why.map(Cause::new))
}

/// Returns whether a header can hold a token.
pub(crate) fn is_header(token: &Secret) -> bool {
    !token.is_empty() && Token::new(Generation(0), token).is_some()
}

/// Makes the header of the token that is known.
fn header_of(auth: &Auth) -> Option<Token> {
    let (sent, token) = auth.current()?;
    Token::new(sent.generation, token?)
}
