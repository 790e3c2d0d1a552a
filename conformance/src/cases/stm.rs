//! Transactions in memory.

use crate::{Case, CaseResult, Ctx, case};
use etcd3::recipes::{Committed, Interrupted, Isolation, Stm, StmError, Transaction};
use etcd3::{Client, Op, put};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub(super) const CASES: &[Case] = &[
    case!(concurrent_transfers_keep_the_sum, ["CONC-010", "CONC-022"]),
    case!(a_closure_that_gives_up_writes_nothing, ["CONC-024"]),
    case!(a_closure_sees_all_keys_at_one_revision, ["CONC-025"]),
    case!(conflicts_run_the_closure_again, ["CONC-026", "CONC-027"]),
];

const ACCOUNTS: usize = 5;

fn account(number: usize) -> String {
    format!("accounts/{number}")
}

async fn balance(tx: &mut Transaction, name: &str) -> Result<i64, Interrupted> {
    let value = tx.get(name).await?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&value).parse().unwrap_or_default())
}

/// Moves a third of what an account has to another one.
async fn transfer(stm: Stm, from: usize, to: usize) -> Result<u32, StmError<Interrupted>> {
    let (from, to) = (&account(from), &account(to));
    let done = stm
        .run(|mut tx| async move {
            let (has, other) = (balance(&mut tx, from).await?, balance(&mut tx, to).await?);
            let amount = has / 3;
            tx.put(from, (has - amount).to_string());
            tx.put(to, (other + amount).to_string());
            Ok(())
        })
        .await?;
    Ok(done.attempts)
}

async fn sum(client: &Client) -> Result<i64, StmError<Interrupted>> {
    let sum = Stm::new(client)
        .run(|mut tx| async move {
            let mut sum = 0;
            for number in 0..ACCOUNTS {
                sum += balance(&mut tx, &account(number)).await?;
            }
            Ok(sum)
        })
        .await?;
    Ok(sum.value)
}

/// CONC-010, CONC-022
async fn concurrent_transfers_keep_the_sum(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let accounts = (0..ACCOUNTS).map(|number| Op::from(put(account(number), "100")));
    client.txn().then(accounts).await?;
    for isolation in [Isolation::SerializableSnapshot, Isolation::RepeatableReads] {
        let stm = Stm::new(&client).isolation(isolation);
        // All pairs of neighbours, twice, so that each account is wanted by four at once.
        let transfers = (0..2 * ACCOUNTS).map(|n| {
            let (from, step) = (n % ACCOUNTS, 1 + n / ACCOUNTS);
            ctx.spawn(transfer(stm.clone(), from, (from + step) % ACCOUNTS))
        });
        for transfer in transfers.collect::<Vec<_>>() {
            assert!(transfer.await? >= 1);
        }
        assert_eq!(sum(&client).await?, 500, "{isolation:?}");
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
struct GaveUp(Option<Interrupted>);

impl std::fmt::Display for GaveUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl From<Interrupted> for GaveUp {
    fn from(interrupted: Interrupted) -> Self {
        Self(Some(interrupted))
    }
}

/// CONC-024
async fn a_closure_that_gives_up_writes_nothing(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let before = client.put("read", "1").await?.header.revision;
    for isolation in [Isolation::SerializableSnapshot, Isolation::RepeatableReads] {
        let stm = Stm::new(&client).isolation(isolation);
        let run = stm.run(|mut tx| async move {
            tx.put("foo", "baz");
            tx.get("read").await?;
            if tx.get("foo").await?.is_some_and(|value| value == "baz") {
                return Err(GaveUp(None));
            }
            tx.put("foo", "bap");
            Ok(())
        });
        assert_eq!(run.await.unwrap_err(), StmError::Aborted(GaveUp(None)));
        let found = client.get("foo").await?;
        assert_eq!((found.count, found.header.revision), (0, before));
    }
    Ok(())
}

/// CONC-025, X32
async fn a_closure_sees_all_keys_at_one_revision(ctx: Ctx) -> CaseResult {
    const ROUNDS: u32 = 5;
    let (_server, client) = ctx.server_and_client().await?;
    let keys: Vec<String> = (0..5).map(|n| format!("keys/{n}")).collect();
    let keys = Arc::new(keys);
    let all = {
        let keys = Arc::clone(&keys);
        move |round: u32| keys.iter().map(|key| put(key, round.to_string())).collect::<Vec<_>>()
    };
    client.txn().then(all(0)).await?;
    let (writer, round) = (client.clone(), Arc::new(AtomicU32::new(0)));
    let told = Arc::clone(&round);
    let writing = ctx.spawn(async move {
        for round in 1..=ROUNDS {
            writer.txn().then(all(round)).await?;
            told.store(round, Ordering::Relaxed);
        }
        Ok::<_, etcd3::Error>(())
    });
    for isolation in [Isolation::Serializable, Isolation::SerializableSnapshot] {
        loop {
            let is_last = round.load(Ordering::Relaxed) == ROUNDS;
            let keys = &keys;
            let run: Committed<_> = Stm::new(&client)
                .isolation(isolation)
                .run(|mut tx| async move {
                    let mut values = Vec::new();
                    for key in keys.iter() {
                        values.push(tx.get(key).await?);
                    }
                    assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
                    tx.put("seen", values[0].clone().unwrap_or_default());
                    Ok::<_, Interrupted>(values[0].clone())
                })
                .await?;
            if is_last {
                assert_eq!(run.value.ok_or("no value")?, ROUNDS.to_string());
                break;
            }
        }
    }
    writing.await?;
    Ok(())
}

/// CONC-026, CONC-027
async fn conflicts_run_the_closure_again(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    let runs = AtomicU32::new(0);
    let (times, deleting) = (&runs, &client);
    let done = Stm::new(&client)
        .run(|mut tx| async move {
            tx.get("foo").await?;
            if times.fetch_add(1, Ordering::Relaxed) == 0 {
                deleting.delete("foo").await.expect("the server is well");
            }
            tx.put("foo2", "bar2");
            Ok::<_, Interrupted>(())
        })
        .await?;
    assert_eq!((runs.load(Ordering::Relaxed), done.attempts), (2, 2));
    assert_eq!(client.get("foo2").await?.value_str(), Some("bar2"));

    // What a snapshot writes without having read it is compared, and that is no conflict.
    client.put("a", "0").await?;
    for round in 1..=2 {
        let done = Stm::new(&client)
            .max_attempts(3)
            .run(|mut tx| async move {
                tx.get("a").await?;
                tx.put("b", "1");
                Ok::<_, Interrupted>(())
            })
            .await?;
        let b = client.get("b").await?;
        assert_eq!((b.kvs[0].version, b.kvs[0].mod_revision), (round, done.revision));
    }
    Ok(())
}
