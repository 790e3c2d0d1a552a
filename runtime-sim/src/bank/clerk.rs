//! A clerk: one transaction after the other, each on record.

use super::ledger::{Ledger, Number};
use super::{ACCOUNT_PREFIX, ACCOUNTS, DEPOSIT, account};
use crate::history::transactions::{Ending, Read};
use etcd3::recipes::{Interrupted, Stm, StmError, StmToken, TokenState, Transaction};
use etcd3::{Bytes, Client, prefix};
use etcd3_core::rng::Rng;
use std::fmt;

/// How often a clerk asks what became of a transaction of unknown outcome.
const SETTLING: u32 = 20;

pub(super) struct Clerk<'a> {
    pub(super) client: &'a Client,
    pub(super) stm: Stm,
    pub(super) ledger: &'a Ledger,
    pub(super) rng: Rng,
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Moves an amount from one account to another.
    Transfer { from: u64, to: u64, amount: i64 },
    /// Moves half of the difference from the richest account to the poorest, as all are seen.
    Level,
    /// Adds all accounts up, each read by its name.
    Audit,
    /// Adds all accounts up, read as one range.
    AuditRange,
}

/// Why a closure gave up.
#[derive(Debug)]
enum GaveUp {
    Interrupted,
    /// There is not enough on the account.
    Short,
}

impl From<Interrupted> for GaveUp {
    fn from(_: Interrupted) -> Self {
        Self::Interrupted
    }
}

impl fmt::Display for GaveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn amount_of(value: Option<&str>) -> i64 {
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

impl Clerk<'_> {
    fn draw(&mut self) -> Order {
        let from = self.rng.below(ACCOUNTS);
        let to = (from + 1 + self.rng.below(ACCOUNTS - 1)) % ACCOUNTS;
        match self.rng.below(20) {
            0..14 => {
                // Now and then all that there is, or more.
                let most = if self.rng.below(4) == 0 { 2 * DEPOSIT } else { DEPOSIT / 4 };
                let amount = 1 + self.rng.below(u64::try_from(most).unwrap_or(1));
                Order::Transfer { from, to, amount: i64::try_from(amount).unwrap_or(1) }
            }
            14..16 => Order::Level,
            16..18 => Order::Audit,
            _ => Order::AuditRange,
        }
    }

    /// Makes one transaction.
    pub(super) async fn make(mut self, token: String) {
        let order = self.draw();
        let rt = self.client.runtime();
        let number = self.ledger.begin(rt.now(), &token);
        let ledger = self.ledger;
        let token = StmToken::new(token);
        let stm = self.stm.clone().token(token.clone());
        let run = stm.run(|tx| {
            ledger.begin_attempt(number);
            Desk { ledger, number, tx }.follow(order)
        });
        let ending = match run.await {
            Ok(done) => {
                ledger.count_attempts(done.attempts);
                Ending::Committed(done.revision)
            }
            Err(StmError::Unknown { .. }) => self.settle(&token).await,
            // A token is used by one transaction alone, and by one run.
            Err(StmError::TokenUsed(_)) => Ending::Unknown,
            Err(error) => {
                match error {
                    StmError::Contended { .. } => ledger.count_contended(),
                    StmError::Aborted(_) => ledger.count_aborted(),
                    _ => {}
                }
                Ending::Failed
            }
        };
        ledger.end(number, rt.now(), ending);
        if matches!(ending, Ending::Committed(_)) && self.rng.below(4) == 0 {
            // Whether it succeeds does not matter: nobody makes the transaction again.
            token.delete(self.client).await.ok();
        }
    }

    /// Finds out what became of a transaction, or leaves it unknown.
    async fn settle(&mut self, token: &StmToken) -> Ending {
        if self.rng.below(3) == 0 {
            return Ending::Unknown;
        }
        for _ in 0..SETTLING {
            match token.settle(self.client).await {
                Ok(TokenState::Committed { revision }) => return Ending::Settled(Some(revision)),
                Ok(TokenState::Void) => return Ending::Settled(None),
                Err(_) => {}
            }
        }
        Ending::Unknown
    }
}

/// One attempt, on record.
struct Desk<'a> {
    ledger: &'a Ledger,
    number: Number,
    tx: Transaction,
}

impl Desk<'_> {
    async fn follow(mut self, order: Order) -> Result<(), GaveUp> {
        match order {
            Order::Transfer { from, to, amount } => {
                let (from, to) = (account(from), account(to));
                let has = self.read(&from).await?;
                let other = self.read(&to).await?;
                if has < amount {
                    return Err(GaveUp::Short);
                }
                self.write(from, has - amount);
                self.write(to, other + amount);
            }
            Order::Level => {
                let accounts = self.read_all().await?;
                let all = (0..ACCOUNTS).map(account).map(|name| {
                    let held = accounts.iter().find(|(key, _)| *key == name);
                    (amount_of(held.map(|(_, value)| &value[..])), name)
                });
                let all: Vec<(i64, String)> = all.collect();
                let (Some(least), Some(most)) = (all.iter().min(), all.iter().max()) else {
                    return Ok(());
                };
                let amount = (most.0 - least.0) / 2;
                if amount > 0 {
                    self.write(most.1.clone(), most.0 - amount);
                    self.write(least.1.clone(), least.0 + amount);
                }
            }
            Order::Audit => {
                let names: Vec<String> = (0..ACCOUNTS).map(account).collect();
                self.tx.get_many(&names).await?;
                let mut sum = 0;
                for name in &names {
                    sum += self.read(name).await?;
                }
                self.note(sum);
            }
            Order::AuditRange => {
                let accounts = self.read_all().await?;
                self.note(accounts.iter().map(|(_, value)| amount_of(Some(value))).sum());
            }
        }
        Ok(())
    }

    /// Takes a sum; where all is read at one revision, it must be right before any commit.
    fn note(&self, sum: i64) {
        let total = i64::try_from(ACCOUNTS).unwrap_or_default() * DEPOSIT;
        if self.tx.base_revision().is_some() && sum != total {
            self.ledger.note_odd_sum(sum);
        }
    }

    async fn read(&mut self, name: &str) -> Result<i64, GaveUp> {
        let value = self.tx.get(name).await?.as_ref().map(text);
        let revision = self.tx.rev(name).await?;
        let amount = amount_of(value.as_deref());
        let found = value.map(|value| (value, revision));
        self.ledger.read(self.number, Read::Key { key: name.to_owned(), found });
        Ok(amount)
    }

    async fn read_all(&mut self) -> Result<Vec<(String, String)>, GaveUp> {
        let pairs = self.tx.range(prefix(ACCOUNT_PREFIX)).await?;
        let pairs: Vec<(String, String)> =
            pairs.iter().map(|(key, value)| (text(key), text(value))).collect();
        let (prefix, found) = (ACCOUNT_PREFIX.to_owned(), pairs.clone());
        self.ledger.read(self.number, Read::Prefix { prefix, found });
        Ok(pairs)
    }

    /// Writes what an account holds; one that holds nothing is closed.
    fn write(&mut self, name: String, amount: i64) {
        let value = (amount != 0).then(|| amount.to_string());
        match &value {
            Some(value) => self.tx.put(&name, value),
            None => self.tx.delete(&name),
        }
        self.ledger.write(self.number, name, value);
    }
}
