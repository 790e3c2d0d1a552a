//! Moves an amount between two accounts, if nobody else changed them meanwhile; wants the endpoints
//! as arguments.

use etcd3_smol::{Config, key, put};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    smol::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: txn URL[,URL…]")?;
    let client = etcd3_smol::connect(Config::new(endpoints.split(','))).await?;
    client.put("example/alice", "100").await?;
    client.put("example/bob", "0").await?;

    loop {
        let alice = client.get("example/alice").await?;
        let bob = client.get("example/bob").await?;
        let amount = |value: &[u8]| std::str::from_utf8(value).unwrap_or("0").parse::<i64>();
        let (a, b) = (amount(&alice.kvs[0].value)?, amount(&bob.kvs[0].value)?);
        let moved = client
            .txn()
            .when([
                key("example/alice").mod_revision().eq(alice.kvs[0].mod_revision),
                key("example/bob").mod_revision().eq(bob.kvs[0].mod_revision),
            ])
            .then([
                put("example/alice", (a - 10).to_string()),
                put("example/bob", (b + 10).to_string()),
            ])
            .await?;
        if moved.succeeded {
            println!("moved 10 at revision {}", moved.header.revision);
            break;
        }
    }
    client.close().await;
    Ok(())
}
