//! Deletions: of one key, of ranges, of what is not there.

use super::kv_expect::keys;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, DeleteResponse, Error, KeyRange, all, from_key, key, prefix};

pub(super) const CASES: &[Case] = &[
    case!(everything_is_deleted_by_an_empty_prefix_or_from_key, ["KV-067", "KV-068"]),
    case!(a_range_a_key_a_prefix_or_a_tail_is_deleted, ["KV-069", "KV-070", "KV-071", "KV-072"]),
    case!(deleting_a_missing_key_deletes_nothing, ["KV-073"]),
    case!(a_deletion_moves_the_revision_only_if_it_deletes, ["KV-099", "KV-100", "KV-102"]),
    case!(previous_pairs_are_returned_when_asked_for, ["KV-104"]),
    case!(a_prefix_deletes_as_many_keys_as_it_reads, ["KV-140"]),
];

async fn put_all(client: &Client, names: &[&str]) -> Result<i64, Error> {
    let mut revision = 0;
    for name in names {
        revision = client.put(*name, *name).await?.header.revision;
    }
    Ok(revision)
}

/// Deletes from a store with the five keys of the scenarios, and tells what is left.
async fn delete_of_five(
    client: &Client,
    range: KeyRange,
) -> Result<(DeleteResponse, Vec<String>), Error> {
    client.delete(all()).await?;
    put_all(client, &["a", "b", "c", "c/abc", "d"]).await?;
    let answer = client.delete(range).await?;
    assert!(answer.prev_kvs.is_empty(), "nobody asked for {:?}", answer.prev_kvs);
    Ok((answer, keys(&client.get(all()).await?)))
}

/// KV-067, KV-068, K3
async fn everything_is_deleted_by_an_empty_prefix_or_from_key(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for range in [prefix(""), from_key(""), KeyRange::from(""..), all()] {
        let (answer, left) = delete_of_five(&client, range.clone()).await?;
        assert_eq!(answer.deleted, 5, "{range:?}");
        assert!(left.is_empty(), "{range:?} left {left:?}");
    }
    Ok(())
}

/// KV-069, KV-070, KV-071, KV-072, K1, K2
async fn a_range_a_key_a_prefix_or_a_tail_is_deleted(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let table: [(KeyRange, u64, &[&str]); 4] = [
        (("a".."c").into(), 2, &["c", "c/abc", "d"]),
        (key("c"), 1, &["a", "b", "c/abc", "d"]),
        (prefix("c"), 2, &["a", "b", "d"]),
        (from_key("c"), 3, &["a", "b"]),
    ];
    for (range, deleted, expected) in table {
        let (answer, left) = delete_of_five(&client, range.clone()).await?;
        assert_eq!(answer.deleted, deleted, "{range:?}");
        assert_eq!(left, expected, "{range:?}");
    }
    Ok(())
}

/// KV-073, K27
async fn deleting_a_missing_key_deletes_nothing(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let (answer, left) = delete_of_five(&client, key("e")).await?;
    assert_eq!(answer.deleted, 0);
    assert_eq!(left, ["a", "b", "c", "c/abc", "d"]);
    Ok(())
}

/// KV-099, KV-100, KV-102, K5, K27
async fn a_deletion_moves_the_revision_only_if_it_deletes(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let table: [(KeyRange, u64, &[&str]); 4] = [
        (("foo/".."foo/").into(), 0, &["foo", "foo/abc", "fop"]),
        (("fop".."foo").into(), 0, &["foo", "foo/abc", "fop"]),
        (("fo".."fop").into(), 2, &["fop"]),
        (key("foo/abc"), 1, &["foo", "fop"]),
    ];
    for (range, deleted, expected) in table {
        let before = put_all(&client, &["foo", "foo/abc", "fop"]).await?;
        let answer = client.delete(range.clone()).await?;
        assert_eq!(answer.deleted, deleted, "{range:?}");
        let revision = if deleted > 0 { before + 1 } else { before };
        assert_eq!(answer.header.revision, revision, "{range:?}");
        let left = client.get(all()).await?;
        assert_eq!(keys(&left), expected, "{range:?}");
        assert_eq!(left.header.revision, answer.header.revision, "{range:?}");
    }
    Ok(())
}

/// KV-104, K27
async fn previous_pairs_are_returned_when_asked_for(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["foo", "foo/abc", "fop"]).await?;
    let before = client.get("foo/abc").await?.kvs;
    let answer = client.delete("foo/".."fop").prev_kv().await?;
    assert_eq!(answer.deleted, 1);
    assert_eq!(answer.prev_kvs.len(), 1);
    assert_eq!(answer.prev_kvs, before, "the whole pair, as it was");
    let left = client.get(all()).await?;
    assert_eq!(left.header.revision, answer.header.revision);
    assert_eq!(keys(&left), ["foo", "fop"]);
    Ok(())
}

/// KV-140
async fn a_prefix_deletes_as_many_keys_as_it_reads(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["key", "key1", "key2", "kez", "ke"]).await?;
    let read = client.get(prefix("key")).await?;
    assert_eq!(keys(&read), ["key", "key1", "key2"]);
    let answer = client.delete(prefix("key")).await?;
    assert_eq!(usize::try_from(answer.deleted)?, read.kvs.len());
    assert_eq!(keys(&client.get(all()).await?), ["ke", "kez"]);
    Ok(())
}
