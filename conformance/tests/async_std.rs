//! The suite on async-std.
#![forbid(unsafe_code)]

etcd3_conformance::suite! {
    name: "async-std",
    runtime: etcd3_async_std::AsyncStd::global,
    block_on: async_std::task::block_on,
}
