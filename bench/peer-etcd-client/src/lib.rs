//! etcd-client as it is published, to be measured beside this client.
//!
//! It gets one endpoint, though others get two: given two it spreads its calls over two
//! connections, which costs it more.
#![forbid(unsafe_code)]

use bytes::Bytes;
use etcd_client::{Client, GetOptions, LeaseKeepAliveStream, LeaseKeeper, WatchOptions};
use etcd3_bench::{Result, SLOTS};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// etcd-client, as it is measured.
#[derive(Clone)]
pub struct Peer(Client);

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peer")
    }
}

impl etcd3_bench::Client for Peer {
    type Leases = Vec<(LeaseKeeper, LeaseKeepAliveStream)>;

    async fn connect(endpoints: &[String]) -> Result<Self> {
        Ok(Self(Client::connect(&endpoints[..1], None).await?))
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<()> {
        self.0.put(key, value, None).await?;
        Ok(())
    }

    async fn get(&mut self, key: Bytes) -> Result<usize> {
        let answer = self.0.get(key, None).await?;
        Ok(answer.kvs().first().map_or(0, |kv| kv.value().len()))
    }

    async fn pages(&mut self, begin: Bytes, end: Bytes) -> Result<u64> {
        let (mut keys, mut begin, mut revision) = (0, begin, 0);
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(1000);
            let answer = self.0.get(begin, Some(options.with_revision(revision))).await?;
            keys += answer.kvs().len() as u64;
            revision = answer.header().ok_or("no header")?.revision();
            let Some(last) = answer.kvs().last().filter(|_| answer.more()) else { return Ok(keys) };
            begin = [last.key(), &[0]].concat().into();
        }
    }

    async fn flood(&mut self, key: Bytes, events: u64) -> Result<()> {
        let mut stream = self.0.watch(key, None).await?;
        let mut seen = 0;
        while seen < events {
            seen += stream.message().await?.ok_or("the stream has ended")?.events().len() as u64;
        }
        Ok(())
    }

    async fn watchers<F: FnOnce() + Send>(&mut self, count: u64, created: F) -> Result<()> {
        let mut streams = Vec::new();
        for number in 0..count {
            let key = format!("watched/{number:06}");
            streams.push(self.0.watch(key, Some(WatchOptions::new())).await?);
        }
        created();
        drop(streams);
        Ok(())
    }

    /// Each lease has a stream of its own: that is how the client has it.
    async fn lease_all(&mut self, count: u64, ttl: u64) -> Result<Self::Leases> {
        let (mut kept, ttl) = (Vec::new(), i64::try_from(ttl)?);
        for _ in 0..count {
            let id = self.0.lease_grant(ttl, None).await?.id();
            kept.push(self.0.lease_keep_alive(id).await?);
        }
        Ok(kept)
    }

    /// In slots, each lease has a task that renews it and sleeps, as programs have it that use the
    /// client; otherwise one task renews all of them.
    async fn renew_all(
        &mut self,
        leases: &mut Self::Leases,
        acknowledgements: u64,
        slot: Option<Duration>,
    ) -> Result<()> {
        let count = u32::try_from(leases.len())?;
        let rounds = acknowledgements.div_ceil(u64::from(count));
        let Some(slot) = slot else {
            for _ in 0..rounds {
                for (keeper, _) in leases.iter_mut() {
                    keeper.keep_alive().await?;
                }
                for (_, answers) in leases.iter_mut() {
                    answers.message().await?.ok_or("the stream has ended")?;
                }
            }
            return Ok(());
        };
        let (interval, begin) = (slot * SLOTS, Instant::now());
        let mut tasks = JoinSet::new();
        for ((mut keeper, mut answers), number) in std::mem::take(leases).into_iter().zip(0..) {
            let mut at = begin + interval * number / count;
            tasks.spawn(async move {
                for _ in 0..rounds {
                    sleep_until(at).await;
                    keeper.keep_alive().await?;
                    answers.message().await?.ok_or("the stream has ended")?;
                    at += interval;
                }
                // Held until all are done.
                Result::Ok((keeper, answers))
            });
        }
        while let Some(ended) = tasks.join_next().await {
            leases.push(ended??);
        }
        Ok(())
    }

    async fn number(&mut self, key: Bytes) -> Result<u64> {
        let answer = self.0.get(key, None).await?;
        Ok(answer.kvs().first().ok_or("no number")?.value_str()?.parse()?)
    }
}
