//! Transactions that no server takes: the client knows the same rules and says the same.

use super::kv_expect::{DUPLICATE_KEY, KEY_NOT_FOUND, TOO_MANY_OPS};
use super::txn_wire::{Branches, Step, nested};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, all, key, put};

pub(super) const CASES: &[Case] = &[
    case!(the_same_key_twice_in_a_branch, ["TXN-001", "TXN-017", "TXN-018", "TXN-019"]),
    case!(the_same_key_twice_across_levels, ["TXN-020", "TXN-021", "TXN-022"]),
    case!(deletions_may_overlap, ["TXN-024", "TXN-025"]),
    case!(too_many_operations_by_default, ["TXN-002"]),
    case!(too_many_of_any_part, ["TXN-013", "TXN-014", "TXN-015"]),
    case!(a_nested_transaction_has_what_its_parent_leaves, []),
    case!(an_operation_without_content, []),
];

async fn assert_empty(client: &Client) -> CaseResult {
    let store = client.get(all()).await?;
    assert_eq!((store.count, store.header.revision), (0, 1), "nothing was executed");
    Ok(())
}

/// TXN-001, TXN-017, TXN-018, TXN-019, K32
async fn the_same_key_twice_in_a_branch(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let pairs = [("foo", "bar1"), ("foo", "bar2")];
    let typed = client.txn().then(pairs.map(|(key, value)| put(key, value)));
    DUPLICATE_KEY.is_foreseen(&typed.await.unwrap_err());

    let table = [
        vec![Step::Put("foo"), Step::Put("foo")],
        vec![Step::Put("abc"), Step::Put("abc")],
        vec![Step::Put("abc"), Step::Delete("abc")],
        vec![Step::Put("abc"), Step::DeleteRange("a", "b")],
        vec![Step::Delete("abc"), Step::Put("abc")],
        vec![Step::DeleteRange("a", "b"), Step::Put("abc")],
    ];
    for steps in table {
        let then = Branches { then: steps.clone(), otherwise: vec![] };
        then.is_refused(&client, DUPLICATE_KEY).await;
        let otherwise = Branches { then: vec![], otherwise: steps };
        otherwise.is_refused(&client, DUPLICATE_KEY).await;
    }
    assert_empty(&client).await
}

/// TXN-020, TXN-021, TXN-022, K32
async fn the_same_key_twice_across_levels(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let put_either_way = || nested([Step::Put("abc")], [Step::Put("abc")]);
    let table = [
        vec![Step::Put("abc"), nested([Step::DeleteRange("a", "b")], [])],
        vec![Step::DeleteRange("a", "b"), nested([Step::Put("abc")], [])],
        vec![put_either_way(), put_either_way()],
    ];
    for then in table {
        let branches = Branches { then, otherwise: vec![] };
        branches.is_refused(&client, DUPLICATE_KEY).await;
    }
    assert_empty(&client).await?;
    // Only one of the branches runs, so one transaction may have the key in both.
    let once = Branches { then: vec![put_either_way()], otherwise: vec![Step::Put("abc")] };
    assert!(once.is_taken(&client).await?.succeeded);
    assert_eq!(client.get(all()).await?.kvs[0].version, 2, "once each way of sending");
    Ok(())
}

/// TXN-024, TXN-025, K32
async fn deletions_may_overlap(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let (one, range) = (|| Step::Delete("abc"), || Step::DeleteRange("a", "b"));
    let table = [
        vec![nested([one()], []), nested([one()], [one()])],
        vec![nested([range()], []), nested([range()], [range()])],
        vec![one(), range(), one(), range()],
    ];
    for then in table {
        client.put("abc", "x").await?;
        let count = then.len();
        let answer = Branches { then, otherwise: vec![] }.is_taken(&client).await?;
        assert_eq!((answer.succeeded, answer.responses.len()), (true, count));
        assert_eq!(client.get("abc").await?.count, 0);
    }
    Ok(())
}

fn puts(count: usize) -> Vec<Step> {
    let name = |n: usize| &*Box::leak(format!("k{n}").into_boxed_str());
    (0..count).map(|n| Step::Put(name(n))).collect()
}

/// TXN-002, K31
async fn too_many_operations_by_default(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let branches = Branches { then: puts(128 + 10), otherwise: vec![] };
    branches.is_refused(&client, TOO_MANY_OPS).await;
    assert_empty(&client).await
}

/// TXN-013, TXN-014, TXN-015, K31
async fn too_many_of_any_part(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(|server| server.flag("--max-txn-ops", "128")).await?;
    let client = ctx.connect([server.client_url()]).await?;
    Branches { then: puts(129), otherwise: vec![] }.is_refused(&client, TOO_MANY_OPS).await;
    Branches { then: vec![], otherwise: puts(129) }.is_refused(&client, TOO_MANY_OPS).await;
    compares(&client, 129).await.unwrap_err();
    assert_empty(&client).await?;

    let full = Branches { then: puts(128), otherwise: puts(128) };
    assert_eq!(full.is_taken(&client).await?.responses.len(), 128);
    assert_eq!(compares(&client, 128).await, Ok(()));

    // A server with another limit is met by a client that is told of it.
    let server = ctx.server_with(|server| server.flag("--max-txn-ops", "200")).await?;
    let config = Config::new([server.client_url()]).max_txn_ops(200);
    let client = ctx.connect_with(config).await?;
    let more = Branches { then: puts(200), otherwise: vec![] };
    assert_eq!(more.is_taken(&client).await?.responses.len(), 200);
    Branches { then: puts(201), otherwise: vec![] }.is_refused(&client, TOO_MANY_OPS).await;
    Ok(())
}

/// Sends that many compares both ways; the refusals must be the same.
async fn compares(client: &Client, count: usize) -> Result<(), ()> {
    let typed = client.txn().when((0..count).map(|_| key("k").version().eq(0))).await;
    let one = pb::Compare { key: "k".into(), ..pb::Compare::default() };
    let raw = pb::TxnRequest { compare: vec![one; count], ..pb::TxnRequest::default() };
    match (typed, client.rpc(raw).await) {
        (Ok(_), Ok(_)) => Ok(()),
        (Err(here), Err(there)) => {
            TOO_MANY_OPS.is_foreseen(&here);
            TOO_MANY_OPS.is_answered(&there);
            Err(())
        }
        (here, there) => panic!("{here:?} but {there:?}"),
    }
}

/// K31
async fn a_nested_transaction_has_what_its_parent_leaves(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let gets = |count: usize| vec![Step::Get("k"); count];
    let parent_and_child = |parent: usize, child: usize| {
        let mut then = gets(parent - 1);
        then.push(nested(gets(child), []));
        Branches { then, otherwise: vec![] }
    };
    for (parent, most) in [(1, 127), (28, 100), (127, 1), (128, 0)] {
        let answer = parent_and_child(parent, most).is_taken(&client).await?;
        let child = answer.responses[parent - 1].as_txn().ok_or("not a transaction")?;
        assert_eq!(child.responses.len(), most);
        parent_and_child(parent, most + 1).is_refused(&client, TOO_MANY_OPS).await;
    }
    // The longest part counts, also one that has nothing to do with the nested transaction.
    let longer = Branches { then: vec![nested(gets(100), [])], otherwise: gets(29) };
    longer.is_refused(&client, TOO_MANY_OPS).await;
    Ok(())
}

/// K33
async fn an_operation_without_content(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let success = vec![Step::Put("k").raw(), pb::RequestOp { request: None }];
    let raw = pb::TxnRequest { success, ..pb::TxnRequest::default() };
    KEY_NOT_FOUND.is_answered(&client.rpc(raw).await.unwrap_err());
    assert_empty(&client).await
}
