//! The suite on tokio.
#![forbid(unsafe_code)]

etcd3_conformance::suite! {
    name: "tokio",
    runtime: etcd3_tokio::Tokio::current,
    block_on: |case| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build()?.block_on(case)
    },
}
