//! Every name that Go's `clientv3` exports, and what there is here: for those who know it.
//!
//! Of the version of etcd 3.1, and of the newest one with its packages. A name of a method or field
//! stands after that of its type. `tests/parity.rs` compares the lists with the exported names.
//!
#![doc = concat!(
    "How a whole program is ported, [the page on that](", env!("CARGO_PKG_REPOSITORY"),
    "/blob/HEAD/docs/migrating-from-clientv3.md) says."
)]
//!
//! # What instead
//!
//! There is one [`Client`](crate::Client), which cannot be taken apart. Instead of `Dial`,
//! `ActiveConnection`, `Retry…Client`, `New…From…Client` and `NewCtxClient` there is a client that
//! is [pinned](crate::Client::pinned_to) to one member, any unary call by
//! [`rpc`](crate::Client::rpc), the [`health`](crate::Client::health) of the connections, retries
//! that every call has, and the core by itself.
#![doc = concat!(
    "[That page](", env!("CARGO_PKG_REPOSITORY"),
    "/blob/HEAD/docs/migrating-from-clientv3.md#connections-and-parts-of-a-client) has a paragraph \
     on each."
)]
//!
#![doc = include_str!("client.md")]
#![doc = ""]
#![doc = include_str!("operations.md")]
#![doc = ""]
#![doc = include_str!("removed.md")]
#![doc = ""]
#![doc = include_str!("packages.md")]
#![doc = ""]
// What a build without some features does not have is described by what it has.
#![cfg_attr(feature = "config-file", doc = "[file]: crate::Config::from_file")]
#![cfg_attr(not(feature = "config-file"), doc = "[file]: crate::Config")]
#![cfg_attr(feature = "_tls", doc = include_str!("tls.md"))]
#![cfg_attr(not(feature = "_tls"), doc = include_str!("no_tls.md"))]
