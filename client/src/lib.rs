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
mod request;
mod runtime;
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
pub use clock::Clock;
pub use compat::Compat;
pub use config::Config;
pub use etcd3_core as core;
pub use etcd3_core::error::{ConnectFailure, Phase};
pub use etcd3_core::request::{
    CompactResponse, DeleteResponse, GetResponse, PutResponse, TxnResponse,
};
pub use etcd3_core::{
    Bytes, Code, Compact, Compare, Delete, Error, ErrorKind, Get, IgnoreLease, IgnoreValue,
    Instant, IntoBytes, KeyRange, KeyValue, Op, OpResponse, Outcome, Put, ResponseHeader,
    ServerError, SortOrder, SortTarget, Status, Txn, all, delete, from_key, get, key, key_exists,
    key_missing, prefix, proto, put, txn,
};
pub use health::{EndpointHealth, EndpointState, Health, HealthChanges};
pub use pages::Pages;
pub use request::{Request, RequestFuture};
pub use runtime::{BoxFuture, Io, Runtime, Target};
#[doc(hidden)]
pub use stream::{RawStream, StreamEvent};
#[cfg(feature = "tls")]
pub use tls::TlsConfig;
pub use transport::lookup::Lookup;
