//! Writes a few keys, reads and watches them; takes the endpoints as argument.

use etcd3_tokio::{get, key, prefix, put};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).unwrap_or("http://127.0.0.1:2379".into());
    let client = etcd3_tokio::connect(endpoints).await?;

    client.put("config/colour", "red").await?;
    let page = client.get(prefix("config/")).limit(100).await?;
    for pair in &page.kvs {
        println!("{} = {} since {}", pair.key_str()?, pair.value_str()?, pair.mod_revision);
    }

    let done = client
        .txn()
        .when([key("config/owner").missing()])
        .then([put("config/owner", "me")])
        .otherwise([get("config/owner")])
        .await?;
    println!("created: {} at revision {}", done.succeeded, done.header.revision);

    let mut watch = client.watch(prefix("config/")).await?;
    client.put("config/colour", "blue").await?;
    if let Some(batch) = watch.next().await {
        for event in &batch? {
            println!("{} {} at {}", event.kind, event.kv.key_str()?, event.revision());
        }
    }
    Ok(())
}
