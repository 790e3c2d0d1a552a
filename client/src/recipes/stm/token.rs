//! Tokens: keys by which a commit of unknown outcome is settled.

use super::backoff::Backoff;
use crate::{Bytes, Client, Error, IntoBytes, LeaseId, Outcome, Put, get, key, put};

/// What a commit writes under its token.
const COMMITTED: Bytes = Bytes::from_static(b"committed");
/// What is written so that no commit can take place any more.
const VOID: Bytes = Bytes::from_static(b"void");
/// How often a call of unknown outcome is made before it is given up.
const SETTLING_CALLS: u32 = 4;

/// A key that a commit writes beside the others, in the same transaction, if nobody has written it:
/// so the transaction takes place once at most, and its outcome can be found out.
///
/// All attempts of a run share it, and so do runs that are begun again with the same token. Each
/// transaction has a token of its own, such as `transfers/4711`. The key belongs to whoever chose
/// it, and so does its deletion: see [`delete`](Self::delete). It costs one compare and one write.
// I-S7
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StmToken {
    key: Bytes,
    lease: LeaseId,
}

/// What a token says of its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It was committed.
    Committed {
        /// At this revision.
        revision: i64,
    },
    /// It was not committed, and cannot be as long as the token stays.
    Void,
}

impl StmToken {
    /// Makes a token of a key.
    pub fn new(key: impl IntoBytes) -> Self {
        Self { key: key.into_bytes(), lease: LeaseId::NONE }
    }

    /// Attaches the key to a lease, so that it goes when the lease does. The lease must outlive all
    /// requests that may be under way with the token: minutes, not seconds.
    #[must_use]
    pub const fn lease(mut self, lease: LeaseId) -> Self {
        self.lease = lease;
        self
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &Bytes {
        &self.key
    }

    /// Finds out whether the transaction was committed, and makes it impossible if it was not.
    ///
    /// A request whose answer was lost may be delayed and be carried out later, so that the token
    /// is missing proves nothing. Where it is missing, this writes it: the commit then finds it
    /// there, and does nothing. To make the same transaction again after that takes another token.
    ///
    /// # Errors
    ///
    /// Those of any write. It may be called again until it says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the transaction as it was, or makes it impossible.
    pub async fn settle(&self, client: &Client) -> Result<TokenState, Error> {
        let mut backoff = Backoff::default();
        for _ in 1..SETTLING_CALLS {
            match self.settle_once(client).await {
                // To write it twice is the same as to write it once.
                Err(error) if error.outcome() == Outcome::Unknown && !error.is_closed() => {
                    backoff.wait(client.runtime()).await;
                }
                settled => return settled,
            }
        }
        self.settle_once(client).await
    }

    async fn settle_once(&self, client: &Client) -> Result<TokenState, Error> {
        let settling = client
            .txn()
            .when([key(self.key.clone()).missing()])
            .then([self.put(VOID)])
            .otherwise([get(self.key.clone())])
            .await?;
        let found = settling.get(0).and_then(|read| read.first());
        Ok(found.map_or(TokenState::Void, |kv| TokenState::of(&kv.value, kv.mod_revision)))
    }

    /// Deletes the key. For a token that says *committed*, once nobody will run its transaction
    /// again; one that is void has to stay as long as a request with it may be under way.
    ///
    /// # Errors
    ///
    /// Those of any write.
    pub async fn delete(&self, client: &Client) -> Result<(), Error> {
        client.delete(self.key.clone()).await.map(drop)
    }

    /// Writes that the transaction is committed.
    pub(super) fn commit(&self) -> Put {
        self.put(COMMITTED)
    }

    fn put(&self, value: Bytes) -> Put {
        put(self.key.clone(), value).lease(self.lease)
    }
}

impl TokenState {
    pub(super) fn of(value: &[u8], revision: i64) -> Self {
        if value == VOID { Self::Void } else { Self::Committed { revision } }
    }
}
