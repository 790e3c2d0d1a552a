//! This client, to be measured as it comes: with the default configuration, and all endpoints.
#![forbid(unsafe_code)]

mod adapters;

pub use adapters::{Adapter, AsyncStd, Measured, Smol, Tokio};

use bytes::Bytes;
use etcd3_bench::{Client, NoSuchWork, Result};
use etcd3_tokio::{Lease, Watch};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::marker::PhantomData;
use std::time::Duration;

/// How many watches are begun at a time.
const AT_ONCE: usize = 1_000;
/// How many leases are granted at a time.
const GRANTS: usize = 16;
/// How often the server is asked how many renewals there were.
const LOOK: Duration = Duration::from_millis(200);

/// The client on one of its adapters.
#[derive(Debug)]
pub struct Ours<A> {
    client: etcd3_tokio::Client,
    adapter: PhantomData<A>,
}

impl<A> Clone for Ours<A> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), adapter: PhantomData }
    }
}

impl<A> Ours<A> {
    /// Begins so many watches at a revision, 0 for where the store is.
    async fn watch_all(&self, count: u64, revision: i64) -> Result<Vec<Watch>> {
        let begin = |number| {
            let key = format!("v0/{number:06}");
            self.client.watch(key).from_revision(revision).send()
        };
        let watches = stream::iter((0..count).map(begin)).buffer_unordered(AT_ONCE);
        Ok(watches.try_collect().await?)
    }

    /// Returns how often the server did what it counts under this key.
    async fn count(&self, key: Bytes) -> Result<u64> {
        let found = self.client.get(key).await?;
        Ok(found.kvs.first().ok_or("no count")?.value_str()?.parse()?)
    }

    /// Returns how many watchers the server has created.
    async fn created(&self) -> Result<u64> {
        self.count("created".into()).await
    }
}

impl<A: Adapter> Client for Ours<A> {
    type Leases = Vec<Lease>;

    async fn connect(endpoints: &[String]) -> Result<Self> {
        let client = A::connect(etcd3_tokio::Config::new(endpoints)).await?;
        Ok(Self { client, adapter: PhantomData })
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<()> {
        self.client.put(key, value).await?;
        Ok(())
    }

    async fn get(&mut self, key: Bytes) -> Result<usize> {
        let answer = self.client.get(key).await?;
        Ok(answer.kvs.first().map_or(0, |kv| kv.value.len()))
    }

    async fn pages(&mut self, begin: Bytes, end: Bytes) -> Result<u64> {
        let mut pages = self.client.pages(begin..end);
        let mut keys = 0;
        while let Some(page) = pages.try_next().await? {
            keys += page.kvs.len() as u64;
        }
        Ok(keys)
    }

    async fn flood(&mut self, key: Bytes, events: u64) -> Result<()> {
        let mut watch = self.client.watch(key).from_revision(1).await?;
        let mut seen = 0;
        while seen < events {
            let batch = watch.next().await.ok_or("the watch has ended")??;
            seen += batch.events.len() as u64;
        }
        Ok(())
    }

    async fn watchers<F: FnOnce() + Send>(&mut self, count: u64, created: F) -> Result<()> {
        let watches = self.watch_all(count, 1).await?;
        created();
        drop(watches);
        Ok(())
    }

    async fn watchers_now<F: FnOnce() + Send>(&mut self, count: u64, created: F) -> Result<()> {
        let watches = self.watch_all(count, 0).await?;
        created();
        drop(watches);
        Ok(())
    }

    async fn watchers_again<F: FnOnce() + Send>(&mut self, count: u64, cut: F) -> Result<()> {
        let watches = self.watch_all(count, 1).await?;
        let all = self.created().await? + count;
        self.client.compact(1).await?;
        cut();
        while self.created().await? < all {}
        drop(watches);
        Ok(())
    }

    async fn lease_all(&mut self, count: u64, ttl: u64) -> Result<Vec<Lease>> {
        let ttl = Duration::from_secs(ttl);
        let begin = |_| self.client.lease(ttl).send();
        let leases = stream::iter((0..count).map(begin)).buffer_unordered(GRANTS);
        Ok(leases.try_collect().await?)
    }

    async fn renew_all(
        &mut self,
        leases: &mut Vec<Lease>,
        acknowledgements: u64,
        slot: Option<Duration>,
    ) -> Result<()> {
        slot.ok_or(NoSuchWork)?;
        let rt = self.client.runtime();
        let all = self.count("renewed".into()).await? + acknowledgements;
        while self.count("renewed".into()).await? < all {
            rt.sleep_until(rt.now() + LOOK).await;
        }
        match leases.iter().find(|lease| !lease.is_valid()) {
            Some(lost) => Err(format!("{lost:?}").into()),
            None => Ok(()),
        }
    }

    async fn number(&mut self, key: Bytes) -> Result<u64> {
        self.count(key).await
    }
}
