//! A tour of the API on this runtime; takes the endpoints as arguments.

use std::error::Error;

#[path = "../../client/examples/tour/mod.rs"]
mod tour;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: tour URL[,URL…]")?;
    let client = etcd3_tokio::connect(etcd3_tokio::Config::new(endpoints.split(','))).await?;
    println!("Connected to {endpoints} on tokio");
    tour::tour(&client).await?;
    client.close().await;
    Ok(())
}
