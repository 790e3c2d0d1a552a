//! Recipes that contend with etcd's own tools on a real server: `cargo xtask interop`.
//!
//! Half of the contenders are of this client, half are processes of `etcdctl`. Whoever holds writes
//! to the same key on the condition that it does, and finds nobody else there; the order in which
//! they hold is that in which they came.

pub mod locks;
mod tool;

use crate::BoxError;
use etcd3::{Client, Compare, delete, key, put};
use std::sync::{Mutex, PoisonError};

/// The key that is there while somebody holds what is contended for.
const HOLDER: &str = "holder";

/// What is contended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contended {
    /// A lock.
    Lock,
    /// The leadership of an election.
    Election,
}

impl Contended {
    /// Returns its name, which its keys begin with.
    const fn name(self) -> &'static str {
        match self {
            Self::Lock => "locks/one",
            Self::Election => "elections/one",
        }
    }
}

/// What is known of the contenders' kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of this client.
    Ours,
    /// A process of `etcdctl`.
    Etcdctl,
}

/// A contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contender {
    /// Whose it is.
    pub kind: Kind,
    /// Its number among all.
    pub number: usize,
}

/// Somebody held what is contended for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Who.
    pub contender: Contender,
    /// The revision that created its key.
    pub create_revision: i64,
    /// The revision of its first write as the holder.
    pub revision: i64,
}

/// Notes who held, and sees that it was alone.
#[derive(Debug)]
pub struct Book {
    client: Client,
    holdings: Mutex<Vec<Holding>>,
}

impl Book {
    /// Makes an empty book; what it reads and writes goes by this client.
    pub const fn new(client: Client) -> Self {
        Self { client, holdings: Mutex::new(Vec::new()) }
    }

    /// Enters and leaves the place of the holder, on the condition that it is the holder.
    ///
    /// # Errors
    ///
    /// When it is not, or another one is there, and when a call fails.
    pub async fn hold(
        &self,
        contender: Contender,
        create_revision: i64,
        fence: Compare,
    ) -> Result<(), BoxError> {
        let who = format!("{contender:?} of {create_revision}");
        let enter = self.client.txn().when([fence.clone(), key(HOLDER).missing()]);
        let entered = enter.then([put(HOLDER, who.clone())]).await?;
        if !entered.succeeded {
            return Err(self.not_alone(&who, "enters").await.into());
        }
        let revision = entered.header.revision;
        // Time for another one that thinks it holds, too.
        let rt = self.client.runtime();
        rt.sleep_until(rt.now() + std::time::Duration::from_millis(2)).await;
        let leave = self.client.txn().when([fence, key(HOLDER).value().eq(who.clone())]);
        if !leave.then([delete(HOLDER)]).await?.succeeded {
            return Err(self.not_alone(&who, "leaves").await.into());
        }
        let holding = Holding { contender, create_revision, revision };
        self.holdings.lock().unwrap_or_else(PoisonError::into_inner).push(holding);
        Ok(())
    }

    async fn not_alone(&self, who: &str, does: &str) -> String {
        let other = self.client.get(HOLDER).await.ok();
        let other = other.as_ref().and_then(|found| found.value_str()).unwrap_or("nobody");
        format!("{who} {does}, and {other} is there")
    }

    /// Returns who held, in that order.
    pub fn holdings(&self) -> Vec<Holding> {
        let mut all = self.holdings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort_by_key(|holding| holding.revision);
        all
    }
}

/// Returns those who held before somebody who had come earlier.
pub fn passed_over(holdings: &[Holding]) -> Vec<Holding> {
    let pairs = holdings.windows(2);
    let wrong = pairs.filter(|pair| pair[1].create_revision <= pair[0].create_revision);
    wrong.map(|pair| pair[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_before_its_turn_is_found() {
        let holding = |create_revision| {
            let contender = Contender { kind: Kind::Ours, number: 1 };
            Holding { contender, create_revision, revision: 0 }
        };
        assert_eq!(passed_over(&[1, 2, 5].map(holding)), []);
        assert_eq!(passed_over(&[1, 5, 2, 7, 7].map(holding)), [5, 7].map(holding));
    }
}
