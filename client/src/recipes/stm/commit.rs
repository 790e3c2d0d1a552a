//! The commit: one transaction of etcd.

use super::attempt::{Attempt, Reads};
use super::{Stm, StmError, TokenState};
use crate::{Bytes, Error, Get, Outcome, ServerError, TxnResponse, get, key};

/// How a commit ended.
#[derive(Debug)]
pub(super) enum End {
    /// It took place.
    Done { revision: i64 },
    /// Something has changed: what the keys hold now that the attempt had read.
    Conflict(Reads),
}

impl Stm {
    /// Commits an attempt, if all that it read still holds.
    pub(super) async fn commit<E>(
        &self,
        attempt: Attempt,
        attempts: u32,
    ) -> Result<End, StmError<E>> {
        if attempt.is_settled() {
            return Ok(End::Done { revision: attempt.read_revision() });
        }
        let keys = attempt.keys_to_read_ahead();
        let mut operations = attempt.operations();
        let token = self.token.as_ref().filter(|_| !operations.is_empty());
        let (mut compares, writes) = (attempt.compares(), operations.len());
        if let Some(token) = token {
            compares.push(key(token.key().clone()).missing());
            operations.push(token.commit().into());
        }
        let sizes = (compares.len(), writes);
        // Where nothing is written, these have a majority asked: nothing but compares would be
        // answered from what one member has. The client adds such a read where there is none.
        // K37, X35
        let looks = token.map(|token| get(token.key().clone()));
        let looks: Vec<Get> = looks.into_iter().chain(Attempt::gets(&keys)).collect();
        let commit = self.client.txn().when(compares).then(operations).otherwise(looks);
        match commit.await {
            Ok(answer) if answer.succeeded => Ok(End::Done { revision: answer.header.revision }),
            Ok(answer) => conflict(answer, token.is_some(), keys),
            Err(error) => Err(self.failed(error, attempts, sizes)),
        }
    }

    /// Returns what follows from a commit that failed.
    // I-S7
    fn failed<E>(&self, error: Error, attempts: u32, sizes: (usize, usize)) -> StmError<E> {
        let (compares, writes) = sizes;
        if error.server_error() == Some(ServerError::TooManyOps) {
            return StmError::TooManyOps { compares, writes, error };
        }
        if error.outcome() == Outcome::Unknown && writes > 0 {
            return StmError::Unknown { error, attempts, token: self.token.clone() };
        }
        StmError::Call { error, attempts }
    }
}

/// Takes what a commit read that met a conflict: the token first, if there is one.
fn conflict<E>(answer: TxnResponse, has_token: bool, keys: Vec<Bytes>) -> Result<End, StmError<E>> {
    let revision = answer.header.revision;
    let mut read =
        answer.responses.into_iter().map(|one| one.as_get().and_then(|got| got.first().cloned()));
    if has_token && let Some(kv) = read.next().flatten() {
        return Err(StmError::TokenUsed(TokenState::of(&kv.value, kv.mod_revision)));
    }
    let found = keys.into_iter().zip(read).collect();
    Ok(End::Conflict(Reads { revision, found }))
}
