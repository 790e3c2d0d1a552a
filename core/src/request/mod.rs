//! Typed requests of the key-value API, and their answers.
//!
//! Each request holds the message it will send; an option that does not belong to a request does
//! not exist on it (K11). The constructors are [`get`], [`put`], [`delete`], [`txn`] and
//! [`compact`].

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
use crate::rpc::UnaryRequest;
use etcd3_proto::etcdserverpb::ResponseHeader;

/// Limits that a request is checked against before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most compares, or operations of a branch, that one transaction may have: the server's
    /// `--max-txn-ops` (K31). 128 by default.
    pub max_txn_ops: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_txn_ops: 128 }
    }
}

/// A typed request: a message to send, and how to read the answer.
pub trait Operation {
    /// The message that is sent.
    type Request: UnaryRequest;
    /// What the caller gets.
    type Response;

    /// Checks and completes the message.
    ///
    /// # Errors
    ///
    /// What no server would take; outcome not sent.
    fn request(&mut self, limits: &Limits) -> Result<&Self::Request, Error>;

    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is no answer to this request.
    fn response(
        self,
        answer: <Self::Request as UnaryRequest>::Response,
    ) -> Result<Self::Response, Error>;
}

/// Headers are on every answer of a real server; a missing one reads as zeros.
fn header(header: Option<ResponseHeader>) -> ResponseHeader {
    header.unwrap_or_default()
}
