//! Several watches of one client: each gets its own.

use super::watch_expect::{Reader, lines, revision};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Error, key, prefix, put};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub(super) const CASES: &[Case] = &[
    case!(keys_and_a_prefix_that_covers_two_of_them, ["WATCH-001"]),
    case!(watches_that_begin_while_others_write, ["WATCH-049"]),
    case!(watches_of_one_key_and_of_a_range, ["WATCH-051", "WATCH-052"]),
    case!(a_transaction_is_one_revision, ["WATCH-053", "WATCH-054", "WATCH-055"]),
    case!(streams_do_not_share_ids, ["WATCH-057", "WATCH-058"]),
];

/// WATCH-001
async fn keys_and_a_prefix_that_covers_two_of_them(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;
    let writer = ctx.connect([cluster.member(1).client_url()]).await?;
    let names = ["foo", "bar", "baz"];
    let mut readers = vec![];
    for name in names {
        readers.push(Reader::new(&ctx, client.watch(name).await?));
    }
    let mut of_prefix = Reader::new(&ctx, client.watch(prefix("b")).await?);
    let base = revision(&writer).await?;
    let mut written = vec![];
    for n in 0..4 {
        for name in names {
            let revision = writer.put(name, n.to_string()).await?.header.revision;
            written.push((name, format!("{} {name}={n}", revision - base)));
        }
    }
    let last = base + i64::try_from(written.len())?;
    let expected = |is_seen: &dyn Fn(&str) -> bool| {
        let seen = written.iter().filter(|(name, _)| is_seen(name));
        seen.map(|(_, line)| line.clone()).collect::<Vec<_>>()
    };
    for (name, reader) in names.into_iter().zip(&mut readers) {
        assert_eq!(lines(base, &reader.all_to(last).await?), expected(&|it| it == name));
    }
    let of_two = expected(&|it| it.starts_with('b'));
    assert_eq!(of_two.len(), 8);
    assert_eq!(lines(base, &of_prefix.all_to(last).await?), of_two);
    Ok(())
}

/// WATCH-049, I-W5: each sees everything after the moment when it was begun.
async fn watches_that_begin_while_others_write(ctx: Ctx) -> CaseResult {
    const PUTS: i64 = 31;
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let base = revision(&client).await?;
    let (writer, written) = (client.clone(), Arc::new(AtomicI64::new(base)));
    let told = Arc::clone(&written);
    let writing = ctx.spawn(async move {
        for n in 0..PUTS {
            let put = writer.put("foo", n.to_string()).await?;
            told.store(put.header.revision, Ordering::SeqCst);
        }
        Ok::<(), Error>(())
    });
    let mut watches = vec![];
    while !writing.is_done() || watches.is_empty() {
        let before = written.load(Ordering::SeqCst);
        let watch = client.watch("foo".."fop").await?;
        watches.push((before, revision(&client).await?, Reader::new(&ctx, watch)));
    }
    writing.await?;
    let last = base + PUTS;
    for (before, after, mut reader) in watches {
        let events = reader.all_to(last).await?;
        let revisions: Vec<_> = events.iter().map(etcd3::Event::revision).collect();
        let first = revisions.first().copied().unwrap_or(last + 1);
        assert!((before + 1..=after + 1).contains(&first), "{before} {first} {after}");
        assert_eq!(revisions, (first..=last).collect::<Vec<_>>());
    }
    Ok(())
}

/// Where watches of a pair of rows begin: from now on, and from the first revision on.
const STARTS: [i64; 2] = [0, 1];

/// WATCH-051, WATCH-052
async fn watches_of_one_key_and_of_a_range(ctx: Ctx) -> CaseResult {
    for start in STARTS {
        let (server, client) = ctx.server_and_client().await?;
        let base = revision(&client).await?;
        let mut keys = vec![];
        for _ in 0..4 {
            keys.push(Reader::new(&ctx, client.watch("foo").from_revision(start).await?));
        }
        let range = client.watch("fo".."fp").from_revision(start).await?;
        let mut range = Reader::new(&ctx, range);
        let counts = server.watch_counts()?;
        assert_eq!((counts.streams, counts.watchers), (1, 5), "from {start}");
        client.put("foo", "bar").await?;
        client.put("fo", "bar").await?;
        for reader in &mut keys {
            assert_eq!(lines(base, &reader.all_to(base + 2).await?), ["1 foo=bar"]);
        }
        let both = ["1 foo=bar", "2 fo=bar"];
        assert_eq!(lines(base, &range.all_to(base + 2).await?), both, "from {start}");
    }
    Ok(())
}

/// WATCH-053, WATCH-054, WATCH-055, W9
async fn a_transaction_is_one_revision(ctx: Ctx) -> CaseResult {
    for start in STARTS {
        let (_server, client) = ctx.server_and_client().await?;
        let base = revision(&client).await?;
        let watch = client.watch("foo".."fop").from_revision(start).await?;
        let mut reader = Reader::new(&ctx, watch);
        let puts = ["foo0", "foo1", "foo2"].map(|name| put(name, "bar"));
        client.txn().then(puts).await?;
        let batch = reader.batch().await?;
        assert_eq!(lines(base, &batch.events), ["1 foo0=bar", "1 foo1=bar", "1 foo2=bar"]);
        assert_eq!(batch.revisions().count(), 1);
        assert_eq!(reader.all_to(base + 1).await?, [], "from {start}");
    }
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let write = async || {
        client.put("foo0", "bar").await?;
        client.put("foo1", "bar").await
    };
    write().await?;
    let watch = client.watch("foo".."fop").from_revision(1).await?;
    let mut reader = Reader::new(&ctx, watch);
    write().await?;
    let events = reader.all_to(base + 4).await?;
    let expected = ["1 foo0=bar", "2 foo1=bar", "3 foo0=bar", "4 foo1=bar"];
    assert_eq!(lines(base, &events), expected, "WATCH-055");
    Ok(())
}

/// WATCH-057, WATCH-058: servers number the watchers of each stream, so that ids collide.
async fn streams_do_not_share_ids(ctx: Ctx) -> CaseResult {
    for start in STARTS {
        let (server, client) = ctx.server_and_client().await?;
        let base = revision(&client).await?;
        let mut readers = vec![];
        for _ in 0..5 {
            let watch = client.watch(key("foo")).from_revision(start).own_stream().await?;
            readers.push(Reader::new(&ctx, watch));
        }
        let counts = server.watch_counts()?;
        assert_eq!((counts.streams, counts.watchers), (5, 5), "from {start}");
        client.put("foo", "bar").await?;
        for reader in &mut readers {
            assert_eq!(lines(base, &reader.all_to(base + 1).await?), ["1 foo=bar"]);
        }
        sees_none_after(&client, readers, base + 1).await?;
    }
    Ok(())
}

/// Asserts that watches see nothing of what is written elsewhere.
async fn sees_none_after(client: &Client, readers: Vec<Reader>, base: i64) -> CaseResult {
    client.put("elsewhere", "").await?;
    for mut reader in readers {
        assert_eq!(reader.all_to(base + 1).await?, []);
    }
    Ok(())
}
