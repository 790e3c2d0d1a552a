//! The etcd v3 client for every async runtime.
//!
//! Take the adapter of your runtime (`etcd3-tokio`, `etcd3-smol`, `etcd3-async-std`), which
//! re-exports all of this and adds its own `connect`; or implement [`Runtime`] and hand it to
//! [`Client::connect`].
//!
//! - [`Client`] has a method for each operation. It returns a [`Request`]: set options on it, then
//!   await it.
//! - [`get`], [`put`], [`delete`] and [`txn`] make operations as values, for transactions and for
//!   [`Client::execute`].
//! - Keys are named by a [`KeyRange`]: [`key`], [`prefix`], [`from_key`], [`all`], or `"a".."b"`.
//! - Every failure is an [`Error`] that tells its [`kind`](Error::kind) and, for writes the more
//!   important, its [`outcome`](Error::outcome). Print it by its [`report`](Error::report).
//! - [`Config`] has the limits and timeouts.
//!
//! | feature | what for |
//! |---|---|
//! | `tls` | TLS by rustls, configured by a `TlsConfig` |
//! | `tls-native-roots` | `TlsConfig::native_roots`: the authorities that the machine trusts |
//! | `tls-webpki-roots` | `TlsConfig::webpki_roots`: the authorities that Mozilla trusts |
//! | `tls-rustls` | `TlsConfig::from_rustls`: a configuration of rustls as it is |
//!
//! None is on by default.
#![forbid(unsafe_code)]

mod call;
mod client;
mod clock;
mod compat;
mod config;
mod connection_task;
mod control;
#[cfg(test)]
mod count;
mod health;
mod pages;
mod pool;
mod probe;
pub mod request;
pub mod runtime;
mod shared;
#[cfg(test)]
mod still;
mod stream;
mod sync;
mod tasks;
#[cfg_attr(not(feature = "tls"), path = "tls/none.rs")]
mod tls;
mod transport;
mod version;

pub use client::Client;
pub use config::Config;
pub use etcd3_core::error::{ConnectFailure, Phase, Report};
pub use etcd3_core::proto;
pub use etcd3_core::request::{
    Compact, CompactResponse, Compare, Delete, DeleteResponse, Get, GetResponse, IgnoreLease,
    IgnoreValue, Limits, Op, OpResponse, Operation, Put, PutLease, PutResponse, PutValue, Raw,
    SortOrder, SortTarget, Txn, TxnResponse, compact, delete, get, key_exists, key_missing, put,
    txn,
};
pub use etcd3_core::{
    Bytes, Code, Error, ErrorKind, IntoBytes, KeyRange, KeyValue, Outcome, ResponseHeader,
    ServerError, Status, UnaryRequest, all, from_key, key, prefix,
};
pub use health::{EndpointHealth, EndpointState, Health, HealthChanges};
pub use pages::Pages;
pub use request::{Request, RequestFuture};
#[doc(hidden)]
pub use stream::{RawStream, StreamEvent};
#[cfg(feature = "tls")]
pub use tls::TlsConfig;
