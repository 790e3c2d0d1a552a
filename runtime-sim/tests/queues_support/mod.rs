//! What the tests of queues, barriers and counters have in common: answers that are lost, and
//! futures that are dropped.
#![allow(dead_code, reason = "each program of tests uses a part")]

use crate::lease_support::Scene;
use etcd3_sim::{Cut, CutLater, Direction, World};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Has the connections of the client reset once they have carried more bytes this way.
pub(crate) fn cut_after(world: &World, scene: &Scene, direction: Direction, bytes: u64) {
    for member in 0..scene.etcd.members() {
        let later = CutLater { direction, bytes, cut: Cut::Reset };
        world.net().cut_later(scene.host.id(), scene.etcd.address(member), later);
    }
}

/// Forgets the cuts that have not come.
pub(crate) fn forget_cuts(world: &World, scene: &Scene) {
    for member in 0..scene.etcd.members() {
        world.net().forget_cuts(scene.host.id(), scene.etcd.address(member));
    }
}

/// Polls a future so often, and drops it; its output if it was ready before.
pub(crate) async fn polled<T>(times: u32, future: impl Future<Output = T>) -> Option<T> {
    let (mut future, mut left) = (pin!(future), times);
    poll_fn(move |cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            // It is dropped at the moment at which it would be polled once more.
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Returns the keys and values under a prefix, as others see them.
pub(crate) async fn pairs(scene: &Scene, prefix: &str) -> Vec<(String, String)> {
    let found = scene.observer.get(etcd3::prefix(prefix.to_owned())).await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    found.kvs.iter().map(|pair| (text(&pair.key), text(&pair.value))).collect()
}

/// Returns the values under a prefix.
pub(crate) async fn values(scene: &Scene, prefix: &str) -> Vec<String> {
    pairs(scene, prefix).await.into_iter().map(|(_, value)| value).collect()
}
