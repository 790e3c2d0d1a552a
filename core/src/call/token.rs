//! Refusals that are about the token of the request.

use super::{Call, State};
use crate::Instant;
use crate::auth::{self, MAX_RENEWALS, StaleToken};
use crate::error::Error;
use crate::server_error::ServerError;

impl Call {
    /// Makes another attempt with a newer token than the one that was refused. It counts neither as
    /// an attempt nor as a retry: servers look at tokens before they do anything.
    // R4, R21, R24
    pub(super) fn retry_with_token(&mut self, now: Instant, error: Error) {
        let State::Streaming(streaming) = &self.state else { return };
        let refusal = error.server_error();
        let stale = StaleToken::of(streaming.request.token, refusal);
        // Without a token the server asks itself who it is, and the answer may have become old.
        let is_passing = refusal == Some(ServerError::AuthOldRevision);
        self.token_refusals += 1;
        if (stale.is_none() && !is_passing) || self.token_refusals > MAX_RENEWALS {
            return self.finish(Err(error));
        }
        self.attempts = self.attempts.saturating_sub(1);
        self.stale_token = self.stale_token.max(stale);
        let waits = self.token_refusals - u32::from(stale.is_some());
        self.retry_after(now, waits, error);
    }

    /// There is no token for the attempt: what was refused stays refused, or the login was.
    pub(super) fn on_no_token(&mut self, error: Option<Error>) {
        let error = error.or(self.last_error.take());
        let error = error.unwrap_or_else(auth::no_token);
        self.finish(Err(error.with_outcome(self.outcome)));
    }
}
