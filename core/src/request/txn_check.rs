//! What no server would take in a transaction, found before it is sent.
//!
//! The rules are those of the server, and so is their order, since the error depends on it. Where a
//! server is more lenient than one would expect (a key put by one nested transaction and deleted
//! by a later one), so is this.

// K31–K33

use super::get;
use crate::error::{Error, ErrorKind};
use crate::method::Effect;
use crate::rpc::UnaryRequest;
use crate::server_error::ServerError;
use bytes::Bytes;
use etcd3_proto::etcdserverpb::{DeleteRangeRequest, RequestOp, TxnRequest, request_op::Request};
use std::collections::{BTreeMap, BTreeSet};

/// Checks a transaction. Recursion is bounded by the nesting limit, which was checked before.
pub(super) fn check_txn(txn: &TxnRequest, max_ops: usize) -> Result<(), Error> {
    check_form(txn, max_ops)?;
    check_branch(&txn.success)?;
    check_branch(&txn.failure)?;
    Ok(())
}

/// The error that a server would have answered; nothing was sent, though.
fn refusal(error: ServerError) -> Error {
    Error::new(ErrorKind::Server(error))
}

/// Refuses what makes the members of a cluster differ for ever (etcd#18667).
pub(super) fn check_pinned_reads(txn: &TxnRequest) -> Result<(), Error> {
    if txn.rpc().effect != Effect::PinnedWrite {
        return Ok(());
    }
    Err(Error::invalid_request(
        "it writes and reads at a revision; if that cannot be read, members before etcd 3.7 differ \
         from then on (etcd#18667): read first, then write, or say \
         dangerously_allow_pinned_reads_in_writes",
    ))
}

/// Each level may have what its parent leaves of the limit. No key is empty, no revision negative.
// K31, E10.1
fn check_form(txn: &TxnRequest, max_ops: usize) -> Result<(), Error> {
    let most = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let Some(left) = max_ops.checked_sub(most) else {
        return Err(refusal(ServerError::TooManyOps));
    };
    txn.compare.iter().try_for_each(|compare| check_key(&compare.key))?;
    for op in txn.success.iter().chain(&txn.failure) {
        match &op.request {
            Some(Request::RequestTxn(nested)) => check_form(nested, left)?,
            Some(Request::RequestRange(range)) => {
                check_key(&range.key)?;
                get::check_revisions(range)?;
            }
            Some(Request::RequestPut(put)) => check_key(&put.key)?,
            Some(Request::RequestDeleteRange(delete)) => check_key(&delete.key)?,
            None => {}
        }
    }
    Ok(())
}

fn check_key(key: &Bytes) -> Result<(), Error> {
    if key.is_empty() { Err(refusal(ServerError::EmptyKey)) } else { Ok(()) }
}

type Puts = BTreeSet<Bytes>;

/// Finds a key that one branch would write twice, and returns all that the branch writes.
// K32
fn check_branch(ops: &[RequestOp]) -> Result<(Puts, Intervals), Error> {
    let mut deletes = Intervals::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            deletes.insert(delete);
        }
    }
    let mut puts = Puts::new();
    for op in ops {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let (then_puts, then_deletes) = check_branch(&nested.success)?;
            let (else_puts, else_deletes) = check_branch(&nested.failure)?;
            // Only one of the two branches runs, so they may both write a key.
            let nested_puts: Puts = then_puts.union(&else_puts).cloned().collect();
            for key in nested_puts {
                add_put(&mut puts, &deletes, key)?;
            }
            deletes.merge(then_deletes);
            deletes.merge(else_deletes);
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            add_put(&mut puts, &deletes, put.key.clone())?;
        }
    }
    Ok((puts, deletes))
}

fn add_put(puts: &mut Puts, deletes: &Intervals, key: Bytes) -> Result<(), Error> {
    if deletes.contain(&key) || !puts.insert(key) {
        return Err(refusal(ServerError::DuplicateKey));
    }
    Ok(())
}

/// A set of keys, as disjoint half-open intervals: start to end.
#[derive(Debug, Default)]
struct Intervals(BTreeMap<Bytes, Bytes>);

impl Intervals {
    fn insert(&mut self, delete: &DeleteRangeRequest) {
        let start = delete.key.clone();
        match &delete.range_end[..] {
            [] => {
                let next = [&start[..], &[0]].concat();
                self.add(start, next.into());
            }
            // To the check of the server an open end, a zero byte, is an end before the start: it
            // takes a deletion of all keys from one on together with puts of such keys.
            end if end > &start[..] => self.add(start, delete.range_end.clone()),
            _ => {}
        }
    }

    fn merge(&mut self, other: Self) {
        for (start, end) in other.0 {
            self.add(start, end);
        }
    }

    /// Adds one interval, joined with those that it overlaps.
    fn add(&mut self, mut start: Bytes, mut end: Bytes) {
        while let Some((other_start, other_end)) = self.last_up_to(&end) {
            if other_end < start {
                break;
            }
            self.0.remove(&other_start);
            start = start.min(other_start);
            end = end.max(other_end);
        }
        self.0.insert(start, end);
    }

    /// Returns the last interval that begins at or before `end`.
    fn last_up_to(&self, end: &Bytes) -> Option<(Bytes, Bytes)> {
        let last = self.0.range(..=end.clone()).next_back();
        last.map(|(start, end)| (start.clone(), end.clone()))
    }

    fn contain(&self, key: &Bytes) -> bool {
        self.last_up_to(key).is_some_and(|(_, end)| *key < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn intervals_agree_with_a_plain_list() {
        let key = |n: u64| Bytes::from(vec![u8::try_from(n).unwrap()]);
        for seed in 0..500 {
            let mut rng = Rng::new(seed);
            let mut intervals = Intervals::default();
            let mut list = Vec::new();
            for _ in 0..rng.below(8) {
                let range_end = match rng.below(6) {
                    0 => Bytes::new(),
                    1 if rng.below(4) == 0 => Bytes::from_static(&[0]),
                    _ => key(1 + rng.below(40)),
                };
                let delete =
                    DeleteRangeRequest { key: key(1 + rng.below(40)), range_end, prev_kv: false };
                intervals.insert(&delete);
                list.push(delete);
            }
            for n in 1..45 {
                let inside = list.iter().any(|d| match &d.range_end[..] {
                    [] => d.key == key(n),
                    end => key(n) >= d.key && &key(n)[..] < end,
                });
                assert_eq!(intervals.contain(&key(n)), inside, "seed {seed}, key {n}");
            }
        }
    }
}
