//! The tokens of a client: which one is sent, and when another one is asked for.
//!
//! ```text
//!              Asked, at the right time          Obtained, NotEnabled
//!   Idle ───────────────────────────────► Asking ─────────────────────► Idle, generation + 1
//!    ▲                                       │
//!    └─────────────── backoff ───────────────┴── Failed
//! ```
//!
//! A *generation* is a token, or the knowledge that none is needed because authentication is
//! switched off. Requests name the generation that they were sent with; one that is refused asks
//! for a newer one, and so do all the others that were sent with the same: the first of them has a
//! token asked for, the others wait for that. What is refused again and again is renewed at the
//! pace of a backoff, and credentials that are refused end what waits for them: whoever asks
//! meanwhile is told the same, and whoever asks later has them tried again.
//!
//! A JWT that says when it expires is renewed ahead of that by whoever asks for it then; so a
//! client that does nothing asks for nothing. Others are renewed when they are refused.

// A8–A17, R20–R24, I-A1–I-A4

mod events;
mod jwt;
mod login;

pub use events::{Answer, Input, Output, Settings, Source, StaleToken, TokenReason};
pub use login::Login;

use crate::attempt::SentToken;
use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::outcome::Outcome;
use crate::rng::Rng;
use crate::{Instant, Machine, Next, Secret};
use std::time::Duration;

/// The generation of a token: a newer token has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// How many tokens one request is refused with before it is believed that a newer one does not
/// help.
// R24
pub(crate) const MAX_RENEWALS: u32 = 3;
/// A token that is refused before this age did not last: the next one is waited for a while.
pub(crate) const MIN_LIFE: Duration = Duration::from_secs(1);
/// How far the logins of many clients are spread whose tokens end at the same time.
// I-A1, A-04
const SPREAD: Duration = Duration::from_millis(50);
/// The longest life of a token that is planned for.
const MAX_LIFE: Duration = Duration::from_secs(400 * 24 * 3_600);

/// What requests are sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    Nothing,
    Token(Secret),
    /// Authentication is switched off.
    Off,
}

/// Why nobody gets a newer token for the time being.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    None,
    /// A failure that may pass is waited out.
    Passing(Error),
    /// The credentials were refused.
    Rejected(Error),
    /// The source of tokens gave the refused one again.
    Repeated,
}

/// The tokens of a client; see the [module](self).
#[derive(Debug, Clone)]
pub struct Auth {
    settings: Settings,
    known: Known,
    generation: Generation,
    /// When the known one came.
    since: Instant,
    /// The highest generation that was refused.
    refused: Option<Generation>,
    /// When the known one is to be renewed.
    renew_at: Option<Instant>,
    /// Consecutive failures, and tokens that did not last.
    failures: u32,
    failure: Failure,
    /// When a token may be asked for.
    next: Instant,
    /// What a token is wanted for.
    wanted: Option<TokenReason>,
    is_asking: bool,
    is_changed: bool,
    rng: Rng,
    ignored: u64,
}

impl Auth {
    /// Makes a machine without a token, or with the one that the user gave.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let (known, generation) = match &settings.source {
            Source::Renewable => (Known::Nothing, Generation(0)),
            Source::Fixed(token) => (Known::Token(token.clone()), Generation(1)),
        };
        let rng = Rng::new(settings.seed);
        Self {
            settings,
            known,
            generation,
            since: Instant::ORIGIN,
            refused: None,
            renew_at: None,
            failures: 0,
            failure: Failure::None,
            next: Instant::ORIGIN,
            wanted: None,
            is_asking: false,
            is_changed: false,
            rng,
            ignored: 0,
        }
    }
}

impl Machine for Auth {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Asked(stale) => self.on_asked(now, stale),
            Input::Obtained { token, unix_time } if self.is_asking => {
                self.on_obtained(now, token, unix_time);
            }
            Input::NotEnabled if self.is_asking => self.take(now, Known::Off, None),
            Input::Failed(error) if self.is_asking => self.on_failed(now, error),
            _ => self.ignored += 1,
        }
    }

    fn poll(&mut self, now: Instant) -> Next<Output> {
        if std::mem::take(&mut self.is_changed) {
            return Next::Do(Output::Changed);
        }
        match self.wanted {
            Some(reason) if !self.is_asking && self.next <= now => {
                (self.wanted, self.is_asking) = (None, true);
                Next::Do(Output::Ask(reason))
            }
            Some(_) if !self.is_asking => Next::Wait(Some(self.next)),
            _ => Next::Wait(None),
        }
    }
}

impl Auth {
    /// Answers who asks for a token, newer than the one that was refused if there is one. If the
    /// answer is to wait, or the token [is to be renewed](Self::is_due), it is to be
    /// [asked for](Input::Asked), too.
    #[must_use]
    pub fn answer(&self, now: Instant, stale: Option<StaleToken>) -> Answer {
        if self.is_usable() && stale.is_none_or(|stale| stale.generation < self.generation) {
            return Answer::Take(self.generation);
        }
        match &self.failure {
            Failure::Rejected(error) if now < self.next => Answer::None(Some(error.clone())),
            Failure::Repeated if now < self.next => Answer::None(None),
            _ if matches!(self.settings.source, Source::Fixed(_)) => Answer::None(None),
            _ => Answer::Wait,
        }
    }

    /// Returns what requests carry now: which it is, and the token if one is needed. `None` as long
    /// as nothing is known. One that was refused is refused again, which tells whoever sends it to
    /// ask for a newer one.
    #[must_use]
    pub fn current(&self) -> Option<(SentToken, Option<&Secret>)> {
        let token = match &self.known {
            Known::Token(token) => Some(token),
            Known::Off | Known::Nothing => None,
        };
        let sent = SentToken { generation: self.generation, since: self.since };
        (self.known != Known::Nothing).then_some((sent, token))
    }

    /// Returns whether the token is to be renewed, though it may be used.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now) && self.wanted.is_none() && !self.is_asking
    }

    /// Returns why there is no token, as far as that is known.
    #[must_use]
    pub const fn last_error(&self) -> Option<&Error> {
        match &self.failure {
            Failure::Passing(error) | Failure::Rejected(error) => Some(error),
            Failure::None | Failure::Repeated => None,
        }
    }

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }

    fn is_usable(&self) -> bool {
        // One that the user gave stays: another member may take it.
        let may_stay = matches!(self.settings.source, Source::Fixed(_));
        self.known != Known::Nothing && (may_stay || self.refused < Some(self.generation))
    }

    fn on_asked(&mut self, now: Instant, stale: Option<StaleToken>) {
        if matches!(self.settings.source, Source::Fixed(_)) {
            return;
        }
        let reason = stale.map_or(TokenReason::First, |stale| stale.reason);
        let is_known = self.known != Known::Nothing;
        let is_current = stale.is_some_and(|stale| stale.generation >= self.generation);
        if is_known && is_current && self.is_usable() {
            // One that denied a watch may be good: the others go on with it.
            if reason != TokenReason::Denied {
                self.refused = Some(self.generation);
                self.renew_at = None;
                self.plan(now);
            }
            self.wanted = self.wanted.max(Some(reason));
        } else if !self.is_usable() {
            self.wanted = self.wanted.max(Some(reason));
        } else if self.is_due(now) {
            self.failures = 0;
            self.wanted = Some(TokenReason::Expiring);
        }
        if self.is_asking {
            // It is on its way; one that fails is asked for again by those who wait.
            self.wanted = None;
        }
    }

    /// Decides when the token that was refused is replaced.
    fn plan(&mut self, now: Instant) {
        let has_lasted = now.saturating_since(self.since) >= MIN_LIFE;
        if has_lasted {
            self.failures = 0;
            let spread = u64::try_from(SPREAD.as_nanos()).unwrap_or(u64::MAX);
            let wait = Duration::from_nanos(self.rng.below(spread));
            self.next = self.next.max(now + wait);
        } else {
            self.fail(now, self.settings.backoff);
        }
    }

    /// Counts a failure, and waits after it.
    fn fail(&mut self, now: Instant, backoff: Backoff) {
        self.failures = self.failures.saturating_add(1);
        self.next = now + backoff.after(self.failures, &mut self.rng);
    }

    fn on_obtained(&mut self, now: Instant, token: Secret, unix_time: Option<Duration>) {
        let token = Known::Token(token);
        let is_repeated = token == self.known && !self.is_usable();
        // One that is made again later may be taken by now, or by another member.
        if is_repeated && self.failure != Failure::Repeated {
            // A9
            self.is_asking = false;
            self.is_changed = true;
            self.failure = Failure::Repeated;
            self.fail(now, self.settings.rejection_backoff);
            return;
        }
        let life = match &token {
            Known::Token(token) => unix_time.and_then(|at| jwt::expiry(token)?.checked_sub(at)),
            Known::Nothing | Known::Off => None,
        };
        self.take(now, token, life);
    }

    /// Takes what is known from now on, for as long as it lives.
    fn take(&mut self, now: Instant, known: Known, life: Option<Duration>) {
        self.is_asking = false;
        self.is_changed = true;
        self.known = known;
        self.generation = Generation(self.generation.0 + 1);
        self.since = now;
        self.failure = Failure::None;
        self.next = now;
        // Between two and three quarters of its life, so that not all clients come at once.
        let life = life.filter(|life| (MIN_LIFE..MAX_LIFE).contains(life));
        self.renew_at = life.map(|life| {
            let eighth = u64::try_from((life / 8).as_nanos()).unwrap_or(u64::MAX);
            now + life * 5 / 8 + Duration::from_nanos(self.rng.below(eighth))
        });
    }

    fn on_failed(&mut self, now: Instant, error: Error) {
        self.is_asking = false;
        self.is_changed = true;
        let (kind, is_final) = (error.kind(), is_final(&error));
        self.failure = if is_final { Failure::Rejected(error) } else { Failure::Passing(error) };
        let Settings { backoff, rejection_backoff, .. } = self.settings;
        self.fail(
            now,
            match kind {
                // Nothing was sent, and the endpoints may be set to others at any time.
                ErrorKind::PlaintextPassword => Backoff { cap: backoff.first, ..backoff },
                _ if is_final => rejection_backoff,
                _ => backoff,
            },
        );
        if self.renew_at.is_some() {
            self.renew_at = Some(self.next);
        }
    }
}

/// Makes the error of a request for which there is no token, where nothing else is known.
pub(crate) fn no_token() -> Error {
    Error::new(ErrorKind::NoToken)
}

/// Returns whether the credentials themselves were refused.
fn is_final(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Server(known) => error.outcome() == Outcome::Rejected && !known.may_pass(),
        ErrorKind::Status(_) => error.outcome() == Outcome::Rejected,
        ErrorKind::PlaintextPassword
        | ErrorKind::RequestOverLimit { .. }
        | ErrorKind::InvalidRequest => true,
        _ => false,
    }
}
