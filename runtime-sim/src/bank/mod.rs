//! A bank, to try transactions in memory on: accounts that money is moved between, and clerks who
//! do so. Whatever goes wrong, the sum stays, and the records of the clerks fit the order of the
//! revisions ([`transactions`]).
//!
//! It runs on any client, of a simulation or of real servers; [`world`] has it suffer in virtual
//! time.

mod clerk;
mod ledger;
pub mod world;

pub use ledger::{Ledger, Tally};

use crate::history::Change;
use crate::history::transactions::{self, Transaction};
use etcd3::recipes::{Isolation, Stm};
use etcd3::{Client, Error, Op, put};
use etcd3_core::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many accounts there are, and what each begins with.
pub const ACCOUNTS: u64 = 20;
const DEPOSIT: i64 = 100;
/// The keys of all accounts, and of the tokens of all transactions, begin with these.
const ACCOUNT_PREFIX: &str = "bank/accounts/";
const TOKEN_PREFIX: &str = "bank/tokens/";
/// What all keys of a bank begin with.
pub const PREFIX: &str = "bank/";

/// A bank that is open.
#[derive(Debug, Clone)]
pub struct Bank {
    /// The levels that its transactions are drawn from.
    levels: Vec<Isolation>,
    ledger: Ledger,
    begun: i64,
}

fn account(number: u64) -> String {
    format!("{ACCOUNT_PREFIX}{number:02}")
}

impl Bank {
    /// Makes all accounts, of which there are none yet.
    ///
    /// # Errors
    ///
    /// Those of any write.
    pub async fn open(client: &Client) -> Result<Self, Error> {
        let deposits = (0..ACCOUNTS).map(|n| Op::from(put(account(n), DEPOSIT.to_string())));
        let begun = client.txn().then(deposits).await?.header.revision;
        let levels = vec![
            Isolation::SerializableSnapshot,
            Isolation::Serializable,
            Isolation::RepeatableReads,
        ];
        Ok(Self { levels, ledger: Ledger::default(), begun })
    }

    /// Has all transactions be made at these levels, of which there is one at least.
    #[must_use]
    pub fn at_levels(mut self, levels: impl IntoIterator<Item = Isolation>) -> Self {
        self.levels = levels.into_iter().collect();
        self
    }

    /// Has a clerk make so many transactions, one after the other.
    pub async fn work(&self, client: &Client, number: u32, transactions: u32) {
        for n in 0..transactions {
            self.make_one(client, format!("{TOKEN_PREFIX}{number}-{n}")).await;
        }
    }

    /// Has a clerk make one transaction, with a token that is used nowhere else.
    pub async fn make_one(&self, client: &Client, token: String) {
        let mut rng = Rng::new(client.runtime().seed());
        let level = rng.below(self.levels.len() as u64);
        let level = usize::try_from(level).ok().and_then(|at| self.levels.get(at)).copied();
        let stm = Stm::new(client).isolation(level.unwrap_or_default());
        clerk::Clerk { client, stm, ledger: &self.ledger, rng }.make(token).await;
    }

    /// Returns the record of all transactions.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Checks the records against all changes of the store, from the opening on, in their order:
    /// the sum never changes, and each transaction is in its place.
    ///
    /// # Errors
    ///
    /// What does not hold, in words.
    pub fn check(&self, changes: &[Change]) -> Result<Tally, String> {
        let changes: Vec<Change> =
            changes.iter().filter(|change| change.key.starts_with(PREFIX)).cloned().collect();
        let history: Vec<Transaction> = self.ledger.transactions();
        let wrong = transactions::check(&history, &changes, self.begun);
        let sum = check_sum(&changes, self.begun);
        match (wrong, sum, self.ledger.odd_sum()) {
            (None, Ok(()), None) => Ok(Tally::of(&self.ledger, &changes)),
            (None, Err(sum), _) => Err(sum),
            (None, Ok(()), Some(seen)) => Err(format!("an audit saw a sum of {seen}")),
            (Some(violation), Ok(()), _) => Err(violation.to_string()),
            (Some(violation), Err(sum), _) => Err(format!("{sum}; {violation}")),
        }
    }
}

/// Checks that the accounts hold the same together after each revision.
fn check_sum(changes: &[Change], begun: i64) -> Result<(), String> {
    let total = i64::try_from(ACCOUNTS).unwrap_or_default() * DEPOSIT;
    let mut accounts: BTreeMap<&str, i64> = BTreeMap::new();
    for revision in changes.chunk_by(|one, next| one.revision == next.revision) {
        for Change { key, value, .. } in revision {
            if key.starts_with(ACCOUNT_PREFIX) {
                let value = value.as_ref().map_or(Ok(0), |value| value.parse());
                accounts.insert(key, value.map_err(|_| format!("no number in {key}"))?);
            }
        }
        let sum: i64 = accounts.values().sum();
        let at = revision.first().map_or(0, |change| change.revision);
        if at >= begun && sum != total {
            return Err(format!("the sum is {sum} after revision {at}, it was {total}"));
        }
    }
    Ok(())
}

/// What a clerk and the closures of its transactions write to.
type Shared<T> = Arc<std::sync::Mutex<T>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_that_changes_is_found() {
        let change = |revision, number, value: Option<&str>| Change {
            revision,
            key: account(number),
            value: value.map(ToOwned::to_owned),
        };
        let mut changes: Vec<Change> = (0..ACCOUNTS).map(|n| change(2, n, Some("100"))).collect();
        changes.extend([change(3, 0, Some("90")), change(3, 1, Some("110"))]);
        changes.extend([change(4, 0, None), change(4, 1, Some("200"))]);
        assert_eq!(check_sum(&changes, 2), Ok(()));
        changes.push(change(5, 2, Some("99")));
        assert!(check_sum(&changes, 2).unwrap_err().contains("1999 after revision 5"));
    }
}
