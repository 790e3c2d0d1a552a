//! A tour of the API, shared by the adapters: each runs it on its own runtime.
//!
//! `cargo xtask demo` starts an etcd and runs it; on its own it takes the endpoints as arguments.

use etcd3::{
    Client, ErrorKind, IgnoreLease, IgnoreValue, ListWatchItem, Op, ServerError, SortOrder,
    SortTarget, delete, get, key, prefix, put,
};
use std::error::Error;
use std::time::Duration;

/// Walks through the API, saying what it does and what came back.
///
/// # Errors
///
/// The first thing that was not as it should be.
pub(crate) async fn tour(client: &Client) -> Result<(), Box<dyn Error>> {
    client.delete(prefix("tour/")).await?;
    keys(client).await?;
    transactions(client).await?;
    paging(client).await?;
    watching(client).await?;
    leases(client).await?;
    errors(client).await?;
    let gone = client.delete(prefix("tour/")).await?;
    say("delete(prefix(\"tour/\"))", format!("{} keys deleted", gone.deleted));
    Ok(())
}

fn say(what: &str, came: impl std::fmt::Display) {
    println!("  {what:<58} {came}");
}

async fn keys(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Keys");
    let first = client.put("tour/colour", "red").await?;
    say("put(\"tour/colour\", \"red\")", format!("revision {}", first.header.revision));
    let second = client.put("tour/colour", "blue").prev_kv().await?;
    let before = second.prev_kv.map(|kv| kv.value).unwrap_or_default();
    say("put(.., \"blue\").prev_kv()", format!("was {before:?}"));
    let now = client.get("tour/colour").await?;
    say("get(\"tour/colour\")", format!("{:?}, version {}", now.kvs[0].value, now.kvs[0].version));
    let then = client.get("tour/colour").revision(first.header.revision).await?;
    say("get(..).revision(the first)", format!("{:?}", then.kvs[0].value));
    client.put("tour/colour", IgnoreValue).lease(IgnoreLease).await?;
    let touched = client.get("tour/colour").keys_only().await?;
    say("put(.., IgnoreValue)", format!("still there, version {}", touched.kvs[0].version));
    client.put("tour/shape", "round").await?;
    let sorted = client
        .get(prefix("tour/"))
        .sort(SortTarget::Mod, SortOrder::Descend)
        .limit(1)
        .serializable()
        .await?;
    say(
        "get(prefix(\"tour/\")).sort(Mod, Descend).limit(1)",
        format!("{:?}, {} in all, more: {}", sorted.kvs[0].key, sorted.count, sorted.more),
    );
    Ok(())
}

async fn transactions(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Transactions");
    for attempt in ["first", "second"] {
        let done = client
            .txn()
            .when([key("tour/lock").missing()])
            .then([put("tour/lock", attempt)])
            .otherwise([get("tour/lock")])
            .await?;
        let holder = done.get(0).map(|held| held.kvs[0].value.clone());
        let came = match holder {
            None => format!("created at revision {}", done.header.revision),
            Some(holder) => format!("held by {holder:?}"),
        };
        say("txn: if missing, put; otherwise, get", came);
    }
    let nested = client
        .txn()
        .when([key("tour/colour").value().eq("blue"), prefix("tour/").version().gt(0)])
        .then([
            Op::from(put("tour/colour", "green")),
            etcd3::txn().when([key("tour/shape").exists()]).then([delete("tour/shape")]).into(),
            get(prefix("tour/")).count_only().into(),
        ])
        .await?;
    let inner = nested.responses[1].as_txn().is_some_and(|inner| inner.succeeded);
    let left = nested.get(2).map_or(0, |count| count.count);
    say(
        "txn within a txn",
        format!("succeeded: {}, inner: {inner}, left: {left}", nested.succeeded),
    );
    say("compare(key exists)", client.compare([key("tour/shape").exists()]).await?);
    let done = client.execute(put("tour/op", "1")).await?;
    say("execute(op)", format!("revision {}", done.header.revision));
    Ok(())
}

async fn paging(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Paging");
    for n in 0..25 {
        client.put(format!("tour/page/{n:02}"), "x").await?;
    }
    let mut pages = client.pages(prefix("tour/page/")).page_size(10);
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        // Written meanwhile, and not seen: all pages show one revision.
        client.put("tour/page/late", "x").await?;
        sizes.push(page?.kvs.len());
    }
    say("pages(prefix(\"tour/page/\")).page_size(10)", format!("pages of {sizes:?} keys"));
    Ok(())
}

async fn watching(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Watches");
    let mut watch = client.watch(prefix("tour/flag")).prev_kv().await?;
    say("watch(prefix(\"tour/flag\")).prev_kv()", "a server has the watch");
    client.put("tour/flag", "on").await?;
    client.delete("tour/flag").await?;
    let mut seen = 0;
    while seen < 2 {
        let batch = watch.next().await.ok_or("the watch has ended")??;
        for event in &batch {
            let before = event.prev_kv().pair().map(|pair| &pair.value);
            let (kind, value) = (event.kind, event.value());
            say("next()", format!("{kind}: {value:?}, was {before:?}"));
        }
        seen += batch.events.len();
    }
    let token = watch.resume_token();
    watch.cancel().await;
    client.put("tour/flag", "on again").await?;
    let mut again = client.watch("tour/flag").resume(token).await?;
    let batch = again.next().await.ok_or("the watch has ended")??;
    say("watch(..).resume(watch.resume_token())", format!("{:?}", batch.events[0].value()));

    let mut list = client.list_watch("tour/flag");
    while let Some(item) = list.next().await {
        match item? {
            ListWatchItem::Page(pairs) => say("list_watch(..)", format!("{:?}", pairs[0].value)),
            ListWatchItem::Listed(_) => client.delete("tour/flag").await.map(drop)?,
            item => {
                let differences = item.into_differences();
                if let Some(first) = differences.first() {
                    say("  and what changes", format!("{first:?}"));
                    break;
                }
            }
        }
    }
    let cache = client.cache(prefix("tour/")).await?;
    let written = client.put("tour/flag", "cached").await?;
    cache.wait_for(written.header.revision).await?;
    let found = cache.get("tour/flag")?.map(|pair| pair.value);
    say("cache(prefix(\"tour/\")), wait_for, get", format!("{found:?}"));
    Ok(())
}

async fn leases(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Leases");
    let lease = client.lease(Duration::from_secs(10)).await?;
    say("lease(10 s)", format!("{}, kept alive", lease.id()));
    client.put("tour/lock", "me").lease(lease.id()).await?;
    let held = client.time_to_live(lease.id()).keys().await?;
    say("time_to_live(lease.id()).keys()", format!("{:?} left, {:?}", held.ttl, held.keys));
    let renewed = client.keep_alive_once(lease.id()).await?;
    say("keep_alive_once(lease.id())", format!("{:?} again", renewed.ttl));
    lease.revoke().await?;
    let gone = client.get("tour/lock").await?;
    say("lease.revoke()", format!("{}; {} keys", lease.lost().await, gone.count));

    let service = client.register("tour/services/a", "10.0.0.1:80").await?;
    let found = client.get("tour/services/a").await?;
    say("register(..)", format!("{:?}", found.kvs[0].value));
    service.close().await?;
    Ok(())
}

async fn errors(client: &Client) -> Result<(), Box<dyn Error>> {
    println!("Errors");
    let head = client.get("tour/colour").await?.header.revision;
    client.compact(head).physical().await?;
    say("compact(head).physical()", format!("compacted at revision {head}"));
    let old = client.get("tour/colour").revision(head - 1).await;
    let error = old.err().ok_or("a compacted revision was readable")?;
    if error.kind() != ErrorKind::Server(ServerError::Compacted) {
        return Err(error.into());
    }
    say("get(..).revision(head - 1)", &error);
    let twice = client.txn().then([put("tour/a", "1"), put("tour/a", "2")]).await;
    say("txn that puts a key twice", twice.err().ok_or("a key was put twice")?);
    Ok(())
}
