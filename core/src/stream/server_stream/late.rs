//! Messages that do not come in time.

use super::{ServerStream, State};
use crate::Instant;
use crate::error::{Cause, Error, ErrorKind, Phase};
use crate::retry::Failure;
use crate::signal::HealthSignal;

impl ServerStream {
    /// The message that is wanted did not come in time.
    pub(super) fn time_out(&mut self, now: Instant) {
        let last = self.last_error.take();
        let error = match (&self.state, last) {
            // The deadline only ended the retries; what went wrong is the last failure.
            (State::Waiting(_), Some(last)) => last,
            (_, Some(last)) if matches!(last.kind(), ErrorKind::StaleRead { .. }) => last,
            (State::Streaming(streaming), last) => {
                self.signal = HealthSignal::of_silence(now.saturating_since(streaming.progress));
                self.silence(now).with_cause(last.map(Cause::new))
            }
            (State::Releasing { .. }, _) => Error::new(ErrorKind::TimedOut(Phase::Answer)),
            (_, last) => {
                Error::new(ErrorKind::TimedOut(Phase::Connection)).with_cause(last.map(Cause::new))
            }
        };
        self.end(error);
    }

    pub(super) fn give_up_attempt(&mut self, now: Instant) {
        let error = self.silence(now);
        self.unanswered = self.unanswered.saturating_add(1);
        self.fail(now, Failure::Unanswered, error);
    }

    /// Makes the error of a server that says nothing.
    fn silence(&self, now: Instant) -> Error {
        let error = Error::new(ErrorKind::TimedOut(Phase::Answer));
        let State::Streaming(streaming) = &self.state else { return error };
        let silence = now.saturating_since(streaming.progress);
        error.with_cause(Cause::new(format!("nothing has come for {silence:?}")))
    }
}
