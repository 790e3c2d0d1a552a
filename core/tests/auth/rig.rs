//! A machine, its driver, and callers that wait.

use etcd3_core::auth::{
    Answer, Auth, Generation, Input, Output, Settings, Source, StaleToken, TokenReason,
};
use etcd3_core::{Error, Instant, Machine, Next, Outcome, Secret, ServerError, Status};
use std::time::Duration;

pub(crate) const fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

pub(crate) const fn settings() -> Settings {
    Settings::new(Source::Renewable, 7)
}

/// The machine, at a moment.
pub(crate) struct Rig {
    pub(crate) auth: Auth,
    pub(crate) now: Instant,
    /// What was asked for, and when.
    pub(crate) asked: Vec<(Instant, TokenReason)>,
    pub(crate) changes: u32,
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { auth: Auth::new(settings), now: Instant::ORIGIN, asked: Vec::new(), changes: 0 }
    }

    /// A machine with a token, the first.
    pub(crate) fn with_token() -> Self {
        let mut rig = Self::new(settings());
        rig.ask(None);
        rig.obtain("one");
        rig.asked.clear();
        rig
    }

    /// Carries out what is due now; returns when something is.
    pub(crate) fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.auth.poll(self.now) {
                Next::Do(Output::Ask(reason)) => self.asked.push((self.now, reason)),
                Next::Do(Output::Changed) => self.changes += 1,
                Next::Wait(until) => return until,
            }
        }
    }

    pub(crate) fn feed(&mut self, input: Input) -> &mut Self {
        self.auth.handle(self.now, input);
        self.drain();
        self
    }

    /// Asks as a caller does.
    pub(crate) fn ask(&mut self, stale: Option<StaleToken>) -> Answer {
        let answer = self.auth.answer(self.now, stale);
        if answer == Answer::Wait || self.auth.is_due(self.now) {
            self.feed(Input::Asked(stale));
        }
        answer
    }

    pub(crate) fn obtain(&mut self, token: &str) -> &mut Self {
        self.feed(Input::Obtained { token: Secret::new(token), unix_time: None })
    }

    /// Lets the time pass, and does what is due meanwhile.
    pub(crate) fn rest(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(due) = self.drain().filter(|due| *due <= end) {
            self.now = due;
        }
        self.now = end;
        self.drain();
        self
    }

    pub(crate) fn rest_ms(&mut self, time: u64) -> &mut Self {
        self.rest(Duration::from_millis(time))
    }

    /// The token that requests carry now.
    pub(crate) fn token(&self) -> Option<&str> {
        self.auth.current().and_then(|(_, token)| token).map(Secret::expose)
    }

    pub(crate) fn generation(&self) -> Generation {
        self.auth.current().unwrap().0.generation
    }
}

/// A token that was refused for this reason.
#[expect(clippy::unnecessary_wraps, reason = "the form in which it is asked for")]
pub(crate) const fn stale(generation: u64, reason: TokenReason) -> Option<StaleToken> {
    Some(StaleToken { generation: Generation(generation), reason })
}

pub(crate) const fn invalid(generation: u64) -> Option<StaleToken> {
    stale(generation, TokenReason::Invalid)
}

pub(crate) fn answered(error: ServerError, outcome: Outcome) -> Error {
    Error::from_status(Status::new(error.code(), error.text()), outcome)
}

pub(crate) fn wrong_password() -> Error {
    answered(ServerError::AuthFailed, Outcome::Rejected)
}

pub(crate) fn unavailable() -> Error {
    answered(ServerError::Timeout, Outcome::Unknown)
}
