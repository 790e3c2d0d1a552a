//! Transactions in memory, checked against the order of revisions: each that was committed is
//! placed by its revision, and must have read what the store held there.
//!
//! 1. A transaction that writes took place once, where its answer says, and wrote what its closure
//!    wrote and nothing else; one of unknown outcome at most once, and as its token says; one that
//!    failed, never. Every change has one owner. ([`Rule::Owned`])
//! 2. What it read is what the store held just before its revision; for one that wrote nothing, at
//!    its revision. ([`Rule::Serializable`])
//! 3. Its revision lies behind all those that were told before it began. ([`Rule::RealTime`])
//!
//! Together that is strict serializability: the revisions are the order.
//!
//! ```
//! use etcd3_sim::etcd3::runtime::Instant;
//! use etcd3_sim::history::Change;
//! use etcd3_sim::history::transactions::*;
//! use std::time::Duration;
//!
//! let at = |seconds| Instant::ORIGIN + Duration::from_secs(seconds);
//! let change = |revision, key: &str, value: &str| Change {
//!     revision,
//!     key: key.to_owned(),
//!     value: Some(value.to_owned()),
//! };
//! let changes = [
//!     change(2, "a", "1"),
//!     change(3, "a", "2"),
//!     change(3, "tokens/1", "committed"),
//! ];
//! let read = |value: &str, revision| Read::Key {
//!     key: "a".to_owned(),
//!     found: Some((value.to_owned(), revision)),
//! };
//! let mut transaction = Transaction::begin(at(1), "tokens/1");
//! transaction.reads = vec![read("1", 2)];
//! transaction.writes = [("a".to_owned(), Some("2".to_owned()))].into();
//! transaction.returned = Some((at(2), Ending::Committed(3)));
//! assert_eq!(check(&[transaction.clone()], &changes, 2), None);
//!
//! // It read what the store did not hold any more.
//! transaction.reads = vec![read("0", 1)];
//! let violation = check(&[transaction], &changes, 2).unwrap();
//! assert_eq!(violation.rule, Rule::Serializable);
//! ```

// I-S7

mod check;
#[cfg(test)]
mod tests;

pub use check::{Rule, Violation, check, placed};

use etcd3::runtime::Instant;
use std::collections::BTreeMap;

/// What a transaction read, as its closure saw it, before it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// One key.
    Key {
        /// The key.
        key: String,
        /// The value and the revision that changed it last, if the key was there.
        found: Option<(String, i64)>,
    },
    /// All keys with a prefix.
    Prefix {
        /// The prefix.
        prefix: String,
        /// The pairs, in the order of the keys.
        found: Vec<(String, String)>,
    },
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It took place at this revision.
    Committed(i64),
    /// It did not take place.
    Failed,
    /// It may have taken place.
    Unknown,
    /// Its outcome was unknown, and its token tells where it took place, if it did.
    Settled(Option<i64>),
}

/// One transaction, as its program saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// When it began.
    pub invoked: Instant,
    /// When it ended, and how; `None` while it is under way.
    pub returned: Option<(Instant, Ending)>,
    /// The key of its token, used nowhere else.
    pub token: String,
    /// What its last attempt read.
    pub reads: Vec<Read>,
    /// What its last attempt was to write, `None` for a deletion.
    pub writes: BTreeMap<String, Option<String>>,
}

impl Transaction {
    /// Begins the record of a transaction.
    pub fn begin(invoked: Instant, token: impl Into<String>) -> Self {
        let (reads, writes) = (Vec::new(), BTreeMap::new());
        Self { invoked, returned: None, token: token.into(), reads, writes }
    }
}
