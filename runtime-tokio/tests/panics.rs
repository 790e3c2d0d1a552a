//! What panics outside of a tokio runtime, and what does not.

use etcd3_tokio::{Config, ErrorKind, Tokio};
use std::panic::{AssertUnwindSafe, catch_unwind};

const URL: &str = "http://127.0.0.1:2379";

#[test]
fn outside_of_a_runtime_there_is_nothing_to_run_on() {
    assert!(catch_unwind(Tokio::current).is_err());
    assert!(catch_unwind(|| etcd3_tokio::connect_lazy(Config::new([URL]))).is_err());
    // The future can be made, and not polled.
    let connecting = AssertUnwindSafe(etcd3_tokio::connect(Config::new([URL])));
    assert!(catch_unwind(|| futures_lite::future::block_on(connecting)).is_err());
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_and_not_panicked_about() {
    let unreadable = || Config::new(["http://"]);
    for error in [
        etcd3_tokio::connect_lazy(unreadable()).expect_err("no host"),
        etcd3_tokio::connect(unreadable()).await.expect_err("no host"),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error}");
    }
}
