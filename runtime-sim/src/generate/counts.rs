//! What operations had in them.

use super::{MAX_OPS, MAX_TTL, NO_LEASE, Position};
use crate::model::Request;
use etcd3::ServerError;
use etcd3::proto::etcdserverpb as pb;
use pb::compare::{CompareResult, CompareTarget, TargetUnion};
use pb::range_request::{SortOrder, SortTarget};
use pb::request_op::Request as Op;
use std::collections::BTreeMap;

/// The refusals that are within reach of a [`Generator`](super::Generator).
pub const REFUSALS: [ServerError; 11] = [
    ServerError::EmptyKey,
    ServerError::KeyNotFound,
    ServerError::ValueProvided,
    ServerError::LeaseProvided,
    ServerError::TooManyOps,
    ServerError::DuplicateKey,
    ServerError::Compacted,
    ServerError::FutureRev,
    ServerError::LeaseNotFound,
    ServerError::LeaseExist,
    ServerError::LeaseTtlTooLarge,
];

/// The names of what is counted, besides what is made of several words.
const NAMES: &[&str] = &[
    "range",
    "put",
    "delete",
    "txn",
    "compact",
    "lease grant",
    "lease revoke",
    "lease ttl",
    "lease list",
    "range serializable",
    "range keys_only",
    "range count_only",
    "range min_mod_revision",
    "range max_mod_revision",
    "range min_create_revision",
    "range max_create_revision",
    "range limit none",
    "range limit negative",
    "range limit positive",
    "range revision none",
    "range revision negative",
    "range revision above head",
    "range revision at head",
    "range revision within",
    "range revision at compaction",
    "range revision below compaction",
    "put prev_kv",
    "put lease",
    "put lease unknown",
    "put ignore_value",
    "put ignore_value with a value",
    "put ignore_lease",
    "put ignore_lease with a lease",
    "delete prev_kv",
    "txn depth 1",
    "txn depth 2",
    "txn depth 3",
    "txn depth 4",
    "txn empty",
    "txn compares only",
    "txn reads only",
    "txn write beside a revision",
    "txn write beside a negative revision",
    "txn empty op",
    "txn as wide as can be",
    "txn too wide",
    "compare union missing",
    "compare union of another target",
    "compact above head",
    "compact at head",
    "compact within",
    "compact at compaction",
    "compact below compaction",
    "compact physical",
    "lease grant ttl 0",
    "lease grant ttl negative",
    "lease grant ttl normal",
    "lease grant ttl longest",
    "lease grant ttl too long",
    "lease ttl keys",
    "lease unknown",
];

/// The operations that have a range of keys.
const SPANNERS: [&str; 3] = ["range", "delete", "compare"];

/// Counts of operations, of their options, and of how they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    by_name: BTreeMap<String, u64>,
    operations: u64,
    errors: u64,
}

impl Default for Counts {
    /// Nothing is counted yet; everything that is within reach is there, with zero.
    fn default() -> Self {
        let mut names: Vec<String> = NAMES.iter().map(ToString::to_string).collect();
        for who in SPANNERS {
            for span in SPANS {
                names.push(format!("{who} {span}"));
            }
        }
        for target in SORT_TARGETS {
            for order in [SortOrder::None, SortOrder::Ascend, SortOrder::Descend] {
                names.push(sort(target.into(), order.into()));
            }
        }
        for target in COMPARE_TARGETS {
            for result in COMPARE_RESULTS {
                names.push(comparison(target.into(), result.into()));
            }
        }
        names.extend(REFUSALS.map(|error| refusal(error.text())));
        let by_name = names.into_iter().map(|name| (name, 0)).collect();
        Self { by_name, operations: 0, errors: 0 }
    }
}

impl Counts {
    /// Counts an operation on a store that is at this position.
    pub fn add(&mut self, request: &Request, at: Position) {
        self.operations += 1;
        match request {
            Request::Range(range) => self.range(range, at),
            Request::Put(put) => self.put(put),
            Request::DeleteRange(delete) => self.delete(delete),
            Request::Txn(txn) => self.outer_txn(txn, at),
            Request::Compact(compact) => self.compact(compact, at),
            Request::LeaseGrant(grant) => self.grant(grant),
            Request::LeaseRevoke(revoke) => self.lease("lease revoke", revoke.id),
            Request::LeaseTimeToLive(ask) => {
                self.lease("lease ttl", ask.id);
                self.note_if(ask.keys, "lease ttl keys");
            }
            Request::LeaseLeases(_) => self.note("lease list"),
            other => self.note(other.path()),
        }
    }

    /// Counts an error, by its text.
    pub fn add_error(&mut self, text: &str) {
        self.errors += 1;
        self.note(&refusal(text));
    }

    /// Adds up two counts.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.by_name {
            *self.by_name.entry(name.clone()).or_default() += count;
        }
        self.operations += other.operations;
        self.errors += other.errors;
    }

    /// Number of operations.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Number of operations that ended in an error.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// Returns the names with their counts, in order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.by_name.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn note(&mut self, name: &str) {
        match self.by_name.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.by_name.insert(name.to_owned(), 1)),
        }
    }

    fn note_if(&mut self, condition: bool, name: &str) {
        if condition {
            self.note(name);
        }
    }

    fn span(&mut self, who: &str, key: &[u8], end: &[u8]) {
        self.note(&format!("{who} {}", span(key, end)));
    }

    fn range(&mut self, range: &pb::RangeRequest, at: Position) {
        self.note("range");
        self.span("range", &range.key, &range.range_end);
        self.note(&sort(range.sort_target, range.sort_order));
        self.note(match range.limit {
            0 => "range limit none",
            1.. => "range limit positive",
            _ => "range limit negative",
        });
        self.note(match range.revision {
            0 => "range revision none",
            n if n < 0 => "range revision negative",
            n if n > at.revision => "range revision above head",
            n if n == at.revision => "range revision at head",
            n if n < at.compacted => "range revision below compaction",
            n if n == at.compacted => "range revision at compaction",
            _ => "range revision within",
        });
        for (is_there, name) in [
            (range.serializable, "range serializable"),
            (range.keys_only, "range keys_only"),
            (range.count_only, "range count_only"),
            (range.min_mod_revision != 0, "range min_mod_revision"),
            (range.max_mod_revision != 0, "range max_mod_revision"),
            (range.min_create_revision != 0, "range min_create_revision"),
            (range.max_create_revision != 0, "range max_create_revision"),
        ] {
            self.note_if(is_there, name);
        }
    }

    fn put(&mut self, put: &pb::PutRequest) {
        self.note("put");
        self.note_if(put.prev_kv, "put prev_kv");
        self.note_if(put.lease != 0, "put lease");
        self.note_if(put.lease == NO_LEASE, "put lease unknown");
        self.note_if(put.ignore_value, "put ignore_value");
        let has_value = put.ignore_value && !put.value.is_empty();
        self.note_if(has_value, "put ignore_value with a value");
        self.note_if(put.ignore_lease, "put ignore_lease");
        self.note_if(put.ignore_lease && put.lease != 0, "put ignore_lease with a lease");
    }

    fn delete(&mut self, delete: &pb::DeleteRangeRequest) {
        self.note("delete");
        self.span("delete", &delete.key, &delete.range_end);
        self.note_if(delete.prev_kv, "delete prev_kv");
    }

    fn outer_txn(&mut self, txn: &pb::TxnRequest, at: Position) {
        self.note("txn");
        let ops = || txn.success.iter().chain(&txn.failure);
        let has_ops = ops().next().is_some();
        self.note_if(!has_ops && txn.compare.is_empty(), "txn empty");
        self.note_if(!has_ops && !txn.compare.is_empty(), "txn compares only");
        let only_reads = ops().all(|op| matches!(op.request, Some(Op::RequestRange(_))));
        self.note_if(has_ops && only_reads, "txn reads only");
        for branch in [&txn.success, &txn.failure] {
            let read_at = |wanted: fn(i64) -> bool| {
                branch.iter().any(|op| match &op.request {
                    Some(Op::RequestRange(range)) => wanted(range.revision),
                    _ => false,
                })
            };
            let has_write = writes(branch);
            self.note_if(has_write && read_at(|n| n != 0), "txn write beside a revision");
            self.note_if(has_write && read_at(|n| n < 0), "txn write beside a negative revision");
        }
        let width = width(txn);
        self.note_if(width == MAX_OPS, "txn as wide as can be");
        self.note_if(width > MAX_OPS, "txn too wide");
        let depth = self.txn(txn, at);
        self.note(&format!("txn depth {depth}"));
    }

    /// Counts what is in a transaction, and returns how deep it is nested.
    fn txn(&mut self, txn: &pb::TxnRequest, at: Position) -> u32 {
        for compare in &txn.compare {
            self.compare(compare);
        }
        let mut depth = 0;
        for op in txn.success.iter().chain(&txn.failure) {
            match &op.request {
                None => self.note("txn empty op"),
                Some(Op::RequestRange(range)) => self.range(range, at),
                Some(Op::RequestPut(put)) => self.put(put),
                Some(Op::RequestDeleteRange(delete)) => self.delete(delete),
                Some(Op::RequestTxn(nested)) => depth = depth.max(self.txn(nested, at)),
            }
        }
        depth + 1
    }

    fn compare(&mut self, compare: &pb::Compare) {
        self.note(&comparison(compare.target, compare.result));
        self.span("compare", &compare.key, &compare.range_end);
        let union = match compare.target_union {
            Some(TargetUnion::Version(_)) => CompareTarget::Version,
            Some(TargetUnion::CreateRevision(_)) => CompareTarget::Create,
            Some(TargetUnion::ModRevision(_)) => CompareTarget::Mod,
            Some(TargetUnion::Value(_)) => CompareTarget::Value,
            Some(TargetUnion::Lease(_)) => CompareTarget::Lease,
            None => return self.note("compare union missing"),
        };
        self.note_if(compare.target != i32::from(union), "compare union of another target");
    }

    fn compact(&mut self, compact: &pb::CompactionRequest, at: Position) {
        self.note("compact");
        self.note_if(compact.physical, "compact physical");
        self.note(match compact.revision {
            n if n > at.revision => "compact above head",
            n if n < at.compacted => "compact below compaction",
            n if n == at.compacted => "compact at compaction",
            n if n == at.revision => "compact at head",
            _ => "compact within",
        });
    }

    fn grant(&mut self, grant: &pb::LeaseGrantRequest) {
        self.lease("lease grant", grant.id);
        self.note(match grant.ttl {
            0 => "lease grant ttl 0",
            n if n < 0 => "lease grant ttl negative",
            MAX_TTL => "lease grant ttl longest",
            n if n > MAX_TTL => "lease grant ttl too long",
            _ => "lease grant ttl normal",
        });
    }

    fn lease(&mut self, what: &str, id: i64) {
        self.note(what);
        self.note_if(id == NO_LEASE, "lease unknown");
    }
}

/// The shapes of a range of keys.
const SPANS: [&str; 7] = [
    "of one key",
    "of a prefix",
    "from a key on",
    "of all keys",
    "between keys",
    "of no key",
    "of the empty key",
];

fn span(key: &[u8], end: &[u8]) -> &'static str {
    let [one, prefix, from, all, between, none, empty] = SPANS;
    match (key, end) {
        ([], _) => empty,
        (_, []) => one,
        (b"\0", b"\0") => all,
        (b"a/" | b"b/", _) => prefix,
        (_, b"\0") => from,
        _ if end <= key => none,
        _ => between,
    }
}

/// Returns whether there is a write in a branch, nested or not.
fn writes(branch: &[pb::RequestOp]) -> bool {
    branch.iter().any(|op| match &op.request {
        Some(Op::RequestTxn(nested)) => writes(&nested.success) || writes(&nested.failure),
        Some(Op::RequestPut(_) | Op::RequestDeleteRange(_)) => true,
        Some(Op::RequestRange(_)) | None => false,
    })
}

fn width(txn: &pb::TxnRequest) -> usize {
    let nested = txn.success.iter().chain(&txn.failure).filter_map(|op| match &op.request {
        Some(Op::RequestTxn(nested)) => Some(width(nested)),
        _ => None,
    });
    let own = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    own + nested.max().unwrap_or(0)
}

const SORT_TARGETS: [SortTarget; 5] =
    [SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value];

const COMPARE_TARGETS: [CompareTarget; 5] = [
    CompareTarget::Version,
    CompareTarget::Create,
    CompareTarget::Mod,
    CompareTarget::Value,
    CompareTarget::Lease,
];

const COMPARE_RESULTS: [CompareResult; 4] =
    [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];

fn sort(target: i32, order: i32) -> String {
    let target = SortTarget::try_from(target).map_or("?", |target| target.as_str_name());
    let order = SortOrder::try_from(order).map_or("?", |order| order.as_str_name());
    format!("range sort {target} {order}")
}

fn comparison(target: i32, result: i32) -> String {
    let target = CompareTarget::try_from(target).map_or("?", |target| target.as_str_name());
    let result = CompareResult::try_from(result).map_or("?", |result| result.as_str_name());
    format!("compare {target} {result}")
}

fn refusal(text: &str) -> String {
    format!("error {text}")
}
