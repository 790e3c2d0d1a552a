//! Writes a key and reads it back; takes the endpoints as arguments.

use etcd3_async_std::Config;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    async_std::task::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: get_put URL[,URL…]")?;
    let client = etcd3_async_std::connect(Config::new(endpoints.split(','))).await?;

    let written = client.put("example/greeting", "hello").await?;
    println!("written at revision {}", written.header.revision);

    let answer = client.get("example/greeting").await?;
    for kv in &answer.kvs {
        println!("{:?} = {:?}, changed at revision {}", kv.key, kv.value, kv.mod_revision);
    }
    client.close().await;
    Ok(())
}
