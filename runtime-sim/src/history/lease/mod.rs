//! What handles of leases said, checked against the clock of the leader: whoever acts only while
//! its lease is valid never acts after the cluster let the lease go, and no lease is given up that
//! could have been kept ([`Rule`] lists what must hold).
//!
//! All times are those of the world, whatever the clock of a client says.
//!
//! ```
//! use etcd3_sim::etcd3::runtime::Instant;
//! use etcd3_sim::history::lease::*;
//! use std::time::Duration;
//!
//! let at = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
//! let mut recorder = Recorder::new("one lease", 7, Duration::from_secs(9));
//! recorder.sample(Sample {
//!     at: at(1),
//!     valid_until: at(9),
//!     status: Status::Ok,
//!     expiry: Some(at(10)),
//! });
//! let demands = Demands::default();
//! assert_eq!(check(&recorder.clone().finish(), &[], &demands), None);
//!
//! // It claims to be valid for longer than the leader keeps it.
//! recorder.sample(Sample {
//!     at: at(4),
//!     valid_until: at(13),
//!     status: Status::Ok,
//!     expiry: Some(at(12)),
//! });
//! assert_eq!(check(&recorder.finish(), &[], &demands).unwrap().rule, Rule::Safe);
//! ```
//!
//! # What no check can see
//!
//! - What a handle said between two samples, but for changes of its status.
//! - How long a lease that is revoked by somebody else counts as valid while things go wrong: no
//!   client can know, and it is limited by the last renewal alone.
//! - A lease that was renewed, and whose answer was lost: that it is given up is right.

// I-L1 to I-L5, I-L8

mod check;
mod record;

pub use check::{Demands, Rule, Violation, check};
pub use record::{Record, Recorder, Sample, Span, Status};
