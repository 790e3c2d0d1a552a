//! The leader of an election.

use super::super::contender::{FURTHER, is_contender};
use crate::{
    Bytes, Client, Compare, Error, IntoBytes, KeyValue, LeaseId, ResponseHeader, SortOrder,
    SortTarget, key, prefix,
};
use std::future::IntoFuture;
use std::str::Utf8Error;

/// A leader, as somebody else sees it, at a revision at which it led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    kv: KeyValue,
}

impl Leader {
    pub(super) const fn new(kv: KeyValue) -> Self {
        Self { kv }
    }

    /// Reads who leads the election of this name; `None` where nobody does. The read is
    /// linearizable.
    ///
    /// # Errors
    ///
    /// Those of any read.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    // X26
    pub async fn of(client: &Client, name: impl IntoBytes) -> Result<Option<Self>, Error> {
        Ok(Self::first(client, &key_prefix(name), None).await?.0)
    }

    /// Reads who leads, at this revision or at the newest one, and tells the header of the answer.
    pub(super) async fn first(
        client: &Client,
        keys: &Bytes,
        revision: Option<i64>,
    ) -> Result<(Option<Self>, ResponseHeader), Error> {
        let (mut limit, mut revision) = (1, revision.unwrap_or(0));
        loop {
            let read = client.get(prefix(keys.clone())).revision(revision).limit(limit);
            let read = read.sort(SortTarget::Create, SortOrder::Ascend);
            // Boxed: a call is large, and futures that hold futures move them.
            let found = Box::pin(read.into_future()).await?;
            let header = found.header;
            let mut pairs = found.kvs.into_iter();
            let first = pairs.find(|pair| is_contender(keys, &pair.key));
            if first.is_some() || !found.more {
                return Ok((first.map(Self::new), header));
            }
            // Case 18: keys of elections whose names begin with this one and a slash are among
            // them.
            limit = limit.saturating_mul(FURTHER);
            revision = if revision == 0 { header.revision } else { revision };
        }
    }

    /// Returns what the leader proclaims.
    #[must_use]
    pub const fn value(&self) -> &Bytes {
        &self.kv.value
    }

    /// Returns what the leader proclaims, as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn value_str(&self) -> Result<&str, Utf8Error> {
        self.kv.value_str()
    }

    /// Returns the key by which it leads.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.kv.key
    }

    /// Returns the revision at which it became a candidate: later leaders have higher ones.
    #[must_use]
    pub const fn create_revision(&self) -> i64 {
        self.kv.create_revision
    }

    /// Returns the lease with which its leadership ends.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.kv.lease
    }

    /// Returns its key with the value and all revisions.
    #[must_use]
    pub const fn kv(&self) -> &KeyValue {
        &self.kv
    }

    /// Returns the condition that it still leads, for transactions that depend on it.
    // X17
    #[must_use]
    pub fn fence(&self) -> Compare {
        key(self.kv.key.clone()).create_revision().eq(self.kv.create_revision)
    }
}

/// Returns what the keys of all candidates begin with.
// X21
pub(super) fn key_prefix(name: impl IntoBytes) -> Bytes {
    let name = name.into_bytes();
    let mut keys = Vec::with_capacity(name.len() + 1);
    keys.extend_from_slice(&name);
    keys.push(b'/');
    keys.into()
}
