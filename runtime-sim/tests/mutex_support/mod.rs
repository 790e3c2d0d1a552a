//! What tests of locks look at.
#![allow(dead_code, reason = "each program of tests uses a part")]

use etcd3_sim::Etcd;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Polls a future so many times at most, and drops it then; its result, if it had one.
pub(crate) async fn polled<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut left = times;
    let mut future = pin!(future);
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Returns how many watchers the members have.
pub(crate) fn watchers(etcd: &Etcd) -> usize {
    etcd.model(|cluster, _| cluster.watch_counts().1)
}
