//! A model of etcd: what servers answer, without servers.
//!
//! Pure and deterministic: time and seeds are arguments, nothing waits, and the same calls give the
//! same answers. It speaks etcd's own messages, and its refusals have the codes and texts of the
//! servers of a chosen version ([`Personality`]).
//!
//! - [`Cluster`] is what a server is built on: members with one log, time, faults, streams.
//! - [`rpc`] turns gRPC paths and bytes into [`Request`]s, and [`Response`]s into bytes.
//! - [`Store`], [`WatchStream`] and [`Auth`] are the parts of a member.
//!
//! What is simpler than in etcd: there is no raft but its outcome (one log, a leader, an election
//! after a time); tokens are the simple ones, never JWT; buffers of watch streams have no bounds;
//! a snapshot is no file that etcd could restore; hashes have other values; a downgrade changes no
//! server; changes of the membership are not there.

mod auth;
mod check;
mod cluster;
mod compact;
mod downgrade;
mod hash;
mod keys;
mod lease;
mod personality;
mod range;
mod refusal;
mod replica;
pub mod rpc;
mod store;
mod txn;
mod watch;

pub use auth::Auth;
pub use cluster::{
    Call, Cluster, ClusterConfig, Database, Delays, LeaseEnd, MemberConfig, Output, SnapshotFault,
    StreamId, StreamOptions, Ticket,
};
pub use lease::{Lease, Leases, min_ttl};
pub use personality::{Personality, ProgressPolicy};
pub use replica::Replica;
pub use rpc::{Request, Response, RpcResult};
pub use store::Store;
pub use watch::{Source, WatchConfig, WatchStream};
