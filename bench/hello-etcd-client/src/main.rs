//! Puts a key by etcd-client, for `cargo xtask hello`; wants an endpoint as argument.
#![forbid(unsafe_code)]

use etcd_client::Client;
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = std::env::args().nth(1).ok_or("no endpoint")?;
    let mut client = Client::connect([endpoint], None).await?;
    client.put("hello", "world", None).await?;
    Ok(())
}
