//! Copies of a range of keys that are kept up to date, in another cluster or anywhere else.
//!
//! [`Syncer`] tells what a copy has to do: everything there is at one revision, then what each
//! later revision changed. [`Mirror`] does it to another cluster, as `etcdctl make-mirror` does.

mod applied;
mod changes;
mod error;
mod leases;
mod options;
mod position;
mod prefixes;
mod run;
mod syncer;
mod target;

pub use applied::{Applied, Step};
pub use error::MirrorError;
pub use options::{Leased, Occupied};
pub use run::Mirror;
pub use syncer::{SyncItem, Syncer};
