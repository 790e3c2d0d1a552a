//! Real etcd servers, clusters and faulty networks, for tests and demos.
//!
//! Everything here is synchronous, needs neither root nor a container, and stays on the loopback
//! interface with ports chosen at run time.
//!
//! - [`etcd::fetch`] finds etcd binaries; [`etcd::any`] finds just one.
//! - [`protoc::find`] finds the compiler of protocols, for programs that need it to be built;
//!   [`tools`] finds programs that measure others.
//! - [`Server`] is one etcd; [`Cluster`] is several. Both end with the process that started them,
//!   however it ends, and leave no file behind.
//! - [`Authority`] issues certificates, and [`Tls`] makes servers show them.
//! - [`Bridge`] is a TCP proxy that loses, holds or swallows connections between a client and a
//!   server, or what a [`Fault`] says of their bytes. [`Cluster::partition`] does the same between
//!   members. [`BlackHole`] is a port that does not even answer.
//! - [`Nginx`] and [`GrpcProxy`] are real proxies of HTTP/2 and of etcd's API.
//! - [`load`] stretches time limits on a busy machine, and [`strain`] makes it busy.
//!
//! ```no_run
//! let fetched = etcd3_lab::etcd::fetch();
//! for binary in &fetched.binaries {
//!     let server = etcd3_lab::Server::builder().version(binary).start()?;
//!     server.put("greeting", "hello")?;
//!     println!("{} answers at {}", binary.version, server.client_url());
//! }
//! # Ok::<(), etcd3_lab::Error>(())
//! ```
#![forbid(unsafe_code)]

mod apt;
mod black_hole;
mod bridge;
mod builder;
mod certs;
mod child;
mod cluster;
pub mod command;
mod daemon;
mod distribution;
mod error;
pub mod etcd;
mod fault;
pub mod go;
mod grpc_proxy;
pub mod http;
mod json_gateway;
mod jwt;
mod layout;
pub mod load;
mod member;
mod nginx;
pub mod notes;
mod peers;
mod ports;
mod proc;
pub mod protoc;
mod relay;
mod renamed;
pub mod restore;
mod server;
mod socks;
mod spec;
pub mod strain;
mod target;
pub mod tools;
mod version;
mod wait;

pub use black_hole::BlackHole;
pub use bridge::{Bridge, Connections};
pub use builder::{Builder, ClusterBuilder, ServerBuilder};
pub use certs::{Authority, Identity, Leaf, Replace, Tls};
pub use child::{Child, Signal};
pub use cluster::{Cluster, Newcomer};
pub use error::{Error, Result};
pub use fault::{Cut, Direction, Fault, Relays};
pub use grpc_proxy::GrpcProxy;
pub use json_gateway::MemberStatus;
pub use member::Member;
pub use nginx::{Nginx, NginxBuilder, Served};
pub use ports::Ports;
pub use renamed::RenamedFlags;
pub use server::Server;
pub use spec::Spec;
pub use wait::until;
