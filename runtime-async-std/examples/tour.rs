//! A tour of the API on this runtime; takes the endpoints as arguments.

use std::error::Error;

#[path = "../../client/examples/tour/mod.rs"]
mod tour;

fn main() -> Result<(), Box<dyn Error>> {
    async_std::task::block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let endpoints = std::env::args().nth(1).ok_or("usage: tour URL[,URL…]")?;
    let client =
        etcd3_async_std::connect(etcd3_async_std::Config::new(endpoints.split(','))).await?;
    println!("Connected to {endpoints} on async-std");
    tour::tour(&client).await?;
    client.close().await;
    Ok(())
}
