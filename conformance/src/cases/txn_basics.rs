//! Transactions: which branch runs, what it answers, which revision it has.

use super::kv_expect::{only, pairs};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Error, Op, Txn, TxnResponse, delete, get, key, put, txn};
use etcd3_core::rng::Rng;

pub(super) const CASES: &[Case] = &[
    case!(what_a_transaction_puts_is_read, ["TXN-005", "TXN-007"]).plain_and_tls(),
    case!(the_first_branch_runs_if_all_compares_hold, ["TXN-008", "TXN-009", "TXN-010"]),
    case!(the_second_branch_runs_if_one_does_not, ["TXN-011", "TXN-012"]),
    case!(only_a_change_moves_the_revision, ["TXN-027"]),
    case!(a_header_agrees_with_what_the_transaction_read, ["TXN-028"]),
    case!(nested_answers_follow_the_path_taken, ["TXN-036"]),
    case!(values_are_compared_byte_by_byte, ["TXN-041"]),
    case!(whether_a_key_exists_decides, ["TXN-042"]),
];

/// TXN-005, TXN-007, K35
async fn what_a_transaction_puts_is_read(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let plain = client.txn().then([put("foo", "bar")]).await?;
    assert!(plain.succeeded && plain.responses[0].as_put().is_some());
    let read = client.get("foo").await?;
    assert_eq!(pairs(&read), [("foo".to_owned(), "bar".to_owned())]);
    assert_eq!(only(&read).mod_revision, plain.header.revision);

    client.delete("foo").await?;
    let inner = txn().then([put("abc", "123")]);
    let answer = client
        .txn()
        .when([key("foo").version().eq(0)])
        .then([Op::from(put("foo", "bar")), inner.into()])
        .otherwise([put("foo", "baz")])
        .await?;
    assert!(answer.succeeded);
    assert_eq!(answer.responses.len(), 2);
    assert!(answer.responses[0].as_put().is_some());
    let nested = answer.responses[1].as_txn().ok_or("not a transaction")?;
    assert!(nested.succeeded && nested.responses[0].as_put().is_some());
    for (name, value) in [("foo", "bar"), ("abc", "123")] {
        let read = client.get(name).await?;
        assert_eq!(only(&read).value, value);
        assert_eq!(only(&read).mod_revision, answer.header.revision, "one revision for all");
    }
    Ok(())
}

async fn two_keys(client: &Client) -> Result<(), Error> {
    client.put("key1", "value1").await?;
    client.put("key2", "value2").await?;
    Ok(())
}

#[track_caller]
fn read_at(answer: &TxnResponse, index: usize) -> Vec<(String, String)> {
    pairs(answer.get(index).expect("the answer to a read"))
}

/// TXN-008, TXN-009, TXN-010, K30, K6
async fn the_first_branch_runs_if_all_compares_hold(ctx: Ctx) -> CaseResult {
    const ODD_KEY: &str = "key \"with\" space";
    const ODD_VALUE: &str = "value \x23";
    let (_server, client) = ctx.server_and_client().await?;
    two_keys(&client).await?;
    let first = [("key1".to_owned(), "value1".to_owned())];
    let second = [("key2".to_owned(), "value2".to_owned())];

    let by_value = [key("key1").value().ne("value2"), key("key2").value().ne("value1")];
    let answer = client.txn().when(by_value).then([get("key1"), get("key2")]).await?;
    assert!(answer.succeeded);
    assert_eq!(answer.responses.len(), 2);
    assert_eq!((&read_at(&answer, 0)[..], &read_at(&answer, 1)[..]), (&first[..], &second[..]));

    let by_version = [key("key1").version().eq(1), key("key2").version().eq(1)];
    let ops = [get("key1").into(), get("key2").into(), Op::from(put(ODD_KEY, ODD_VALUE))];
    let answer = client.txn().when(by_version).then(ops).otherwise([delete("key1")]).await?;
    assert!(answer.succeeded);
    assert_eq!(answer.responses.len(), 3);
    assert_eq!((&read_at(&answer, 0)[..], &read_at(&answer, 1)[..]), (&first[..], &second[..]));
    assert_eq!(answer.responses[2].as_put().ok_or("no put")?.prev_kv, None);

    let by_version = [key(ODD_KEY).version().eq(1)];
    let answer = client.txn().when(by_version).then([get(ODD_KEY)]).await?;
    assert!(answer.succeeded);
    assert_eq!(read_at(&answer, 0), [(ODD_KEY.to_owned(), ODD_VALUE.to_owned())]);
    let read = answer.get(0).ok_or("no read")?;
    assert_eq!(only(read).value.last(), Some(&0x23));
    Ok(())
}

/// TXN-011, TXN-012, K30
async fn the_second_branch_runs_if_one_does_not(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    two_keys(&client).await?;
    let fits = || key("key2").value().eq("value2");
    let misses = [key("key1").version().lt(0), key("key1").value().ne("value1")];
    for (n, miss) in (1..).zip(misses) {
        let ops = [put("key1", "success")];
        let name = format!("fail{n}");
        let answer =
            client.txn().when([fits(), miss]).then(ops).otherwise([put(&name, "fail")]).await?;
        assert!(!answer.succeeded);
        assert_eq!(answer.responses.len(), 1);
        assert!(answer.responses[0].as_put().is_some());
        assert_eq!(only(&client.get("key1").await?).value, "value1");
        assert_eq!(only(&client.get(&name).await?).value, "fail");
    }
    Ok(())
}

/// TXN-027, K27, K36
async fn only_a_change_moves_the_revision(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let revision = client.put("abc", "123").await?.header.revision;
    let read = client.txn().then([get("abc")]).await?;
    assert_eq!(read.header.revision, revision);
    let nothing = client.txn().then([delete("def")]).await?;
    assert_eq!(nothing.header.revision, revision);
    assert_eq!(nothing.responses[0].as_delete().map(|it| it.deleted), Some(0));
    let change = client.txn().then([put("abc", "123")]).await?;
    assert_eq!(change.header.revision, revision + 1);
    assert_eq!(client.get("abc").await?.header.revision, revision + 1);
    Ok(())
}

/// TXN-028, K17
async fn a_header_agrees_with_what_the_transaction_read(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for version in 0..10 {
        let put = ctx.spawn(client.put("k", "v").into_future());
        let read = client.txn().when([key("k").version().eq(version)]).then([get("k")]).await?;
        let put = put.await?.header.revision;
        let seen = read.header.revision;
        assert_eq!(read.succeeded, seen < put, "the put is {put}, what was read is {seen}");
        if read.succeeded {
            let count = read.get(0).map(|found| found.count);
            assert_eq!(count, Some(u64::from(version > 0)));
        }
    }
    Ok(())
}

/// A chain of nested transactions: at each level the next one is in the branch that runs.
fn chain(path: &[bool]) -> Txn {
    let Some((&holds, rest)) = path.split_first() else {
        return txn().then([get("leaf")]).into_whole();
    };
    let version = i64::from(!holds);
    let begun = txn().when([key("k").version().eq(version)]);
    if holds { begun.then([chain(rest)]).into_whole() } else { begun.otherwise([chain(rest)]) }
}

/// TXN-036, K30
async fn nested_answers_follow_the_path_taken(ctx: Ctx) -> CaseResult {
    const DEPTH: usize = 10;
    let (_server, client) = ctx.server_and_client().await?;
    client.put("leaf", "green").await?;
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let path: Vec<bool> = (0..DEPTH).map(|_| rng.below(2) == 0).collect();
        let answer = client.execute(chain(&path)).await?;
        let mut level = &answer;
        for (depth, &holds) in path.iter().enumerate() {
            assert_eq!(level.succeeded, holds, "seed {seed}, depth {depth}");
            assert_eq!(level.responses.len(), 1);
            level = level.responses[0].as_txn().ok_or("not nested")?;
        }
        assert!(level.succeeded);
        assert_eq!(read_at(level, 0), [("leaf".to_owned(), "green".to_owned())]);
    }
    Ok(())
}

/// TXN-041, K40
async fn values_are_compared_byte_by_byte(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("key", "xyz").await?;
    let greater = key("key").value().gt("abc");
    let txn = client.txn().when([greater]).then([put("key", "XYZ")]).otherwise([put("key", "ABC")]);
    assert!(txn.await?.succeeded);
    assert_eq!(only(&client.get("key").await?).value, "XYZ");

    // Bytes without a sign, and a prefix before what goes on.
    client.put("key", b"\x80").await?;
    let holds = [
        key("key").value().gt(b"\x7f"),
        key("key").value().lt(b"\x80\0"),
        key("key").value().gt(""),
        key("key").value().ne("x"),
    ];
    assert!(client.compare(holds).await?);
    assert!(!client.compare([key("key").value().lt(b"\x7f\xff")]).await?);
    Ok(())
}

/// TXN-042, K44
async fn whether_a_key_exists_decides(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    assert_eq!(key("purpleidea").missing(), key("purpleidea").version().eq(0));
    assert_eq!(key("purpleidea").exists(), key("purpleidea").version().gt(0));
    let create =
        || client.txn().when([key("purpleidea").missing()]).then([put("purpleidea", "hi")]);
    let remove = || client.txn().when([key("purpleidea").exists()]).then([delete("purpleidea")]);
    for (succeeds, count) in [(true, 1), (false, 1)] {
        assert_eq!(create().await?.succeeded, succeeds);
        assert_eq!(client.get("purpleidea").await?.count, count);
    }
    for succeeds in [true, false] {
        let answer = remove().await?;
        assert_eq!(answer.succeeded, succeeds);
        let deleted = answer.responses.first().and_then(|it| it.as_delete());
        assert_eq!(deleted.map(|it| it.deleted), succeeds.then_some(1));
        assert_eq!(client.get("purpleidea").await?.count, 0);
    }
    Ok(())
}
