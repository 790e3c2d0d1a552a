//! What watches delivered, checked against all changes of the store: the nine guarantees that
//! etcd's robustness suite checks ([`Rule`] lists them), resume tokens, and how compactions end.
//!
//! One fault is reported once, by the rule that names it best. A revision that comes in two
//! batches, or of which a part is missing, breaks [`Rule::Atomic`] alone; one that is missing right
//! after a resumption breaks [`Rule::Resumable`], and [`Rule::Reliable`] elsewhere.
//!
//! ```
//! use etcd3_sim::etcd3::proto::mvccpb::KeyValue;
//! use etcd3_sim::history::watch::*;
//!
//! let kv = KeyValue {
//!     key: "k".into(),
//!     value: "v".into(),
//!     create_revision: 2,
//!     mod_revision: 2,
//!     version: 1,
//!     lease: 0,
//! };
//! let log = Log::new(vec![Change { kind: Kind::Put, kv: kv.clone() }], [])?;
//! let event = Event { kind: Kind::Put, kv, is_create: true, prev: Prev::NotAsked };
//! let mut record = Record {
//!     name: "one key".to_owned(),
//!     asked: Asked::new("k", "", Start::At(1)),
//!     deliveries: vec![Delivery::Batch(Batch { header: 2, events: vec![event], next: Some(3) })],
//!     end: End::Open,
//! };
//! let demands = Demands { through: log.last(), known: &[] };
//! assert!(check(&log, &record, &demands).is_clean());
//!
//! record.deliveries.clear();
//! assert_eq!(check(&log, &record, &demands).count(Rule::Reliable), 1);
//! # Ok::<(), Violation>(())
//! ```
//!
//! # What no check can see
//!
//! - Events after the position of a watch that was cancelled or failed: they may have been under
//!   way. For a watch that is open, [`Demands::through`] says what must have come.
//! - Events at the beginning of a watch "from now", between the two revisions of [`Start::Now`].
//! - A change of progress, or of a header, that claims less, or that skips no matching event.
//! - Whole batches that were joined, or divided between revisions.
//! - A previous pair called unavailable after a compaction made it so.

// ROB-001 to ROB-009; I-W1 to I-W7, I-W14.

mod check;
mod known;
mod log;
mod missing;
mod record;
mod recorder;
mod verdict;

pub use check::{Demands, check};
pub use known::Known;
pub use log::{Change, Log};
pub use record::{Asked, Batch, Delivery, End, Event, Kind, Prev, Record, Start};
pub use recorder::Recorder;
pub use verdict::{Rule, Verdict, Violation};
