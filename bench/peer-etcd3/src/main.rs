//! Reads by this client, for `cargo xtask compare`.
//!
//! The arguments are how many gets there are, how many milliseconds each may take, and the
//! endpoints. It writes `ready` when it has a client, waits for a line, and then writes `ok` or
//! `err` for each get, with its milliseconds, and for an error what it says.
#![forbid(unsafe_code)]

use etcd3_tokio::{Client, Config};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::time::timeout;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let count: u32 = words.next().ok_or("no count")?.parse()?;
    let limit = Duration::from_millis(words.next().ok_or("no limit")?.parse()?);
    let client = etcd3_tokio::connect(Config::new(words)).await?;
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    for _ in 0..count {
        let begin = Instant::now();
        let result = timeout(limit, get(&client)).await.unwrap_or_else(|late| Err(late.into()));
        let millis = begin.elapsed().as_millis();
        match result {
            Ok(()) => println!("ok {millis}"),
            Err(error) => println!("err {millis} {}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}

async fn get(client: &Client) -> Result<(), Box<dyn Error>> {
    client.get("compare").await?;
    Ok(())
}
