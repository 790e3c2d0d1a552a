//! Protobuf messages of the etcd v3 API, generated ahead of time.
//!
//! One module for each protobuf package: [`etcdserverpb`] holds the requests and responses,
//! [`mvccpb`] and [`authpb`] what they contain, [`v3lockpb`] and [`v3electionpb`] the messages of
//! the lock and election services, [`health`] those of the standard gRPC health service. The
//! schema is that of etcd 3.7; comments say which version brought a field. Older servers ignore
//! fields they do not know, and so does this crate. There is no gRPC here, only messages: see
//! `etcd3` for a client.
//!
//! ```
//! use etcd3_proto::etcdserverpb::{RangeRequest, RangeResponse};
//! use prost::Message;
//!
//! let request = RangeRequest { key: "colour".into(), limit: 1, ..Default::default() };
//! let body = request.encode_to_vec();
//! assert_eq!(RangeRequest::decode(body.as_slice())?, request);
//! assert_eq!(RangeResponse::decode([].as_slice())?.count, 0);
//! # Ok::<(), prost::DecodeError>(())
//! ```
//!
//! # Types
//!
//! Keys and values, like every `bytes` field, are [`prost::bytes::Bytes`]: decoding from a
//! `Bytes` shares its memory instead of copying. Enum fields are `i32`, so that values of later
//! versions survive; accessors of the same name give the enum. Each message implements
//! [`prost::Name`].
//!
//! `Debug` of a message with a password or a token prints `<redacted>` in its place. That of
//! every other message prints all it contains, keys and values included.
//!
//! # How it is made
//!
//! The code in `src/generated/` comes from the files in `proto/`, written for this crate, by way
//! of `protox` and `prost-build`; neither this crate nor its users need `protoc`. What the derive
//! macros of `prost` would make is written out in it, so that no user has to compile them. After
//! a change of a `.proto` file run
//!
//! ```text
//! cargo xtask proto
//! ```
//!
//! and commit what it writes. `cargo run -p etcd3-proto-codegen -- --check` fails when that was
//! forgotten. Field names of the schema become snake case; `peerURLs` and `clientURLs` become
//! `peer_urls` and `client_urls`.
#![forbid(unsafe_code)]

mod debug;
mod redacted;

/// Makes room for one message where there is none: most lists have one, and a vector that grows by
/// itself begins with four.
fn with_room<T>(list: &mut Vec<T>) -> &mut Vec<T> {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list
}

/// Users, roles and permissions of the auth store: package `authpb`.
#[allow(clippy::all, clippy::pedantic)]
pub mod authpb {
    include!("generated/authpb.rs");
}

/// Requests and responses of the client API: package `etcdserverpb`.
#[allow(clippy::all, clippy::pedantic)]
pub mod etcdserverpb {
    include!("generated/etcdserverpb.rs");
}

/// Messages of the standard gRPC health service: package `grpc.health.v1`.
#[allow(clippy::all, clippy::pedantic)]
pub mod health {
    include!("generated/grpc.health.v1.rs");
}

/// Key-value pairs and their changes: package `mvccpb`.
#[allow(clippy::all, clippy::pedantic)]
pub mod mvccpb {
    include!("generated/mvccpb.rs");
}

/// Messages of the election service: package `v3electionpb`.
#[allow(clippy::all, clippy::pedantic)]
pub mod v3electionpb {
    include!("generated/v3electionpb.rs");
}

/// Messages of the lock service: package `v3lockpb`.
#[allow(clippy::all, clippy::pedantic)]
pub mod v3lockpb {
    include!("generated/v3lockpb.rs");
}

/// The whole schema, services included, as an encoded `google.protobuf.FileDescriptorSet`.
///
/// For tools that work by reflection, such as a mock server or a printer of messages. Comments
/// and source positions are left out. A program that does not name this constant does not
/// contain it.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/descriptors.bin");
