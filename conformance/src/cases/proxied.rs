//! The calls that have to come through every proxy as they come without one.

use crate::BoxError;
use etcd3::{Client, Error, ErrorKind, Outcome, ServerError};
use futures_lite::StreamExt;

/// Makes calls of all kinds, those that etcd refuses among them, with an etcd that is new; returns
/// how many requests they were.
pub(super) async fn calls(client: &Client) -> Result<usize, BoxError> {
    let mut calls = 0;
    for number in 0..25 {
        client.put(format!("page/{number:02}"), number.to_string()).await?;
        calls += 1;
    }
    let first = client.put("foo", "bar").await?.header.revision;
    let read = client.get("foo").await?;
    assert_eq!((&*read.kvs[0].value, read.kvs[0].mod_revision), (&b"bar"[..], first));
    assert_eq!(client.get("foo").serializable().await?.kvs.len(), 1);

    let txn = client.txn().when([etcd3::key("foo").exists()]);
    let txn = txn.then([etcd3::put("foo", "baz")]).await?;
    assert!(txn.succeeded);
    assert_eq!(client.get("foo").await?.kvs[0].value, "baz");
    assert_eq!(client.get("foo").revision(first).await?.kvs[0].value, "bar");
    calls += 6;

    let (mut pages, mut keys) = (client.pages(etcd3::prefix("page/")).page_size(10), 0);
    while let Some(page) = pages.try_next().await? {
        keys += page.kvs.len();
        calls += 1;
    }
    assert_eq!(keys, 25);

    assert_eq!(client.delete("foo").await?.deleted, 1);
    assert_eq!(client.get("foo").await?.count, 0);
    client.compact(first + 1).await?;
    calls += 3;
    calls += refusals(client, first).await?;

    // Larger than a window of a stream, one way and the other.
    let large = vec![b'x'; 1_000_000];
    client.put("large", large.clone()).await?;
    assert_eq!(client.get("large").await?.kvs[0].value, large);
    Ok(calls + 2)
}

/// What etcd refuses is refused in the same words, and with the same outcome.
async fn refusals(client: &Client, compacted: i64) -> Result<usize, BoxError> {
    let refused: [(Error, ServerError); 5] = [
        (client.put("", "v").await.unwrap_err(), ServerError::EmptyKey),
        (client.put("k", "v").lease(4711).await.unwrap_err(), ServerError::LeaseNotFound),
        (client.get("k").revision(1 << 40).await.unwrap_err(), ServerError::FutureRev),
        (client.get("k").revision(compacted).await.unwrap_err(), ServerError::Compacted),
        (client.compact(compacted).await.unwrap_err(), ServerError::Compacted),
    ];
    let count = refused.len();
    for (error, expected) in refused {
        assert_eq!(error.kind(), ErrorKind::Server(expected), "{error}");
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
    }
    Ok(count)
}
