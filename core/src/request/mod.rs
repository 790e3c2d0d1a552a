//! Typed requests of the key-value API, and their answers.
//!
//! Each request holds the message it will send; an option that does not belong to a request does
//! not exist on it. The constructors are [`get`], [`put`], [`delete`], [`txn`] and [`compact`].
//!
//! # What does not compile
//!
//! Each line of this compiles:
//!
//! ```
//! use etcd3_core::{IgnoreLease, IgnoreValue, SortOrder, SortTarget};
//! use etcd3_core::{delete, get, prefix, put, txn};
//!
//! let _ = get(prefix("a")).limit(1);
//! let _ = get("a").sort(SortTarget::Mod, SortOrder::Descend);
//! let _ = put("a", "v").lease(7);
//! let _ = put("a", IgnoreValue).lease(IgnoreLease);
//! let _ = delete("a").prev_kv();
//! let _ = txn().when([]).then([put("a", "v")]).otherwise([get("a")]);
//! ```
//!
//! A write of a range, or with options of a read, does not:
//!
//! ```compile_fail
//! let _ = etcd3_core::put(etcd3_core::prefix("a"), "v");
//! ```
//! ```compile_fail
//! let _ = etcd3_core::put("a", "v").limit(1);
//! ```
//! ```compile_fail
//! let _ = etcd3_core::delete("a").limit(1);
//! ```
//! ```compile_fail
//! let _ = etcd3_core::get("a").lease(7);
//! ```
//!
//! Nor does a range with two ends, a value together with its keeping, or a sort target that servers
//! do not know:
//!
//! ```compile_fail
//! let _ = etcd3_core::get(etcd3_core::from_key(etcd3_core::prefix("a")));
//! ```
//! ```compile_fail
//! let _ = etcd3_core::put("a", "v").ignore_value();
//! ```
//! ```compile_fail
//! let _ = etcd3_core::get("a").sort(100, etcd3_core::SortOrder::Descend);
//! ```
//!
//! Nor do the parts of a transaction out of order, or twice:
//!
//! ```compile_fail
//! let _ = etcd3_core::txn().then([etcd3_core::put("a", "v")]).when([]);
//! ```
//! ```compile_fail
//! let _ = etcd3_core::txn().when([]).when([]);
//! ```
//! ```compile_fail
//! let _ = etcd3_core::txn().then([etcd3_core::put("a", "v")]).then([etcd3_core::put("b", "v")]);
//! ```
//! ```compile_fail
//! let _ = etcd3_core::txn().otherwise([etcd3_core::get("a")]).otherwise([etcd3_core::get("b")]);
//! ```

// K11

mod compact;
mod compare;
mod delete;
mod get;
mod op;
mod put;
mod txn;
mod txn_check;

pub use compact::{Compact, CompactResponse, compact};
pub use compare::{Compare, Operand, Target, key_exists, key_missing};
pub use delete::{Delete, DeleteResponse, delete};
pub use get::{Get, GetResponse, SortOrder, SortTarget, get};
pub use op::{Op, OpResponse};
pub use put::{IgnoreLease, IgnoreValue, Put, PutLease, PutResponse, PutValue, put};
pub use txn::{NESTING_LIMIT, Otherwise, Then, Txn, TxnResponse, When, Whole, txn};

use crate::error::Error;
use crate::frame;
use crate::method::{Effect, Method};
use crate::rpc::UnaryRequest;
use bytes::Bytes;
use etcd3_proto::etcdserverpb::ResponseHeader;
use prost::Message;

/// Limits that a request is checked against before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most compares, or operations of a branch, that one transaction may have: the server's
    /// `--max-txn-ops`. 128 by default.
    // K31
    pub max_txn_ops: usize,
    /// The longest message that is sent, in bytes. 2 MiB by default, which is what a server takes
    /// by default.
    // C41
    pub max_request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_txn_ops: 128, max_request_bytes: 2 << 20 }
    }
}

/// A unary request, from its encoding to the reading of its answer.
///
/// Implemented by the typed requests, by [`Op`], and for any message of the API by [`Raw`].
pub trait Operation {
    /// What the caller gets.
    type Response;

    /// Returns the method that is called.
    fn method(&self) -> &'static Method;

    /// Returns what the request may do to the store.
    fn effect(&self) -> Effect {
        self.method().effect
    }

    /// Returns whether the answer must not be older than what was seen before the request was sent.
    // I-R8
    fn is_linearizable(&self) -> bool {
        false
    }

    /// Checks, completes and encodes the message, with its gRPC head; the same one each time, for
    /// it is encoded anew for each attempt.
    ///
    /// # Errors
    ///
    /// What no server would take, or is over the limits; outcome not sent.
    fn encode(&mut self, limits: &Limits) -> Result<Bytes, Error>;

    /// Reads the answer, a message without its gRPC head.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    fn decode(self, message: Bytes) -> Result<Self::Response, Error>;
}

/// A message of the API as it is on the wire; its answer is a message, too.
///
/// For what has no typed request. Only values that are known to crash servers are refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw<Q>(pub Q);

impl<Q: UnaryRequest> Operation for Raw<Q> {
    type Response = Q::Response;

    fn method(&self) -> &'static Method {
        Q::METHOD
    }

    fn effect(&self) -> Effect {
        self.0.effect()
    }

    fn is_linearizable(&self) -> bool {
        self.0.is_linearizable()
    }

    fn encode(&mut self, limits: &Limits) -> Result<Bytes, Error> {
        encode(&self.0, limits)
    }

    fn decode(self, message: Bytes) -> Result<Q::Response, Error> {
        decode(message)
    }
}

fn encode(request: &impl UnaryRequest, limits: &Limits) -> Result<Bytes, Error> {
    request.check()?;
    frame::encode(request, limits.max_request_bytes).map_err(Error::request_too_large)
}

/// Refuses a revision below zero, which no store has. To servers it is the current one, or a
/// compacted one in a transaction; as a bound it is none, or one that nothing passes.
fn check_revision(name: &str, revision: i64) -> Result<(), Error> {
    if revision >= 0 {
        return Ok(());
    }
    Err(Error::invalid_request(format!("{name} is {revision}; no revision is negative")))
}

fn decode<S: Message + Default>(message: Bytes) -> Result<S, Error> {
    S::decode(message).map_err(Error::protocol)
}

/// Makes an [`Operation`] of a typed request by its `request` and `response` methods.
macro_rules! operation {
    ($type:ty, ($($generics:tt)*) => $response:ty) => {
        impl<$($generics)*> super::Operation for $type {
            type Response = $response;

            fn method(&self) -> &'static crate::method::Method {
                use crate::rpc::UnaryRequest;
                fn method<Q: UnaryRequest>(_: &Q) -> &'static crate::method::Method {
                    Q::METHOD
                }
                method(&self.request)
            }

            fn effect(&self) -> crate::method::Effect {
                crate::rpc::UnaryRequest::effect(&self.request)
            }

            fn is_linearizable(&self) -> bool {
                crate::rpc::UnaryRequest::is_linearizable(&self.request)
            }

            fn encode(
                &mut self,
                limits: &super::Limits,
            ) -> Result<bytes::Bytes, crate::error::Error> {
                super::encode(self.request(limits)?, limits)
            }

            fn decode(self, message: bytes::Bytes) -> Result<$response, crate::error::Error> {
                self.response(super::decode(message)?)
            }
        }
    };
}
use operation;

/// Headers are on every answer of a real server; a missing one reads as zeros.
fn header(header: Option<ResponseHeader>) -> ResponseHeader {
    header.unwrap_or_default()
}
