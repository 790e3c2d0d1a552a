//! Why a server did not take a watch, or ended it.
//!
//! | response | meaning |
//! |---|---|
//! | `created` and `canceled`, with a status as its reason | not taken: permission, token, … |
//! | the same with "duplicate watch ID" | the id is in use on the stream |
//! | the same without a reason, from etcd's proxy | not taken |
//! | `canceled` with a compact revision | the position of the watch is compacted |
//! | `canceled` otherwise | ended by the server, or by our request |
//!
//! The reason is a text only: of a status of gRPC, or of the store.

// W3, W7, W8, W13, W14, W79, E6, I-W13

use super::position::Position;
use crate::Outcome;
use crate::auth::TokenReason;
use crate::error::{Cause, Error, ErrorKind};
use crate::server_error::{self, ServerError};

/// What is to be done about a creation that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another id is to be tried.
    DuplicateId,
    /// The token of the stream is too old: a stream with a newer one may be taken.
    // H8, I-W16
    Token(TokenReason, Error),
    /// The user may not read the range; or, before etcd 3.5.6, the token is too old.
    //
    Denied(Error),
    /// The watch ends.
    Final(Error),
}

/// Judges why a creation was refused.
pub(super) fn of_creation(reason: &str, position: Position) -> Refusal {
    if server_error::tells_of_a_duplicate_watch(reason) {
        return Refusal::DuplicateId;
    }
    let Some(status) = server_error::status_of_reason(reason) else {
        let error = Error::new(ErrorKind::WatchRefused).with_outcome(Outcome::Rejected);
        return Refusal::Final(error.with_cause(cause(reason)));
    };
    match ServerError::from_status(&status) {
        Some(ServerError::Compacted) => Refusal::Final(compacted(position, 0)),
        Some(ServerError::PermissionDenied) => {
            Refusal::Denied(Error::from_status(status, Outcome::Rejected))
        }
        known => {
            let error = Error::from_status(status, Outcome::Rejected);
            match known.and_then(TokenReason::of) {
                Some(reason) => Refusal::Token(reason, error),
                None => Refusal::Final(error),
            }
        }
    }
}

/// Makes the error of a watch that the server ended.
pub(super) fn of_end(reason: &str, compacted_at: i64, position: Position) -> Error {
    if compacted_at != 0 {
        return compacted(position, compacted_at);
    }
    match server_error::status_of_reason(reason) {
        Some(status) => Error::from_status(status, Outcome::Rejected),
        None => Error::new(ErrorKind::WatchCanceled)
            .with_outcome(Outcome::Rejected)
            .with_cause(cause(reason)),
    }
}

fn compacted(position: Position, compacted: i64) -> Error {
    let requested = position.next();
    Error::new(ErrorKind::WatchCompacted { requested, compacted }).with_outcome(Outcome::Rejected)
}

fn cause(reason: &str) -> Cause {
    Cause::new(if reason.is_empty() { "the server gave no reason" } else { reason })
}
