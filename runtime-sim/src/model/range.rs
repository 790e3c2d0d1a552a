//! Reading a range, with every option.

// K10, K15–K20

use super::keys::Keys;
use super::refusal::crash;
use super::store::{Store, WriteTxn};
use etcd3::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcd3::proto::etcdserverpb::{RangeRequest, RangeResponse, ResponseHeader};
use etcd3::proto::mvccpb::KeyValue;
use etcd3::{Bytes, Status};
use std::cmp::Ordering;

/// What can be read: the store, or the inside of a change.
pub(super) trait View {
    /// Returns the newest revision.
    fn revision(&self) -> i64;

    /// Returns the live pairs of a range at a revision, in the order of their keys.
    fn read(&self, keys: &Keys, at: i64) -> Result<Vec<KeyValue>, Status>;

    /// Tells whether keys without values are read from the index, which has no leases.
    fn reads_index(&self) -> bool;
}

impl View for Store {
    fn revision(&self) -> i64 {
        Store::revision(self)
    }

    fn read(&self, keys: &Keys, at: i64) -> Result<Vec<KeyValue>, Status> {
        Store::read(self, keys, at)
    }

    fn reads_index(&self) -> bool {
        self.personality.keys_lack_lease
    }
}

impl View for WriteTxn<'_> {
    fn revision(&self) -> i64 {
        WriteTxn::revision(self)
    }

    fn read(&self, keys: &Keys, at: i64) -> Result<Vec<KeyValue>, Status> {
        WriteTxn::read(self, keys, at)
    }

    fn reads_index(&self) -> bool {
        WriteTxn::reads_index(self)
    }
}

/// A header with nothing but a revision, as inside of a transaction.
// K51
pub(super) fn header(revision: i64) -> ResponseHeader {
    ResponseHeader { revision, ..ResponseHeader::default() }
}

/// Answers a range request.
///
/// Pairs that sort alike stay in the order of their keys; a server promises that for up to twelve
/// pairs only.
pub(super) fn range(view: &impl View, request: &RangeRequest) -> Result<RangeResponse, Status> {
    let mut kvs = view.read(&Keys::new(&request.key, &request.range_end), request.revision)?;
    let mut response = RangeResponse {
        header: Some(header(view.revision())),
        count: i64::try_from(kvs.len()).unwrap_or(i64::MAX),
        ..RangeResponse::default()
    };
    if request.count_only {
        kvs.clear();
    }
    let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
    if let Some(limit) = limit.filter(|_| !reads_whole_range(request)) {
        // One more than asked for, which tells whether there is more (K12, K19).
        kvs.truncate(limit.saturating_add(1));
    }
    kvs.retain(|kv| passes(request, kv));
    sort(request, &mut kvs)?;
    if let Some(limit) = limit.filter(|limit| kvs.len() > *limit) {
        kvs.truncate(limit);
        response.more = true;
    }
    if request.keys_only {
        let is_from_index =
            view.reads_index() && request.sort_target != i32::from(SortTarget::Value);
        for kv in &mut kvs {
            kv.value = Bytes::new();
            kv.lease = if is_from_index { 0 } else { kv.lease };
        }
    }
    response.kvs = kvs;
    Ok(response)
}

fn reads_whole_range(request: &RangeRequest) -> bool {
    request.sort_order != i32::from(SortOrder::None)
        || request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within =
        |revision, min, max| (min == 0 || revision >= min) && (max == 0 || revision <= max);
    within(kv.mod_revision, request.min_mod_revision, request.max_mod_revision)
        && within(kv.create_revision, request.min_create_revision, request.max_create_revision)
}

/// Returns what to sort by. One that is not known ends servers before 3.6.
// CFG-057
pub(super) fn sort_target(request: &RangeRequest) -> Result<SortTarget, Status> {
    SortTarget::try_from(request.sort_target).map_err(|_| crash("unknown sort target"))
}

/// Sorts; a target other than the key implies ascending order.
// K12
fn sort(request: &RangeRequest, kvs: &mut [KeyValue]) -> Result<(), Status> {
    let key = i32::from(SortTarget::Key);
    if request.sort_order == i32::from(SortOrder::None) && request.sort_target == key {
        return Ok(());
    }
    let target = sort_target(request)?;
    let by_target = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    };
    match SortOrder::try_from(request.sort_order) {
        Ok(SortOrder::None | SortOrder::Ascend) => kvs.sort_by(by_target),
        Ok(SortOrder::Descend) => kvs.sort_by(|a, b| by_target(a, b).reverse()),
        // An unknown order is no order.
        Err(_) => kvs.sort_by(|_, _| Ordering::Equal),
    }
    Ok(())
}
