//! Queries: which keys, at which revision, in which order, how many.

use super::kv_expect::{keys, pairs};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Error, Get, GetResponse, KeyRange, SortOrder, SortTarget, all, get, prefix};

pub(super) const CASES: &[Case] = &[
    case!(a_range_is_what_its_bounds_say, ["KV-107", "KV-108"]),
    case!(a_revision_shows_the_store_as_it_was, ["KV-109", "KV-137"]),
    case!(a_limit_cuts_the_keys_but_not_the_count, ["KV-110", "KV-111"]),
    case!(an_answer_is_sorted_as_asked, ["KV-112", "KV-138"]),
    case!(revision_filters_leave_the_count_alone, ["KV-113", "KV-114"]),
];

/// Puts these keys into an empty store: one revision each, from 2 on.
async fn put_all(client: &Client, names: &[&str]) -> Result<(), Error> {
    for name in names {
        client.put(*name, "bar").await?;
    }
    Ok(())
}

/// Runs a read of an empty store after that many puts, as it is and serializable.
async fn read(client: &Client, puts: i64, query: Get) -> Result<GetResponse, Error> {
    let serializable = client.execute(query.clone().serializable()).await?;
    let answer = client.execute(query).await?;
    assert_eq!(answer, serializable, "one server, so both see the same");
    assert_eq!(answer.header.revision, puts + 1);
    Ok(answer)
}

/// KV-107, KV-108, K1, K5
async fn a_range_is_what_its_bounds_say(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["foo", "bar"]).await?;
    let found = read(&client, 2, get("foo")).await?;
    assert_eq!((keys(&found), found.count, found.more), (vec!["foo".to_owned()], 1, false));
    let missing = read(&client, 2, get("baz")).await?;
    assert_eq!((keys(&missing), missing.count, missing.more), (vec![], 0, false));

    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["a", "b", "c", "d", "e"]).await?;
    let table: [(KeyRange, &[&str]); 7] = [
        (("a".."z").into(), &["a", "b", "c", "d", "e"]),
        (("b".."d").into(), &["b", "c"]),
        (("f".."z").into(), &[]),
        (("c".."c").into(), &[]),
        (("d".."b").into(), &[]),
        (all(), &["a", "b", "c", "d", "e"]),
        (prefix(""), &["a", "b", "c", "d", "e"]),
    ];
    assert_eq!(all().into_parts(), (b"\0"[..].into(), b"\0"[..].into()));
    for (range, expected) in table {
        let answer = read(&client, 5, get(range.clone())).await?;
        assert_eq!(keys(&answer), expected, "{range:?}");
        assert_eq!(usize::try_from(answer.count)?, expected.len(), "{range:?}");
        assert!(!answer.more);
    }
    Ok(())
}

/// KV-109, KV-137, K16, K17
async fn a_revision_shows_the_store_as_it_was(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["a", "b", "c", "d", "e"]).await?;
    let table: [(i64, &[&str]); 4] =
        [(0, &["a", "b", "c", "d", "e"]), (1, &[]), (2, &["a"]), (3, &["a", "b"])];
    for (revision, expected) in table {
        let answer = read(&client, 5, get("a".."z").revision(revision)).await?;
        assert_eq!(keys(&answer), expected, "revision {revision}");
    }

    let first = client.put("foo", "bar1").await?.header.revision;
    client.put("foo", "bar2").await?;
    let now = client.get("foo").await?;
    assert_eq!(pairs(&now), [("foo".to_owned(), "bar2".to_owned())]);
    let then = client.get("foo").revision(first).await?;
    assert_eq!(pairs(&then), [("foo".to_owned(), "bar1".to_owned())]);
    assert_eq!(then.header.revision, first + 1, "that of the store, not the one asked for");
    Ok(())
}

/// KV-110, KV-111, K18, K19
async fn a_limit_cuts_the_keys_but_not_the_count(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["a", "b", "c"]).await?;
    for (limit, expected, more) in [(1, 1, true), (2, 2, true), (3, 3, false), (4, 3, false)] {
        let answer = read(&client, 3, get("a".."z").limit(limit)).await?;
        assert_eq!(keys(&answer), ["a", "b", "c"][..expected], "limit {limit}");
        assert_eq!((answer.count, answer.more), (3, more), "limit {limit}");
    }
    let counts =
        [(get("a".."z"), 3), (get("b".."c"), 1), (get("x".."z"), 0), (get("a".."z").limit(1), 3)];
    for (query, count) in counts {
        let answer = read(&client, 3, query.count_only()).await?;
        assert_eq!((answer.count, answer.more, answer.kvs), (count, false, vec![]));
    }
    Ok(())
}

/// KV-112, KV-138, K12
async fn an_answer_is_sorted_as_asked(ctx: Ctx) -> CaseResult {
    use SortOrder::{Ascend, Descend, None};
    use SortTarget::{Create, Key, Mod};
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["b", "a", "c", "d", "c"]).await?;
    let within = || get("a".."z");
    let table: [(Get, &[&str], bool); 6] = [
        (within().sort(Key, Ascend).limit(1), &["a"], true),
        (within().sort(Key, Descend).limit(1), &["d"], true),
        (within().sort(Create, Ascend).limit(1), &["b"], true),
        (within().sort(Mod, Descend).limit(1), &["c"], true),
        (get("z".."z").sort(Create, Descend).limit(20), &[], false),
        (within().sort(Create, None).limit(10), &["b", "a", "c", "d"], false),
    ];
    for (query, expected, more) in table {
        let answer = read(&client, 5, query.clone()).await?;
        assert_eq!(keys(&answer), expected, "{query:?}");
        assert_eq!(answer.more, more, "{query:?}");
    }

    put_all(&client, &["key_0", "key_1", "key_2"]).await?;
    let sorted = client.get(prefix("key")).sort(Key, Descend).await?;
    assert_eq!(keys(&sorted), ["key_2", "key_1", "key_0"]);
    Ok(())
}

/// KV-113, KV-114, K18
async fn revision_filters_leave_the_count_alone(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["rev2", "rev3", "rev4", "rev5", "rev6"]).await?;
    let table: [(Get, &[&str]); 4] = [
        (get(all()).min_mod_revision(3), &["rev3", "rev4", "rev5", "rev6"]),
        (get(all()).max_mod_revision(3), &["rev2", "rev3"]),
        (get(all()).min_mod_revision(3).max_mod_revision(5), &["rev3", "rev4", "rev5"]),
        (get(all()).max_mod_revision(10), &["rev2", "rev3", "rev4", "rev5", "rev6"]),
    ];
    for (query, expected) in table {
        let answer = read(&client, 5, query.clone()).await?;
        assert_eq!((keys(&answer), answer.count), (owned(expected), 5), "{query:?}");
    }

    let (_server, client) = ctx.server_and_client().await?;
    put_all(&client, &["rev2", "rev3", "rev2", "rev2", "rev6", "rev3"]).await?;
    let table: [(Get, &[&str]); 7] = [
        (get(all()).min_create_revision(3), &["rev3", "rev6"]),
        (get(all()).max_create_revision(3), &["rev2", "rev3"]),
        (get(all()).min_create_revision(3).max_create_revision(5), &["rev3"]),
        (get(all()).max_create_revision(10), &["rev2", "rev3", "rev6"]),
        // These keys were last changed at 5, 7 and 6.
        (get(all()).min_mod_revision(6), &["rev3", "rev6"]),
        (get(all()).max_mod_revision(6), &["rev2", "rev6"]),
        (get(all()).min_mod_revision(6).max_create_revision(3), &["rev3"]),
    ];
    for (query, expected) in table {
        let answer = read(&client, 6, query.clone()).await?;
        assert_eq!((keys(&answer), answer.count), (owned(expected), 3), "{query:?}");
    }
    Ok(())
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
