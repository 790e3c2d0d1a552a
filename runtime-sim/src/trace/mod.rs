//! A record of a run, and its drawing.
//!
//! [`World::record`] switches recording on; without it, nothing is kept. What cluster, network and
//! hosts suffer is recorded by itself, and so is each request that a member serves. Calls of a
//! program are recorded where it makes them through [`Host::call`], batches of a watch where it
//! hands them to [`Host::batch`]. [`record`] does all this for a program that fails, too, and marks
//! the failure.
//!
//! The record does not change the run: the steps are the same, and so is the digest. It is bounded:
//! of each kind of event the newest 100,000 are kept.
//!
//! ```
//! use etcd3::Config;
//! use etcd3_sim::{ClusterConfig, Personality, run};
//!
//! let (trace, _) = run(7, |world| async move {
//!     world.record();
//!     let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()));
//!     let host = world.host().named("writer");
//!     let client = host.client(Config::new(etcd.endpoints()))?;
//!     host.call("put a", client.put("a", "1")).await?;
//!     etcd.kill(0);
//!     let found = host.call("get a", client.get("a")).await?;
//!     if found.count != 1 {
//!         world.mark("an acknowledged key is missing");
//!     }
//!     Ok::<_, etcd3::Error>(world.trace())
//! })?;
//! let trace = trace?;
//! let made = trace.calls().iter().filter(|call| ["put a", "get a"].contains(&&call.name[..]));
//! assert_eq!(made.count(), 2);
//! assert_eq!(trace.faults().len(), 1);
//! assert!(trace.marks().is_empty());
//! let page = trace.to_html();
//! assert!(page.starts_with("<!DOCTYPE html>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`World::record`]: crate::World::record
//! [`Host::call`]: crate::Host::call
//! [`Host::batch`]: crate::Host::batch
//! [`record`]: crate::record

mod axis;
mod labels;
mod lanes;
mod page;
mod paths;
mod recorder;

pub use recorder::OpenCall;
pub(crate) use recorder::Recorder;

use crate::net::HostId;
use etcd3::Outcome;
use etcd3::runtime::Instant;
use std::fs;
use std::io;
use std::path::Path;

/// What happened in a run, in the order in which it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    seed: u64,
    end: Instant,
    lanes: Vec<Lane>,
    faults: Vec<FaultSpan>,
    calls: Vec<CallSpan>,
    batches: Vec<Batch>,
    marks: Vec<Mark>,
    left_out: u64,
}

/// A host of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The host.
    pub host: HostId,
    /// Its name: that of a member, or the one given by [`Host::named`](crate::Host::named).
    pub name: String,
}

/// What a fault does, by which drawings colour it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// The process does not exist.
    Down,
    /// The process is frozen.
    Paused,
    /// The member does not reach the other members.
    Isolated,
    /// The way to a server is broken or slow.
    Link,
    /// Connections are cut, or will be.
    Cut,
    /// An order of an operator: another leader, or the orderly end of connections.
    Order,
}

/// A fault, from its begin to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpan {
    /// The host that suffers it.
    pub host: HostId,
    /// What it does.
    pub kind: FaultKind,
    /// What it is, in words.
    pub name: String,
    /// When it began.
    pub begin: Instant,
    /// When it was over; the same as `begin` for a fault of a moment, `None` for one that lasts.
    pub end: Option<Instant>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallEnd {
    /// It succeeded.
    Completed,
    /// It failed, with this outcome.
    Failed(Outcome),
    /// The member that served it answered with an error, whatever became of it there.
    Error,
    /// Its future was dropped before it was ready: by the program, or with its host.
    Dropped,
}

/// A call, from its begin to its end: one of a client, or one that a member serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSpan {
    /// The host that makes or serves it.
    pub host: HostId,
    /// What it is, such as `put key-1`; for one that is served, its method and client.
    pub name: String,
    /// When it began.
    pub begin: Instant,
    /// When and how it ended; `None` when it was under way at the end of the run.
    pub end: Option<(Instant, CallEnd)>,
    /// What else is known, such as its error.
    pub detail: String,
}

/// A batch of events that a watch delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The host of the watcher.
    pub host: HostId,
    /// The watch, such as the key that it is for.
    pub watch: String,
    /// When the program had it.
    pub at: Instant,
    /// The revision of its first event.
    pub first: i64,
    /// The revision of its last event.
    pub last: i64,
    /// The number of its events.
    pub events: usize,
}

/// A violated rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When it was violated.
    pub at: Instant,
    /// The rule, or the failure, in words.
    pub text: String,
}

impl Trace {
    /// Returns the seed of the run.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the virtual time at which the run ended, or the record was taken.
    #[must_use]
    pub fn end(&self) -> Instant {
        self.end
    }

    /// Returns the hosts: those of programs in the order of their creation, then those of members.
    #[must_use]
    pub fn hosts(&self) -> &[Lane] {
        &self.lanes
    }

    /// Returns the faults.
    #[must_use]
    pub fn faults(&self) -> &[FaultSpan] {
        &self.faults
    }

    /// Returns the calls, those that members serve among them.
    #[must_use]
    pub fn calls(&self) -> &[CallSpan] {
        &self.calls
    }

    /// Returns the batches of watches.
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Returns the violated rules.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// Returns how many of the oldest events were left out, since there were more than are kept.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Draws the run as one HTML page, which needs nothing else: a lane for each host over virtual
    /// time, faults as bands, calls as bars in the colour of their outcome, batches of watches as
    /// ticks with their revisions, violated rules as red lines.
    ///
    /// The same run gives the same bytes. Events that look the same share a `path`, with
    /// `data-kind`, `data-host` and a part of `d` for each of them: `M` and its begin in
    /// microseconds, then `h` and its duration. The lines of `desc` are what else is known of each.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::html(self)
    }

    /// Writes the [drawing](Self::to_html) to a file, and makes the folder that it is to lie in.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_html(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, self.to_html())
    }
}
