//! Transactions that read revisions which are not there.
//!
//! Nothing of them is executed, as far as the member goes that was asked. Others execute the writes
//! of some all the same (etcd issue 18667), and those the client does not send.

use super::kv_expect::{COMPACTED, FUTURE_REV, Refusal, only, pairs};
use super::txn_wire::{Branches, Step, nested};
use crate::BoxError;
use crate::{Case, CaseResult, Cluster, Ctx, case};
use etcd3::proto::etcdserverpb::HashKvRequest;
use etcd3::{Client, Error, ErrorKind, Get, Op, Outcome, all, get, key, put};
use etcd3_core::method::Effect;
use etcd3_lab::etcd::Version;

pub(super) const CASES: &[Case] = &[
    case!(a_read_that_fails_fails_the_whole_transaction, ["TXN-037", "TXN-038"]),
    case!(what_would_make_members_differ_is_not_sent, ["TXN-039"]),
    case!(which_transactions_make_members_differ, []),
    case!(a_compacted_read_behind_a_put_refuses_both, ["TXN-040"]),
];

/// Sends a write together with a read that must be refused.
async fn refused(client: &Client, write: (&str, &str), read: Get, refusal: Refusal) -> CaseResult {
    let before = client.get(all()).await?;
    for ops in [
        [Op::from(put(write.0, write.1)), Op::from(read.clone())],
        [Op::from(read.clone()), Op::from(put(write.0, write.1))],
    ] {
        let txn = client.txn().then(ops).dangerously_allow_pinned_reads_in_writes();
        let error = txn.await.unwrap_err();
        refusal.is_read_from(&error);
        // This member changed nothing; others might have.
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
async fn members(ctx: &Ctx) -> Result<(Cluster, Vec<Client>), BoxError> {
    let cluster = ctx.cluster().await?;
    let mut clients = Vec::new();
    for url in cluster.client_urls() {
        clients.push(ctx.connect([url]).await?);
    }
    Ok((cluster, clients))
}

/// Writes a history, compacts all of it, and returns its last revision.
async fn compacted_history(client: &Client) -> Result<i64, Error> {
    let mut head = 0;
    for n in 1..=20 {
        head = client.put(format!("k{n}"), format!("v{n}")).await?.header.revision;
    }
    client.compact(head).await?;
    Ok(head)
}

/// Returns transactions that write this key and read at this revision, each with whether only the
/// member that is asked looks at the revision.
fn shapes(key: &'static str, revision: i64) -> Vec<(Branches, bool)> {
    let (read, write) = (|| Step::GetAt("k1", revision), || Step::Put(key));
    let then = |steps: Vec<Step>| Branches { then: steps, otherwise: vec![] };
    vec![
        (then(vec![write(), read()]), true),
        (then(vec![read(), write()]), true),
        (then(vec![read(), nested([write()], [])]), true),
        (then(vec![nested([nested([write()], [])], []), read()]), true),
        (then(vec![write(), nested([read()], [])]), false),
        (then(vec![nested([read()], []), write()]), false),
        (then(vec![nested([write(), read()], [])]), false),
        (then(vec![nested([write()], []), nested([read()], [])]), false),
        (Branches { then: vec![read()], otherwise: vec![write()] }, false),
    ]
}

/// TXN-039, case 27: a typed transaction that would make members differ does not leave; what they
/// refuse alike does, and is *rejected*.
async fn what_would_make_members_differ_is_not_sent(ctx: Ctx) -> CaseResult {
    let (cluster, members) = members(&ctx).await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let head = compacted_history(&client).await?;
    for revision in [1, head - 1, head + 100, -1, i64::MIN] {
        for (branches, divides) in shapes("should-not-exist", revision) {
            let error = client.execute(branches.typed()).await.unwrap_err();
            if divides || revision < 0 {
                assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{branches:?}");
                assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "{error}");
            } else {
                let refusal = if revision > head { FUTURE_REV } else { COMPACTED };
                refusal.is_answered(&error);
            }
        }
    }
    let mut stores = Vec::new();
    for member in &members {
        let store = member.get(all()).await?;
        assert!(store.kvs.iter().all(|kv| kv.key != "should-not-exist"));
        // The model has no hash of its store.
        let hash = if ctx.etcd.is_model() {
            0
        } else {
            member.rpc(HashKvRequest { revision: 0 }).await?.hash
        };
        stores.push((store.header.revision, store.kvs, hash));
    }
    assert!(stores.iter().all(|store| *store == stores[0]), "{stores:?}");
    assert_eq!(stores[0].0, head);
    Ok(())
}

/// Case 27, K36: what the client goes by, seen on servers. The messages are sent as they are.
async fn which_transactions_make_members_differ(ctx: Ctx) -> CaseResult {
    let (_cluster, members) = members(&ctx).await?;
    let head = compacted_history(&members[0]).await?;
    for revision in [1, head + 100, -1, i64::MIN] {
        let refusal = if revision > head { FUTURE_REV } else { COMPACTED };
        for number in 0..shapes("", revision).len() {
            let name: &str = Box::leak(format!("{revision}/{number}").into_boxed_str());
            let (branches, divides) = shapes(name, revision).swap_remove(number);
            let is_pinned = branches.typed().effect() == Effect::PinnedWrite;
            assert_eq!(is_pinned, divides, "{branches:?}");
            let error = members[0].rpc(branches.raw()).await.unwrap_err();
            refusal.is_read_from(&error);
            let outcome = if divides { Outcome::Unknown } else { Outcome::Rejected };
            assert_eq!(error.outcome(), outcome, "{branches:?}");
            for (index, member) in members.iter().enumerate() {
                let expected = divides && executes_what_was_refused(&ctx, index);
                let found = member.get(name).await?.count;
                assert_eq!(found, u64::from(expected), "member {index}, {branches:?}");
            }
        }
    }
    Ok(())
}

/// Tells whether a member executes a write that the first member was asked for and refused.
fn executes_what_was_refused(ctx: &Ctx, member: usize) -> bool {
    member != 0 && ctx.etcd.version < CHECKED_BY_ALL
}

/// TXN-040, K16: who asks for it gets it, and is told that nobody knows what came of it.
async fn a_compacted_read_behind_a_put_refuses_both(ctx: Ctx) -> CaseResult {
    let (_cluster, members) = members(&ctx).await?;
    let head = compacted_history(&members[0]).await?;
    let holds = key("k1").value().eq("v1");
    let ops = [Op::from(put("k2", "foo")), get("k1").revision(head - 1).into()];
    let txn = members[0].txn().when([holds]).then(ops);
    let error = txn.clone().await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
    let error = txn.dangerously_allow_pinned_reads_in_writes().await.unwrap_err();
    COMPACTED.is_read_from(&error);
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
    for (index, member) in members.iter().enumerate() {
        let expected = if executes_what_was_refused(&ctx, index) { "foo" } else { "v2" };
        assert_eq!(only(&member.get("k2").await?).value, expected, "member {index}");
    }
    Ok(())
}
