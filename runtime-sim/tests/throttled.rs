//! Retries that the budget does not pay for: they wait, and the client goes on.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Client, Config};
use etcd3_sim::{ClusterConfig, Personality, run};
use futures_lite::future;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// More reads than the budget pays retries for until their deadline.
const READS: usize = 400;

/// Makes that many reads at once of a cluster without a leader, and tells how often they were sent.
async fn reads(client: &Client) -> u32 {
    let read = || Box::pin(client.get("k").require_leader(true).timeout(15 * SECOND).into_future());
    let mut pending: Vec<_> = (0..READS).map(|_| read()).collect();
    let mut sent = 0;
    poll_fn(|cx| {
        pending.retain_mut(|read| match Pin::new(read).poll(cx) {
            Poll::Ready(result) => {
                sent += result.unwrap_err().attempts();
                false
            }
            Poll::Pending => true,
        });
        if pending.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    sent
}

// I-R7: each poll of a call ends, though nothing pays for its retry.
#[test]
fn reads_without_a_budget_wait_and_end_in_time() {
    run(1, |world| async move {
        let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed()));
        let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
        client.put("k", "v").await.unwrap();
        for member in [1, 2] {
            etcd.kill(member);
        }
        world.sleep(5 * SECOND).await;
        let began = world.now();
        let sent = reads(&client).await;
        assert_eq!(world.now().saturating_since(began), 15 * SECOND);
        // The budget pays for 1,100 retries; each read is made again after the longest backoff
        // then.
        assert!(sent > 1_500 && sent < 4_500, "{sent} attempts");

        for member in [1, 2] {
            etcd.revive(member);
        }
        let read = async { client.get("k").await.map(|found| found.count) };
        let late = async {
            world.sleep(30 * SECOND).await;
            Ok(0)
        };
        assert_eq!(future::or(read, late).await.unwrap(), 1, "the client still works");
    })
    .unwrap();
}
