//! Any operation, as a value.

use super::{Delete, DeleteResponse, Get, GetResponse, Put, PutResponse, Txn, TxnResponse};
use super::{Limits, Operation, PutValue, When};
use crate::error::Error;
use crate::namespace::KeyPrefix;
use crate::rpc::Rpc;
use crate::{IntoBytes, KeyRange};
use bytes::Bytes;
use etcd3_proto::etcdserverpb as pb;

/// Any of [`Get`], [`Put`], [`Delete`] and [`Txn`], as a value: to run as it is, or as part of a
/// transaction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Op {
    /// A read.
    Get(Get),
    /// A write.
    Put(Put),
    /// A deletion.
    Delete(Delete),
    /// A transaction.
    Txn(Txn),
}

/// Makes an array of [`Op`]s out of operations of different kinds, or out of none.
///
/// ```
/// # use etcd3_core as etcd3;
/// use etcd3::{get, key, ops, put, txn};
///
/// let take = txn()
///     .when([key("lock").missing()])
///     .then(ops![put("lock", "me"), get("queue")])
///     .otherwise(ops![]);
/// # let _ = take;
/// ```
#[macro_export]
macro_rules! ops {
    () => {{
        let none: [$crate::Op; 0] = [];
        none
    }};
    ($($op:expr),+ $(,)?) => {
        [$($crate::Op::from($op)),+]
    };
}

/// The answer to an [`Op`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OpResponse {
    /// The answer to a read.
    Get(GetResponse),
    /// The answer to a write.
    Put(PutResponse),
    /// The answer to a deletion.
    Delete(DeleteResponse),
    /// The answer to a transaction.
    Txn(TxnResponse),
}

macro_rules! variants {
    ($($name:ident, $response:ident, $as_ref:ident, $into:ident;)*) => {
        $(impl From<$name> for Op {
            fn from(op: $name) -> Self {
                Self::$name(op)
            }
        })*

        impl OpResponse {
            $(#[doc = concat!("The [`", stringify!($response), "`], if this is one.")]
            #[must_use]
            pub fn $as_ref(&self) -> Option<&$response> {
                match self {
                    Self::$name(response) => Some(response),
                    _ => None,
                }
            }

            #[doc = concat!("Turns into the [`", stringify!($response), "`], if this is one.")]
            #[must_use]
            pub fn $into(self) -> Option<$response> {
                match self {
                    Self::$name(response) => Some(response),
                    _ => None,
                }
            })*
        }
    };
}

variants! {
    Get, GetResponse, as_get, into_get;
    Put, PutResponse, as_put, into_put;
    Delete, DeleteResponse, as_delete, into_delete;
}

impl<Stage> From<Txn<Stage>> for Op {
    fn from(txn: Txn<Stage>) -> Self {
        Self::Txn(txn.into_whole())
    }
}

impl OpResponse {
    /// The [`TxnResponse`], if this is one.
    #[must_use]
    pub fn as_txn(&self) -> Option<&TxnResponse> {
        match self {
            Self::Txn(response) => Some(response),
            _ => None,
        }
    }

    /// Turns into the [`TxnResponse`], if this is one.
    #[must_use]
    pub fn into_txn(self) -> Option<TxnResponse> {
        match self {
            Self::Txn(response) => Some(response),
            _ => None,
        }
    }
}

impl Op {
    /// Reads one key, or all keys of a range; the same as the function [`get`](super::get).
    pub fn get(range: impl Into<KeyRange>) -> Get {
        super::get(range)
    }

    /// Writes a key; the same as the function [`put`](super::put).
    pub fn put(key: impl IntoBytes, value: impl Into<PutValue>) -> Put {
        super::put(key, value)
    }

    /// Deletes one key, or all keys of a range; the same as the function
    /// [`delete`](super::delete).
    pub fn delete(range: impl Into<KeyRange>) -> Delete {
        super::delete(range)
    }

    /// Begins a transaction; the same as the function [`txn`](super::txn).
    #[must_use]
    pub fn txn() -> Txn<When> {
        super::txn()
    }

    /// The operation as part of a transaction.
    pub(super) fn into_message(self) -> pb::RequestOp {
        use pb::request_op::Request;
        let request = match self {
            Self::Get(get) => Request::RequestRange(get.request),
            Self::Put(put) => Request::RequestPut(put.request),
            Self::Delete(delete) => Request::RequestDeleteRange(delete.request),
            Self::Txn(txn) => Request::RequestTxn(txn.into_message()),
        };
        pb::RequestOp { request: Some(request) }
    }
}

/// Does the same to whichever operation it is.
macro_rules! each {
    ($op:expr, $inner:ident => $result:expr) => {
        match $op {
            Op::Get($inner) => $result,
            Op::Put($inner) => $result,
            Op::Delete($inner) => $result,
            Op::Txn($inner) => $result,
        }
    };
}

impl Operation for Op {
    type Response = OpResponse;

    fn rpc(&self) -> Rpc {
        each!(self, op => op.rpc())
    }

    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        each!(self, op => op.encode(limits, prefix))
    }

    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<OpResponse, Error> {
        Ok(match self {
            Self::Get(get) => OpResponse::Get(get.decode(message, prefix)?),
            Self::Put(put) => OpResponse::Put(put.decode(message, prefix)?),
            Self::Delete(delete) => OpResponse::Delete(delete.decode(message, prefix)?),
            Self::Txn(txn) => OpResponse::Txn(txn.decode(message, prefix)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_taken_as_what_it_is() {
        let txn = || OpResponse::Txn(TxnResponse::default());
        assert_eq!(txn().into_txn(), Some(TxnResponse::default()));
        assert!(txn().as_txn().is_some() && txn().into_get().is_none());
        let get = || OpResponse::Get(GetResponse::default());
        assert!(get().into_txn().is_none() && get().as_txn().is_none());
        assert_eq!(get().into_get(), Some(GetResponse::default()));
    }
}
