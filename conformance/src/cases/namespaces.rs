//! Clients of the keys with a prefix (Y1).

use super::kv_expect::keys;
use super::watch_expect::Reader;
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{
    Client, ErrorKind, KeyValue, ServerError, all, delete, from_key, get, key, ops, prefix, put,
    txn,
};
use etcd3_sim::generate::{Generator, Position};
use etcd3_sim::model::Request;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_namespace_is_all_that_its_client_sees, ["KV-128", "NS-002"]).plain_and_tls(),
    case!(locks_and_elections_of_a_namespace_are_its_own, []),
    case!(whatever_is_done_in_a_namespace_changes_nothing_else, []),
];

/// The keys around those that begin with `ns/`, the bare prefix among them.
const OUTSIDE: [&str; 5] = ["a", "ns", "ns/", "ns0", "o"];
const RANDOM_OPERATIONS: u32 = 300;

async fn fill(client: &Client) -> Result<(), etcd3::Error> {
    for outside in OUTSIDE {
        client.put(outside, "outside").await?;
    }
    Ok(())
}

async fn others(client: &Client) -> Result<Vec<KeyValue>, etcd3::Error> {
    let mut found = client.get(all()).await?.kvs;
    found.retain(|pair| pair.key == "ns/" || !pair.key.starts_with(b"ns/"));
    Ok(found)
}

/// KV-128, NS-002, W-25
async fn a_namespace_is_all_that_its_client_sees(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    fill(&client).await?;
    let ns = client.namespace("ns/");
    let mut within = Reader::new(&ctx, ns.watch("abc").from_revision(1).prev_kv().await?);
    let mut plain = Reader::new(&ctx, client.watch("ns/abc").from_revision(1).await?);
    let written = ns.put("abc", "bar").await?.header.revision;
    ns.put("foobar", "").await?;
    for (reader, name) in [(&mut within, "abc"), (&mut plain, "ns/abc")] {
        let event = reader.take(1).await?.remove(0);
        let pair = &event.kv;
        assert_eq!((&pair.key[..], event.revision()), (name.as_bytes(), written));
        assert_eq!((pair.create_revision, pair.version), (written, 1));
    }
    within.handle().cancel().await;

    assert_eq!(keys(&ns.get(from_key("")).await?), ["abc", "foobar"]);
    assert_eq!(keys(&ns.get(prefix("foo")).await?), ["foobar"]);
    let mut pages = ns.pages(all()).page_size(1);
    let mut found = vec![];
    while let Some(page) = pages.next().await {
        found.extend(keys(&page?));
    }
    assert_eq!(found, ["abc", "foobar"]);
    for one in [&client, &ns] {
        let error = one.delete("").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::EmptyKey));
    }
    let nested = txn().when([all().version().gt(0)]).then(ops![get("abc"), delete("foobar")]);
    let done = ns.txn().when([key("new").missing()]).then(ops![put("new", ""), nested]).await?;
    let inner = done.responses[1].as_txn().ok_or("a transaction")?;
    assert_eq!(keys(inner.get(0).ok_or("a read")?), ["abc"]);

    let lease = ns.grant(Duration::from_secs(60)).await?.id;
    client.put("ns0", "outside").lease(lease).await?;
    ns.put("leased", "").lease(lease).await?;
    assert_eq!(ns.time_to_live(lease).keys().await?.keys, ["leased"]);
    assert_eq!(ns.delete(from_key("")).await?.deleted, 3);
    assert_eq!(keys(&client.get(all()).await?), OUTSIDE);
    Ok(())
}

/// X36; one name within and outside, and another that begins with it.
async fn locks_and_elections_of_a_namespace_are_its_own(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let ns = client.namespace("team-a/");
    let lease = || async { client.grant(Duration::from_secs(60)).await.map(|it| it.id) };
    let (first, second, third) = (lease().await?, lease().await?, lease().await?);
    let within = ns.raw().campaign("job", first, "within").await?.elected;
    let outside = client.raw().campaign("job", second, "outside").await?.elected;
    ns.raw().campaign("jobs", third, "other").await?;
    assert_eq!((&within.name, &outside.name), (&"job".into(), &"job".into()));
    assert_eq!(ns.raw().leader("job").await?.kv.value, "within");
    assert_eq!(client.raw().leader("job").await?.kv.value, "outside");
    let mut observing = ns.raw().observe("job");
    let seen = observing.next().await.ok_or("a leader")??.kv;
    assert_eq!((&seen.key, &seen.value), (&within.key, &"within".into()));
    ns.raw().proclaim(within.clone(), "still").await?;
    assert_eq!(observing.next().await.ok_or("a leader")??.kv.value, "still");
    ns.raw().resign(within.clone()).await?;
    assert_eq!(ns.get(within.key).await?.count, 0);
    assert_eq!(client.raw().leader("job").await?.kv.value, "outside");

    let held = ns.raw().lock("l", first).await?.key;
    client.raw().lock("l", second).await?;
    assert_eq!(client.get(prefix("team-a/l/")).await?.count, 1);
    ns.raw().unlock(held).await?;
    assert_eq!(client.get(prefix("team-a/l/")).await?.count, 0);
    assert_eq!(client.get(prefix("l/")).await?.count, 1);
    Ok(())
}

async fn whatever_is_done_in_a_namespace_changes_nothing_else(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    fill(&client).await?;
    let (ns, before) = (client.namespace("ns/"), others(&client).await?);
    let mut generator = Generator::new(1);
    let mut revision = before.iter().map(|pair| pair.mod_revision).max().unwrap_or(1);
    let (mut done, mut sent) = (0, 0);
    while sent < RANDOM_OPERATIONS {
        let outcome = match generator.next(Position { revision, compacted: 0 }) {
            Request::Range(range) => ns.rpc(range).await.map(|it| it.header),
            Request::Put(put) => ns.rpc(put).await.map(|it| it.header),
            Request::DeleteRange(delete) => ns.rpc(delete).await.map(|it| it.header),
            Request::Txn(txn) => ns.rpc(txn).await.map(|it| it.header),
            // What is of the cluster is of all.
            _ => continue,
        };
        sent += 1;
        match outcome {
            Ok(header) => {
                done += 1;
                revision = header.ok_or("a header")?.revision;
            }
            Err(error) => refused(&error)?,
        }
    }
    assert!(done > RANDOM_OPERATIONS / 3, "{done} of {sent}");
    assert!(revision > i64::from(RANDOM_OPERATIONS / 5), "{revision}");
    assert_eq!(others(&client).await?, before);
    ns.delete(all()).await?;
    assert_eq!(others(&client).await?, before);
    assert_eq!(client.get(all()).await?.count, before.len() as u64);
    Ok(())
}

/// Fails on an error that is no answer of the server: some operations are meant to be refused.
fn refused(error: &etcd3::Error) -> Result<(), BoxError> {
    match error.kind() {
        ErrorKind::Server(_) => Ok(()),
        _ => Err(error.report().to_string().into()),
    }
}
