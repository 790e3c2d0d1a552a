//! Sans-IO protocol core of the etcd3 client.
//!
//! Pure state machines and plain data: nothing here waits, reads a clock, rolls dice, opens a
//! socket or needs a runtime. Time and seeds are arguments; failures are outputs. Use it through
//! `etcd3` and an adapter for your runtime, or take it alone:
//!
//! - *Another transport*: drive a [`call::Call`] by hand, as `examples/by_hand.rs` does without any
//!   async code.
//! - *Only the wire*: build requests with [`request`], frame them with [`frame`], judge answers
//!   with [`status`], [`server_error`] and [`retry`].
//!
//! Every machine is driven the same way; [`Machine`] says how.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod attempt;
pub mod auth;
pub mod backoff;
pub mod call;
pub mod channel;
pub mod endpoint;
pub mod error;
pub mod frame;
mod header;
mod key_range;
mod key_value;
mod known_keys;
#[cfg(feature = "laws")]
#[cfg_attr(docsrs, doc(cfg(feature = "laws")))]
pub mod laws;
pub mod lease;
mod lease_id;
mod machine;
mod member_id;
pub mod metadata;
pub mod method;
pub mod namespace;
mod outcome;
pub mod request;
pub mod retry;
pub mod rng;
pub mod rpc;
mod secret;
pub mod server_error;
mod signal;
pub mod snapshot;
pub mod status;
pub mod stream;
mod time;
pub mod transport;
mod version;
pub mod watch;

pub use bytes::Bytes;
pub use error::{Error, ErrorKind};
pub use etcd3_proto as proto;
pub use header::ResponseHeader;
pub use key_range::{IntoBytes, KeyRange, all, from_key, key, prefix};
pub use key_value::KeyValue;
pub use known_keys::{Difference, KnownKeys};
pub use lease_id::LeaseId;
pub use machine::{Machine, Next};
pub use member_id::MemberId;
pub use outcome::Outcome;
pub use request::{
    Compact, Compare, Delete, Get, IgnoreLease, IgnoreValue, Limits, Op, OpResponse, Operation,
    Put, Raw, SortOrder, SortTarget, Txn, compact, delete, get, put, txn,
};
pub use rpc::{Rpc, UnaryRequest};
pub use secret::Secret;
pub use server_error::ServerError;
pub use status::{Code, Status};
pub use time::Instant;
pub use version::Version;
