//! Writes a few keys and reads them; wants the endpoints as argument.

use etcd3_tokio::{Config, get, key, prefix, put};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).unwrap_or("http://127.0.0.1:2379".into());
    let client = etcd3_tokio::connect(Config::new(endpoints.split(','))).await?;

    client.put("config/colour", "red").await?;
    let page = client.get(prefix("config/")).limit(100).await?;
    for kv in &page.kvs {
        println!("{:?} = {:?} since revision {}", kv.key, kv.value, kv.mod_revision);
    }

    let done = client
        .txn()
        .when([key("config/owner").version().eq(0)])
        .then([put("config/owner", "me")])
        .otherwise([get("config/owner")])
        .await?;
    println!("created: {} at revision {}", done.succeeded, done.header.revision);
    Ok(())
}
