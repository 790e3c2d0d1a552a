//! The floor where servers end their connections: it connects again at once.

use crate::Floor;
use bytes::Bytes;
use etcd3_bench::{Client, Error, Result};
use h2::Reason;
use std::sync::Arc;
use tokio::sync::Mutex;

/// A connection, and the next one as soon as a call finds it at its end.
#[derive(Debug, Clone)]
pub struct Redialling {
    endpoints: Arc<[String]>,
    newest: Arc<Mutex<Numbered>>,
    mine: Numbered,
}

/// A connection with its number, from 0.
#[derive(Debug, Clone)]
struct Numbered {
    number: u64,
    floor: Floor,
}

impl Client for Redialling {
    type Leases = ();

    async fn connect(endpoints: &[String]) -> Result<Self> {
        let mine = Numbered { number: 0, floor: Floor::connect(endpoints).await? };
        Ok(Self { endpoints: endpoints.into(), newest: Arc::new(Mutex::new(mine.clone())), mine })
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<()> {
        loop {
            match self.mine.floor.put(key.clone(), value.clone()).await {
                Err(error) if is_unprocessed(&error) => self.redial().await?,
                done => return done,
            }
        }
    }

    async fn get(&mut self, key: Bytes) -> Result<usize> {
        loop {
            match self.mine.floor.get(key.clone()).await {
                Err(error) if is_unprocessed(&error) => self.redial().await?,
                done => return done,
            }
        }
    }
}

impl Redialling {
    /// Takes the newest connection, or makes it, unless another caller has.
    async fn redial(&mut self) -> Result<()> {
        let mut newest = self.newest.lock().await;
        if newest.number == self.mine.number {
            let floor = Floor::connect(&self.endpoints).await?;
            *newest = Numbered { number: newest.number + 1, floor };
        }
        self.mine = newest.clone();
        Ok(())
    }
}

/// Tells whether a call failed because its connection was ended in an orderly way before the server
/// looked at it.
fn is_unprocessed(error: &Error) -> bool {
    let error = error.downcast_ref::<h2::Error>();
    error.is_some_and(|error| {
        let is_orderly = error.is_go_away() && error.reason() == Some(Reason::NO_ERROR);
        is_orderly || error.reason() == Some(Reason::REFUSED_STREAM)
    })
}
