//! Transactions that read revisions which are not there: nothing of them is executed.

use super::kv_expect::{COMPACTED, FUTURE_REV, Refusal, only, pairs};
use crate::{Case, CaseResult, Cluster, Ctx, case};
use etcd3_client::{Client, Get, Op, Outcome, all, get, key, put};
use etcd3_lab::etcd::Version;
use std::error::Error;

pub(super) const CASES: &[Case] = &[
    case!(a_read_that_fails_fails_the_whole_transaction, ["TXN-037", "TXN-038"]),
    case!(a_compacted_read_refuses_a_put_of_its_transaction, ["TXN-039"]),
    case!(a_compacted_read_behind_a_put_refuses_both, ["TXN-040"]),
];

/// Sends a write together with a read that must be refused.
async fn refused(client: &Client, write: (&str, &str), read: Get, refusal: Refusal) -> CaseResult {
    let before = client.get(all()).await?;
    for ops in [
        [Op::from(put(write.0, write.1)), Op::from(read.clone())],
        [Op::from(read.clone()), Op::from(put(write.0, write.1))],
    ] {
        let error = client.txn().then(ops).await.unwrap_err();
        refusal.is_read_from(&error);
        // This member changed nothing; others might have (etcd issue 18667).
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
        let after = client.get(all()).await?;
        assert_eq!((&after.kvs, after.header.revision), (&before.kvs, before.header.revision));
    }
    Ok(())
}

/// TXN-037, TXN-038, K16
async fn a_read_that_fails_fails_the_whole_transaction(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for value in ["1", "2", "3"] {
        client.put("foo", value).await?;
    }
    client.compact(2).await?;
    refused(&client, ("foo", "4"), get("foo").revision(100), FUTURE_REV).await?;
    refused(&client, ("foo", "4"), get("foo").revision(1), COMPACTED).await?;
    // What was compacted to is still there, also to a transaction.
    let read = client.txn().then([get("foo").revision(2)]).await?;
    assert_eq!(read.get(0).map(pairs), Some(vec![("foo".to_owned(), "1".to_owned())]));
    Ok(())
}

/// The first minor version whose members all check the reads of a transaction. Before, only the
/// member that was asked does, and the others execute what it refused (etcd issue 18667).
const CHECKED_BY_ALL: Version = Version::minor(3, 7);

/// Starts a cluster, with a client for each member.
async fn members(ctx: &Ctx) -> Result<(Cluster, Vec<Client>), Box<dyn Error + Send + Sync>> {
    let cluster = ctx.cluster().await?;
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    Ok((cluster, clients))
}

/// Whether a member executed a transaction that the first member was asked for and refused.
fn executes_what_was_refused(ctx: &Ctx, member: usize) -> bool {
    member != 0 && ctx.etcd.version < CHECKED_BY_ALL
}

/// TXN-039, K16
async fn a_compacted_read_refuses_a_put_of_its_transaction(ctx: Ctx) -> CaseResult {
    let (_cluster, members) = members(&ctx).await?;
    members[0].put("key", "x").await?;
    members[0].compact(2).await?;
    let ops = [Op::from(get("key").revision(1)), Op::from(put("should-not-exist", "x"))];
    let error = members[0].txn().then(ops).await.unwrap_err();
    COMPACTED.is_read_from(&error);
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
    for (index, member) in members.iter().enumerate() {
        let found = member.get("should-not-exist").await?.count;
        let expected = executes_what_was_refused(&ctx, index);
        assert_eq!(found, i64::from(expected), "member {index}");
        assert_eq!(only(&member.get("key").await?).value, "x");
    }
    Ok(())
}

/// TXN-040, K16
async fn a_compacted_read_behind_a_put_refuses_both(ctx: Ctx) -> CaseResult {
    let (_cluster, members) = members(&ctx).await?;
    let mut head = 0;
    for n in 1..=20 {
        head = members[0].put(format!("k{n}"), format!("v{n}")).await?.header.revision;
    }
    members[0].compact(head).await?;
    let holds = key("k1").value().eq("v1");
    let ops = [Op::from(put("k2", "foo")), get("k1").revision(head - 1).into()];
    let error = members[0].txn().when([holds]).then(ops).await.unwrap_err();
    COMPACTED.is_read_from(&error);
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
    for (index, member) in members.iter().enumerate() {
        let expected = if executes_what_was_refused(&ctx, index) { "foo" } else { "v2" };
        assert_eq!(only(&member.get("k2").await?).value, expected, "member {index}");
    }
    Ok(())
}
