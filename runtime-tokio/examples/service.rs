//! A service that others find: registers its address for as long as it runs, and shows which ones
//! there are. Takes the endpoints as argument.

use etcd3_tokio::{Client, Error, LeaseStatus, ListWatchItem, prefix};
use std::collections::BTreeSet;
use std::time::Duration;

const SERVICES: &str = "example/services/";

/// Prints the addresses whenever they change, until so many are there.
async fn discover(client: &Client, count: usize) -> Result<(), Error> {
    let mut list = client.list_watch(prefix(SERVICES));
    let mut services = BTreeSet::new();
    while let Some(item) = list.next().await.transpose()? {
        let is_whole = matches!(item, ListWatchItem::Listed(_) | ListWatchItem::Events(_));
        for difference in item.into_differences() {
            match difference {
                etcd3_tokio::Difference::Put(pair) => services.insert(pair.key),
                etcd3_tokio::Difference::Delete(key) => services.remove(&key),
                _ => false,
            };
        }
        if is_whole {
            println!("{} services: {services:?}", services.len());
            if services.len() == count {
                break;
            }
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoints = std::env::args().nth(1).unwrap_or("http://127.0.0.1:2379".into());
    let client = etcd3_tokio::connect(endpoints).await?;
    client.delete(prefix(SERVICES)).await?;

    let seen = tokio::spawn({
        let client = client.clone();
        async move { discover(&client, 2).await }
    });
    let ttl = Duration::from_secs(5);
    let web = client.register(format!("{SERVICES}web"), "10.0.0.1:80").ttl(ttl).await?;
    let mail = client.register(format!("{SERVICES}mail"), "10.0.0.2:25").ttl(ttl).await?;
    seen.await??;

    // What an operator wants to see: that it is late comes before it is lost.
    match web.session().status() {
        LeaseStatus::Ok => println!("web is registered, lease {}", web.session().id()),
        LeaseStatus::Late { cause, .. } => println!("web was not renewed in time: {cause:?}"),
        status => println!("web is not registered: {status:?}"),
    }

    // Gone at once; without this, after the time to live.
    web.close().await?;
    mail.close().await?;
    println!("{} services are left", client.get(prefix(SERVICES)).await?.count);
    client.close().await;
    Ok(())
}
