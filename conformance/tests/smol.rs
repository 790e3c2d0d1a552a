//! The suite on smol.
#![forbid(unsafe_code)]

etcd3_conformance::suite! {
    name: "smol",
    runtime: etcd3_smol::Smol::global,
    block_on: smol::block_on,
}
