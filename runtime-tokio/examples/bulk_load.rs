//! Writes many keys, in transactions of 100 and sixteen of these at once; wants the endpoints as
//! arguments, and may be told how many keys.

use etcd3_tokio::{Client, Error, Outcome, put};
use std::time::Instant;
use tokio::task::JoinSet;

/// A server takes 128 operations in a transaction, unless it was told otherwise.
const BATCH: usize = 100;
const AT_ONCE: usize = 16;

/// Writes a batch until it is certain that it was written: to write a value twice does no harm.
async fn write(client: Client, batch: Vec<(String, String)>) -> Result<(), Error> {
    loop {
        let puts = batch.iter().map(|(key, value)| put(key, value));
        match client.txn().then(puts).await {
            Err(error) if error.outcome() == Outcome::Unknown => {}
            other => return other.map(drop),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().ok_or("usage: bulk_load URL[,URL…] [KEYS]")?;
    let keys: usize = arguments.next().map_or(Ok(2000), |keys| keys.parse())?;
    let client = etcd3_tokio::connect(endpoints).await?;

    let (begin, mut writing) = (Instant::now(), JoinSet::new());
    let mut pairs = (0..keys).map(|n| (format!("example/bulk/{n:08}"), format!("value {n}")));
    loop {
        let batch: Vec<_> = pairs.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            break;
        }
        if writing.len() == AT_ONCE {
            writing.join_next().await.ok_or("one is under way")???;
        }
        writing.spawn(write(client.clone(), batch));
    }
    while let Some(written) = writing.join_next().await {
        written??;
    }
    println!("{keys} keys in {:?}", begin.elapsed());
    client.close().await;
    Ok(())
}
