//! This client, to be measured as it comes: with the default configuration, and all endpoints.
#![forbid(unsafe_code)]

mod adapters;

pub use adapters::{Adapter, AsyncStd, Smol, Tokio};

use bytes::Bytes;
use etcd3_bench::{Client, Result};
use futures_lite::StreamExt;
use std::marker::PhantomData;

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
}
