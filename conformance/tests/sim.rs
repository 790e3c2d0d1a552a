//! The suite on the simulator, against the model.
#![forbid(unsafe_code)]

etcd3_conformance::suite! { name: "sim", seed: 1 }
