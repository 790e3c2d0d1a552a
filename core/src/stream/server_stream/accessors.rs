//! What the driver of a call may look at.

use super::{ServerStream, State};
use crate::channel::HealthSignal;
use crate::method::Method;

impl ServerStream {
    /// Returns the method that is called.
    #[must_use]
    pub const fn method(&self) -> &'static Method {
        self.method
    }

    /// Returns whether a stream is open.
    #[must_use]
    pub const fn is_streaming(&self) -> bool {
        matches!(self.state, State::Streaming(_))
    }

    /// Returns whether the call waits for a connection, and is to [end](crate::channel::Denied::NoConnection)
    /// rather than wait.
    #[must_use]
    pub const fn is_impatient(&self) -> bool {
        self.is_acquiring() && self.options.is_optional
    }

    /// Returns whether more is to be read of the stream that is open. False while a message waits
    /// to be taken, so that the window of the stream holds the server back.
    #[must_use]
    pub const fn is_receiving(&self) -> bool {
        self.is_streaming() && self.ready.is_none()
    }

    /// Returns whether the call may leave its connection.
    #[must_use]
    pub fn may_migrate(&self) -> bool {
        let may_repeat = !self.is_begun && self.attempts < self.options.max_attempts;
        self.is_receiving() && (self.options.is_optional || may_repeat)
    }

    /// Returns whether a message was received that may be handed out, or was.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// Returns how many attempts were handed to a connection.
    #[must_use]
    pub const fn sent(&self) -> u32 {
        self.sent
    }

    /// Returns what the last attempt that is over told of its endpoint.
    #[must_use]
    pub const fn signal(&self) -> HealthSignal {
        self.signal
    }

    /// Returns how many inputs did not fit the state and were ignored.
    #[must_use]
    pub const fn ignored(&self) -> u64 {
        self.ignored
    }
}
