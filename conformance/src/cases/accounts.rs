//! Callers that keep account of what they wrote while something happens to their server.

use crate::BoxError;
use crate::task::JoinHandle;
use crate::{CaseResult, Ctx};
use etcd3::{Client, Error, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The pause between two rounds of a caller, so that a load of seconds is thousands of calls.
const PAUSE: Duration = Duration::from_millis(2);

/// Callers that write and read back, each its own key, until they are stopped.
pub(super) struct Callers {
    tasks: Vec<JoinHandle<Account>>,
    stopped: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
}

/// What a caller knows of its key.
#[derive(Debug, Default)]
pub(super) struct Account {
    key: String,
    /// The number of writes that were acknowledged.
    written: i64,
    /// The number of writes that may have been applied.
    unknown: i64,
    /// The errors of writes, all kinds.
    pub(super) failed_writes: Vec<Error>,
    /// What went wrong with reads: they failed, or did not show what had been written.
    pub(super) bad_reads: Vec<String>,
}

impl Callers {
    /// Starts so many callers. Writes have the client's timeout.
    pub(super) fn start(ctx: &Ctx, client: &Client, count: usize) -> Self {
        let (stopped, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let tasks = (0..count).map(|number| {
            let (client, key) = (client.clone(), format!("account/{number}"));
            let (stopped, calls) = (Arc::clone(&stopped), Arc::clone(&calls));
            let beside = ctx.clone();
            ctx.spawn(async move {
                let mut account = Account { key, ..Account::default() };
                while !stopped.load(Ordering::Relaxed) {
                    account.go_on(&client).await;
                    calls.fetch_add(2, Ordering::Relaxed);
                    beside.pause(PAUSE).await;
                }
                account
            })
        });
        Self { tasks: tasks.collect(), stopped, calls }
    }

    /// Counts the calls that have ended.
    pub(super) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Ends them, and returns what they know.
    pub(super) async fn stop(self) -> Vec<Account> {
        self.stopped.store(true, Ordering::Relaxed);
        let mut accounts = Vec::new();
        for caller in self.tasks {
            accounts.push(caller.await);
        }
        accounts
    }
}

impl Account {
    /// Writes once and reads once.
    async fn go_on(&mut self, client: &Client) {
        match client.put(self.key.as_str(), "v").await {
            Ok(_) => self.written += 1,
            Err(error) => {
                self.unknown += i64::from(error.outcome() == Outcome::Unknown);
                self.failed_writes.push(error);
            }
        }
        match client.get(self.key.as_str()).await {
            Ok(read) => {
                let version = read.kvs.first().map_or(0, |kv| kv.version);
                if !self.fits(version) {
                    self.bad_reads.push(format!("version {version} of {self:?}"));
                }
            }
            Err(error) => self.bad_reads.push(error.report().to_string()),
        }
    }

    /// Tells whether the key can have been written so often: nothing is lost, and nothing applied
    /// twice.
    fn fits(&self, version: i64) -> bool {
        (self.written..=self.written + self.unknown).contains(&version)
    }
}

/// Asserts that nothing was lost or applied twice, by a client that goes another way, and that no
/// read failed.
pub(super) async fn balance(accounts: &[Account], direct: &Client) -> Result<(), BoxError> {
    for account in accounts {
        let read = direct.get(account.key.as_str()).await?;
        let version = read.kvs.first().map_or(0, |kv| kv.version);
        assert!(account.fits(version), "version {version} of {account:?}");
        assert!(account.bad_reads.is_empty(), "{:?}", account.bad_reads);
    }
    Ok(())
}

/// Asserts the same, and that no write failed either.
pub(super) async fn balance_without_failures(accounts: &[Account], direct: &Client) -> CaseResult {
    balance(accounts, direct).await?;
    for account in accounts {
        assert!(account.failed_writes.is_empty(), "{:?}", account.failed_writes);
    }
    Ok(())
}
