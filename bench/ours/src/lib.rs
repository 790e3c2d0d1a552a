//! This client, to be measured as it comes: with the default configuration, and all endpoints.
#![forbid(unsafe_code)]

mod adapters;

pub use adapters::{Adapter, AsyncStd, Smol, Tokio};

use bytes::Bytes;
use etcd3_bench::{Client, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::marker::PhantomData;

/// How many watches are begun at a time.
const AT_ONCE: usize = 1_000;

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

impl<A: Adapter> Client for Ours<A> {
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
        let begin = |number| {
            let key = format!("watched/{number:06}");
            self.client.watch(key).from_revision(1).send()
        };
        let begun = stream::iter((0..count).map(begin)).buffer_unordered(AT_ONCE);
        let watches: Vec<_> = begun.try_collect().await?;
        created();
        drop(watches);
        Ok(())
    }
}
