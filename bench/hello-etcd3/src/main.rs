//! Puts a key by this client, for `cargo xtask hello`; wants an endpoint as argument.
#![forbid(unsafe_code)]

use etcd3_tokio::Config;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).ok_or("no endpoint")?;
    let client = etcd3_tokio::connect(Config::new([endpoint])).await?;
    client.put("hello", "world").await?;
    Ok(())
}
