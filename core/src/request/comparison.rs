//! Compares alone, without a transaction's operations.

use super::{Compare, Limits, Operation, Then, Txn, txn};
use crate::error::Error;
use crate::namespace::KeyPrefix;
use crate::rpc::Rpc;
use bytes::Bytes;

/// Compares alone: whether all of them hold. A [`Txn`] without operations.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    txn: Txn<Then>,
}

/// Evaluates conditions: whether all of them hold.
#[must_use]
pub fn compare(compares: impl IntoIterator<Item = Compare>) -> Comparison {
    Comparison { txn: txn().when(compares) }
}

impl Operation for Comparison {
    type Response = bool;

    fn rpc(&self) -> Rpc {
        self.txn.rpc()
    }

    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        self.txn.encode(limits, prefix)
    }

    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<bool, Error> {
        Ok(self.txn.decode(message, prefix)?.succeeded)
    }
}
