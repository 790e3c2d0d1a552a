//! Compares of ranges: every key of the range must comply.

use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Compare, from_key, key, prefix, put};

pub(super) const CASES: &[Case] = &[
    case!(one_key_that_differs_fails_a_range_compare, ["TXN-006"]),
    case!(create_revisions_of_a_range, ["TXN-029", "TXN-030", "TXN-031", "TXN-032"]),
    case!(values_and_leases_of_a_range, ["TXN-033", "TXN-034", "TXN-035"]),
    case!(a_missing_key_has_zeros_and_no_value, []),
];

/// Asserts what a condition evaluates to: alone, and in front of operations.
async fn holds(client: &Client, compare: Compare, expected: bool) -> CaseResult {
    assert_eq!(client.compare([compare.clone()]).await?, expected, "{compare:?}");
    let written = client.txn().when([compare.clone()]).then([put("then", "x")]);
    let written = written.otherwise([put("z", "x")]).await?;
    assert_eq!(written.succeeded, expected, "{compare:?}");
    client.delete("then").await?;
    client.delete("z").await?;
    Ok(())
}

/// TXN-006, K43
async fn one_key_that_differs_fails_a_range_compare(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let revision = client.put("foo/", "bar").await?.header.revision;
    client.put("foo/a", "baz").await?;
    let whole = prefix("foo/").create_revision().eq(revision);
    holds(&client, whole, false).await?;
    // The first alone would do.
    holds(&client, key("foo/").create_revision().eq(revision), true).await
}

/// Puts the keys of the scenarios; each has its revision in its name.
async fn four_keys(client: &Client) -> CaseResult {
    for (name, revision) in [("/a/2", 2), ("/a/3", 3), ("/a/4", 4), ("/f/5", 5)] {
        assert_eq!(client.put(name, "x").await?.header.revision, revision);
    }
    Ok(())
}

/// TXN-029, TXN-030, TXN-031, TXN-032, K43
async fn create_revisions_of_a_range(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    four_keys(&client).await?;
    let tail = || from_key("/a/").create_revision();
    let under = || prefix("/a/").create_revision();
    assert_eq!(from_key("/a/").range_end(), &b"\0"[..]);
    for (compare, expected) in
        [(tail().lt(6), true), (tail().lt(5), false), (under().lt(5), true), (under().lt(4), false)]
    {
        assert_eq!(client.compare([compare.clone()]).await?, expected, "{compare:?}");
    }
    holds(&client, under().lt(5), true).await?;
    holds(&client, under().lt(4), false).await
}

/// TXN-033, TXN-034, TXN-035, K42, K43
async fn values_and_leases_of_a_range(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    four_keys(&client).await?;
    holds(&client, prefix("/b/").value().eq("x"), false).await?;
    holds(&client, prefix("/a/").value().eq("x"), true).await?;
    holds(&client, prefix("/a/").lease().gt(0), false).await?;
    holds(&client, prefix("/a/").lease().eq(0), true).await
}

/// K42
async fn a_missing_key_has_zeros_and_no_value(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for missing in [key("none"), prefix("none"), ("m".."n").into()] {
        let table = [
            (missing.clone().version().eq(0), true),
            (missing.clone().create_revision().lt(1), true),
            (missing.clone().mod_revision().gt(0), false),
            (missing.clone().lease().ne(0), false),
            (missing.clone().value().eq(""), false),
            (missing.clone().value().ne("x"), false),
            (missing.clone().value().lt("x"), false),
            (missing.value().gt(""), false),
        ];
        for (compare, expected) in table {
            holds(&client, compare, expected).await?;
        }
    }
    Ok(())
}
