//! Leases: granting them, and keeping them alive.
//!
//! The leases of a client share a stream, whose task owns the machine. What the task learns of a
//! lease it notes in a cell, at which the handles look; what users want goes into the mailbox of
//! the task. Neither waits for the other.

mod begin;
mod cell;
pub(crate) mod grant;
mod handle;
mod holders;
mod operations;
mod registry;
pub(crate) mod revoke;
mod status;
mod task;

pub use begin::{BeginKeepAlive, BeginLease, KeepAliveOnce, KeepAliveOnceResponse};
pub use cell::LeaseStatus;
pub use handle::Lease;
pub(crate) use registry::Registry;
pub use status::{LeaseLoss, LeaseStatusChanges};
