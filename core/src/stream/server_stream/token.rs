//! Refusals that are about the token of the request.

use super::{ServerStream, State};
use crate::Instant;
use crate::auth::{self, MAX_RENEWALS, StaleToken};
use crate::error::Error;
use crate::outcome::Outcome;

impl ServerStream {
    /// Makes another attempt with a newer token than the one that was refused; counts neither as an
    /// attempt nor as a retry.
    // R31
    pub(super) fn retry_with_token(&mut self, now: Instant, error: Error) {
        let State::Streaming(streaming) = &self.state else { return };
        let stale = StaleToken::of(streaming.request.token, error.server_error());
        self.outcome = self.outcome.max(Outcome::Rejected);
        self.token_refusals += 1;
        let may_retry = stale.is_some() && self.token_refusals <= MAX_RENEWALS;
        if !may_retry || self.is_begun {
            return self.finish(Err(error));
        }
        self.attempts = self.attempts.saturating_sub(1);
        self.stale_token = self.stale_token.max(stale);
        self.retry_after(now, self.token_refusals - 1, error);
    }

    /// There is no token for the attempt: what was refused stays refused, or the login was.
    pub(super) fn on_no_token(&mut self, error: Option<Error>) {
        let error = error.or(self.last_error.take());
        self.finish(Err(error.unwrap_or_else(auth::no_token)));
    }
}
