//! The etcd v3 client for every async runtime.
//!
//! A *program* takes the adapter of its runtime (`etcd3-tokio`, `etcd3-smol`, `etcd3-async-std`),
//! which re-exports all of this and adds its own `connect`. A *library* depends on this crate alone
//! and takes a `&etcd3::Client`. On another runtime, implement
//! [`Runtime`](runtime::Runtime) and hand it to [`Client::connect_on`].
//!
//! ```
//! use etcd3::{Client, Error, key, put};
//!
//! /// Claims a name, if nobody has it.
//! async fn claim(client: &Client, name: &str, who: &str) -> Result<bool, Error> {
//!     let free = key(name).missing();
//!     let done = client.txn().when([free]).then([put(name, who)]).await?;
//!     Ok(done.succeeded)
//! }
//! # etcd3_sim::example(|client| async move {
//! # assert!(claim(&client, "names/a", "me").await?);
//! # assert!(!claim(&client, "names/a", "you").await?);
//! # Ok(())
//! # });
//! ```
//!
//! - [`Client`] has a method for each operation. It returns a [`Request`]: set options on it, then
//!   await it, or [`send`](Request::send) it.
//! - [`get`], [`put`], [`delete`] and [`txn`] make operations as values, for transactions and for
//!   [`Client::execute`].
//! - Keys are named by a [`KeyRange`]: [`key`], [`prefix`], [`from_key`], [`all`], or `"a".."b"`.
//! - Every failure is an [`Error`] that tells its [`kind`](Error::kind) and, for writes the more
//!   important, its [`outcome`](Error::outcome). Print it by its [`report`](Error::report).
//! - [`Config`] has the limits and timeouts, from a program, a URL, a file or the environment.
//! - [`recipes`] has locks, elections, queues and more, made of these operations.
//! - [`parity`] has every name of Go's clientv3, and what there is here.
//! - [`request`] has what requests are made of, [`runtime`] what adapters need, [`proto`] the
//!   messages of the wire. The last change with etcd and with prost, outside of the promises that
//!   versions of this crate make.
//!
//! # Operations
#![doc = crate::operations_table!()]
//! # Pages
#![doc = crate::list_of_pages!()]
//! # Features
//!
//! | feature | what for |
//! |---|---|
//! | `tls` | TLS by rustls, configured by a `TlsConfig`; the same as `tls-ring` |
//! | `tls-ring` | TLS with the cryptography of ring |
//! | `tls-native-roots` | `TlsConfig::native_roots`: the authorities that the machine trusts |
//! | `tls-webpki-roots` | `TlsConfig::webpki_roots`: the authorities that Mozilla trusts |
//! | `tls-rustls` | `TlsConfig::from_rustls`: a configuration of rustls as it is |
//! | `config-file` | `Config::from_file`, `from_yaml` and `from_toml`, and `Deserialize` of serde |
//! | `tracing-spans` | a span of `tracing` for each call; [`trace`] says what is in it |
//!
//! None is on by default. Those from `tls-native-roots` to `tls-rustls` add to `tls`. No default
//! provider of the process is read or set.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod auth;
mod blocking;
mod cache;
mod call;
mod client;
mod clock;
mod closed;
mod cluster;
mod compat;
mod config;
mod connection_task;
mod control;
#[cfg(test)]
mod count;
mod either;
mod front_page;
mod handle;
mod health;
mod join_all;
mod lease;
mod list_watch;
mod lookup;
mod maintenance;
mod metrics;
mod namespace;
mod operations;
mod pages;
pub mod parity;
mod pool;
mod probe;
mod range_stream;
pub mod raw;
pub mod recipes;
pub mod request;
pub mod runtime;
mod session;
mod shared;
mod snapshot;
#[cfg(test)]
mod still;
mod stream;
mod sync;
mod tasks;
mod telemetry;
#[cfg_attr(not(feature = "_tls"), path = "tls/none.rs")]
mod tls;
mod tokens;
pub mod trace;
mod transport;
mod version;
mod watch;

pub use auth::Auth;
pub use cache::{Cache, CacheChanges, CacheItem, CachedValue};
pub use client::Client;
pub use cluster::{Cluster, ClusterView, Disagreement, MemberView};
pub use config::Config;
pub use etcd3_core::auth::TokenReason;
pub use etcd3_core::error::{Cause, ConnectFailure, Phase, Report};
pub use etcd3_core::lease::{LeaseLost, LossReason};
pub use etcd3_core::proto;
pub use etcd3_core::request::cluster::{
    Member, MemberAddResponse, MemberListResponse, MemberPromoteResponse, MemberRemoveResponse,
    MemberUpdateResponse,
};
pub use etcd3_core::request::maintenance::{
    Alarm, AlarmKind, AlarmsResponse, DefragmentResponse, DowngradeInfo, DowngradeResponse,
    HashKvResponse, HashResponse, MemberStatus, MoveLeaderResponse, Serving,
};
pub use etcd3_core::request::{
    AuthResponse, AuthStatusResponse, Permission, PermissionType, RoleGetResponse,
    RoleListResponse, UserGetResponse, UserListResponse,
};
pub use etcd3_core::request::{
    Compact, CompactResponse, Compare, CompareOp, Delete, DeleteResponse, Get, GetResponse,
    GrantResponse, IgnoreLease, IgnoreValue, Leases, LeasesResponse, Limits, Op, OpResponse,
    Operation, Put, PutLease, PutResponse, PutValue, Raw, RevokeResponse, SortOrder, SortTarget,
    TimeToLive, TimeToLiveResponse, Txn, TxnResponse, WatchOptions, compact, delete, get, put, txn,
    watch,
};
pub use etcd3_core::snapshot::SnapshotProgress;
pub use etcd3_core::watch::{Event, EventKind, Previous, ResumeToken, WatchBatch};
pub use etcd3_core::{
    Bytes, Code, Difference, Error, ErrorKind, IntoBytes, KeyRange, KeyValue, LeaseId, MemberId,
    Outcome, ResponseHeader, Secret, ServerError, Status, UnaryRequest, Version, all, from_key,
    key, ops, prefix,
};
pub use health::{EndpointHealth, EndpointState, Health, HealthChanges};
pub use lease::grant::Grant;
pub use lease::revoke::Revoke;
pub use lease::{KeepAliveOnceResponse, Lease, LeaseLoss, LeaseStatus, LeaseStatusChanges};
pub use list_watch::{ListWatch, ListWatchItem};
pub use maintenance::{EndpointStatus, Maintenance, ServingChanges};
pub use metrics::{
    CallClass, CallMetrics, ConnectionMetrics, Latencies, LeaseMetrics, Metrics, WatchMetrics,
};
pub use pages::{KeyValues, Pages};
pub use range_stream::RangeStream;
pub use request::{Request, RequestFuture};
pub use session::{OnLoss, Registration, Session, SessionTurn, SessionTurns};
pub use snapshot::{SaveSnapshot, SavedSnapshot, Snapshot};
#[doc(hidden)]
pub use stream::{RawStream, StreamEvent};
#[cfg(feature = "_tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub use tls::TlsConfig;
pub use watch::{Watch, WatchHandle, WatchItem, WatchItems, WatchRanges, WatchStatus};
