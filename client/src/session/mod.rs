//! Sessions: a lease that is kept alive, with the keys that are registered on it.
//!
//! The handles share what is known of the session; the keys are written in the future of whoever
//! registers them. Only a session that is to be granted anew has a task, which waits for the loss
//! of its lease.

mod begin;
mod handle;
mod registration;
mod regrant;
mod turn;
mod turns;

pub use begin::{BeginSession, OnLoss};
pub use handle::Session;
pub use registration::{BeginRegistration, Registration};
pub use turns::{SessionTurn, SessionTurns};
