//! Watches: the streams that they share, and the user's end of each.
//!
//! A watch belongs to a stream of its kind, which a registry finds or has opened. The task of the
//! stream owns the machine and puts what is delivered into the inbox of each watch; what users want
//! goes into the mailbox of the task. Neither waits for the other.

mod begin;
mod handle;
mod inbox;
mod item;
mod ranges;
mod registry;
mod status;
mod task;

pub use begin::BeginWatch;
pub(crate) use handle::timed_out;
pub use handle::{Watch, WatchHandle};
pub use item::{WatchItem, WatchItems};
pub use ranges::{BeginWatchRanges, WatchRanges};
pub(crate) use registry::Registry;
pub use status::WatchStatus;
