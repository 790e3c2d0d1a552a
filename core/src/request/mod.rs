//! Typed requests of keys, leases and users, and their answers.
//!
//! Each request holds the message it will send; an option that does not belong to a request does
//! not exist on it. The constructors are [`get`], [`put`], [`delete`], [`txn`] and [`compact`], and
//! [`grant`], [`revoke`], [`time_to_live`] and [`leases`] for leases; those of users and roles, as
//! [`UserAdd`], have theirs with them.
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

mod auth;
pub mod cluster;
mod compact;
mod compare;
mod comparison;
mod delete;
mod get;
mod lease;
pub mod maintenance;
mod op;
mod options;
mod put;
pub mod range_stream;
pub mod services;
mod show;
mod txn;
mod txn_check;
mod watch;

pub use auth::{
    AuthDisable, AuthEnable, AuthResponse, AuthStatus, AuthStatusResponse, Permission,
    PermissionType, RoleAdd, RoleDelete, RoleGet, RoleGetResponse, RoleGrantPermission, RoleList,
    RoleListResponse, RoleRevokePermission, UserAdd, UserChangePassword, UserDelete, UserGet,
    UserGetResponse, UserGrantRole, UserList, UserListResponse, UserRevokeRole,
};
pub use compact::{Compact, CompactResponse, compact};
pub use compare::{Compare, CompareOp, CompareOpError, CompareTarget, Operand};
pub use comparison::{Comparison, compare};
pub use delete::{Delete, DeleteResponse, delete};
pub use get::{Get, GetResponse, SortOrder, SortTarget, get};
pub use lease::{
    Grant, GrantResponse, Leases, LeasesResponse, Revoke, RevokeResponse, TimeToLive,
    TimeToLiveResponse, grant, leases, revoke, time_to_live,
};
pub use op::{Op, OpResponse};
pub use put::{IgnoreLease, IgnoreValue, Put, PutLease, PutResponse, PutValue, put};
pub use txn::{NESTING_LIMIT, Otherwise, Then, Txn, TxnResponse, When, Whole, txn};
pub use watch::{WatchOptions, watch};

use crate::error::Error;
use crate::frame;
use crate::namespace::KeyPrefix;
use crate::rpc::{Rpc, UnaryRequest};
use bytes::Bytes;
use prost::Message;

/// Limits that a request is checked against before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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

impl Limits {
    /// Sets the most compares, or operations of a branch, that one transaction may have.
    #[must_use]
    pub const fn max_txn_ops(mut self, ops: usize) -> Self {
        self.max_txn_ops = ops;
        self
    }

    /// Sets the longest message that is sent, in bytes.
    #[must_use]
    pub const fn max_request_bytes(mut self, bytes: usize) -> Self {
        self.max_request_bytes = bytes;
        self
    }
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

    /// Returns what is to be known of the request to make a call of it.
    fn rpc(&self) -> Rpc;

    /// Checks, completes and encodes the message, with its gRPC head and the prefix before its
    /// keys; the same one each time, for it is encoded anew for each attempt.
    ///
    /// # Errors
    ///
    /// What no server would take, or is over the limits; outcome not sent.
    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error>;

    /// Reads the answer, a message without its gRPC head, and takes the prefix off its keys.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<Self::Response, Error>;
}

/// A message of the API as it is on the wire; its answer is a message, too.
///
/// For what has no typed request. Only values that are known to crash servers are refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw<Q>(pub Q);

impl<Q: UnaryRequest> Operation for Raw<Q> {
    type Response = Q::Response;

    fn rpc(&self) -> Rpc {
        self.0.rpc()
    }

    fn encode(&mut self, limits: &Limits, prefix: Option<&KeyPrefix>) -> Result<Bytes, Error> {
        encode(&self.0, limits, prefix)
    }

    fn decode(self, message: Bytes, prefix: Option<&KeyPrefix>) -> Result<Q::Response, Error> {
        decode::<Q>(message, prefix)
    }
}

fn encode<Q: UnaryRequest>(
    request: &Q,
    limits: &Limits,
    prefix: Option<&KeyPrefix>,
) -> Result<Bytes, Error> {
    request.validate()?;
    let encode = |request: &Q| {
        frame::encode(request, limits.max_request_bytes).map_err(Error::request_too_large)
    };
    // A secret is not copied: no message has both a secret and keys.
    let prefix = prefix.filter(|_| !Q::METHOD.carries_secret());
    let Some(prefix) = prefix else { return encode(request) };
    let mut prefixed = request.clone();
    prefixed.add_prefix(prefix)?;
    encode(&prefixed)
}

/// Refuses a revision below zero, which no store has. To servers it is the current one, or a
/// compacted one in a transaction; as a bound it is none, or one that nothing passes.
fn check_revision(name: &str, revision: i64) -> Result<(), Error> {
    if revision >= 0 {
        return Ok(());
    }
    Err(Error::invalid_request(format!("{name} is {revision}; no revision is negative")))
}

fn decode<Q: UnaryRequest>(
    message: Bytes,
    prefix: Option<&KeyPrefix>,
) -> Result<Q::Response, Error> {
    let mut answer = Q::Response::decode(message).map_err(Error::protocol)?;
    if let Some(prefix) = prefix {
        Q::strip_prefix(&mut answer, prefix)?;
    }
    Ok(answer)
}

/// Makes an [`Operation`] of a typed request, which has its message as `request`. Those whose
/// message needs no more than a check get their methods `request` and `response` too.
macro_rules! operation {
    // Of another package than that of most.
    ($type:ident: $package:ident::$message:ident => $answer:ident => $response:ident) => {
        impl $type {
            /// Returns the message that is sent.
            ///
            /// # Errors
            ///
            /// None.
            pub fn request(
                &mut self,
                _: &crate::request::Limits,
            ) -> Result<&crate::proto::$package::$message, crate::Error> {
                Ok(&self.request)
            }

            /// Reads the message that answers it.
            ///
            /// # Errors
            ///
            /// None.
            pub fn response(
                self,
                answer: crate::proto::$package::$answer,
            ) -> Result<$response, crate::Error> {
                Ok(answer.into())
            }
        }

        crate::request::operation!($type, (), $package::$message => $response);
    };
    ($type:ident: $message:ident => $answer:ident => $response:ident
        $(, $check:expr)? $(; $ordered:ident)?) => {
        impl $type {
            /// Checks and completes the message that is sent.
            ///
            /// # Errors
            ///
            /// What no server would take, and negative revisions; outcome not sent.
            pub fn request(
                &mut self,
                _: &crate::request::Limits,
            ) -> Result<&crate::proto::etcdserverpb::$message, crate::Error> {
                $(let check: fn(&crate::proto::etcdserverpb::$message) -> _ = $check;
                check(&self.request)?;)?
                Ok(&self.request)
            }

            /// Reads the message that answers it.
            ///
            /// # Errors
            ///
            /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
            pub fn response(
                self,
                answer: crate::proto::etcdserverpb::$answer,
            ) -> Result<$response, crate::Error> {
                Ok(answer.into())
            }
        }

        crate::request::operation!($type, (), $message => $response $(; $ordered)?);
    };
    ($type:ty, ($($generics:tt)*), $message:ident => $response:ident $(; $ordered:ident)?) => {
        crate::request::operation!(
            $type, ($($generics)*), etcdserverpb::$message => $response $(; $ordered)?
        );
    };
    // With `ordered`, of one that has a field that says whether it is.
    ($type:ty, ($($generics:tt)*), $package:ident::$message:ident => $response:ident
        $(; $ordered:ident)?) => {
        impl<$($generics)*> crate::request::Operation for $type {
            type Response = $response;

            fn rpc(&self) -> crate::rpc::Rpc {
                crate::rpc::UnaryRequest::rpc(&self.request)$(.$ordered(self.is_ordered()))?
            }

            fn encode(
                &mut self,
                limits: &crate::request::Limits,
                prefix: Option<&crate::namespace::KeyPrefix>,
            ) -> Result<bytes::Bytes, crate::Error> {
                crate::request::encode(self.request(limits)?, limits, prefix)
            }

            fn decode(
                self,
                message: bytes::Bytes,
                prefix: Option<&crate::namespace::KeyPrefix>,
            ) -> Result<$response, crate::Error> {
                use crate::proto::$package::$message;
                self.response(crate::request::decode::<$message>(message, prefix)?)
            }
        }
    };
}
use operation;
