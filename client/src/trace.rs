//! What the client tells `tracing`.
//!
//! | target | level | message | fields |
//! |---|---|---|---|
//! | `etcd3::auth` | DEBUG | `token obtained` | `reason` |
//! | `etcd3::auth` | DEBUG | `no token needed` | `reason` |
//! | `etcd3::auth` | WARN | `no token` | `reason`, `error` |
//! | `etcd3::call` | DEBUG | `attempt failed` | A |
//! | `etcd3::call` | WARN | `response refused` | A |
//! | `etcd3::call` | DEBUG | `call failed` | `method`, `endpoint`, `attempts`, `error`, `outcome` |
//! | `etcd3::connection` | INFO | `connected` | `endpoint` |
//! | `etcd3::connection` | INFO | `disconnected` | C |
//! | `etcd3::connection` | INFO, then DEBUG | `cannot connect` | C |
//! | `etcd3::endpoint` | WARN | `suspect` | `endpoint` |
//! | `etcd3::endpoint` | INFO | `no longer suspect` | `endpoint` |
//! | `etcd3::endpoint` | INFO | `version unknown` | `endpoint`, `error` |
//! | `etcd3::lease` | WARN | `lease late` | `lease`, `late_by`, `error` |
//! | `etcd3::lease` | WARN | `lease lost` | `lease`, `reason`, `error` |
//! | `etcd3::lease` | INFO | `session regranted` | `lease`, `keys` |
//! | `etcd3::lease` | WARN | `key not registered` | `lease`, `error` |
//! | `etcd3::stream` | DEBUG | `stream lost` | `method`, `endpoint`, `error` |
//! | `etcd3::sync` | DEBUG | `the members are not known` | `error` |
//!
//! A: `method`, `endpoint`, `attempt`, `error`, `outcome`, `again_in`. C: `endpoint`, `failure`,
//! `cause`.
//!
//! A response is refused when it is older than what was seen before, or of another cluster. An
//! endpoint is a suspect when it left calls unanswered or cannot serve them. What fails again in
//! the same way is told at DEBUG. A stream of watches or leases that is lost is opened again. A
//! lease is late while its renewal is overdue, but its time is not over. A key of a session that is
//! granted anew is not registered when its write is refused; it is tried again, and told once for
//! each lease. A version is unknown when `Config::min_server_version` asks for one and the member
//! does not tell it to this user.
//!
//! With the feature `tracing-spans`, each call is a span `call` as well, of target `etcd3::call`
//! and level INFO, with the fields `method`, and from its end on `endpoint`, `attempts` and
//! `outcome`: `ok`, `not sent`, `rejected` or `unknown`. What the client does for the call is told
//! within it.
//!
//! `method` is the path of the gRPC method, `attempt` counts from 1, `again_in` is the wait before
//! the next attempt. No event has a key, a value, a token or a password in it.

use crate::pool::Pool;
use etcd3_core::LeaseId;
#[cfg(feature = "tracing-spans")]
use etcd3_core::Outcome;
use etcd3_core::auth::TokenReason;
use etcd3_core::channel::{ConnectionError, ConnectionState, EndpointId};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Error, ErrorKind};
use etcd3_core::lease::LeaseLost;
use std::fmt;
use std::time::Duration;
use tracing::{Level, debug, enabled, info, warn};

const AUTH: &str = "etcd3::auth";
const CALL: &str = "etcd3::call";
const CONNECTION: &str = "etcd3::connection";
const ENDPOINT: &str = "etcd3::endpoint";
const LEASE: &str = "etcd3::lease";
const STREAM: &str = "etcd3::stream";
const SYNC: &str = "etcd3::sync";

/// Tells of an attempt that failed and is made again after a wait.
#[cold]
pub(crate) fn attempt_failed(
    method: &str,
    endpoint: Option<&Endpoint>,
    attempt: u32,
    error: &Error,
    again_in: Duration,
) {
    let (endpoint, outcome) = (Shown(endpoint), error.outcome());
    let again_in = format_args!("{again_in:?}");
    let error = error.kind();
    // The fields are the same: the macros take them only as they stand.
    macro_rules! tell {
        ($event:ident, $message:literal) => {
            $event!(
                target: CALL, method, %endpoint, attempt, %error, ?outcome, %again_in, $message
            )
        };
    }
    if matches!(error, ErrorKind::StaleRead { .. } | ErrorKind::ClusterChanged { .. }) {
        tell!(warn, "response refused");
    } else {
        tell!(debug, "attempt failed");
    }
}

/// Tells of a token that was asked for and came.
#[cold]
pub(crate) fn token_obtained(reason: TokenReason) {
    debug!(target: AUTH, ?reason, "token obtained");
}

/// Tells that authentication is switched off.
#[cold]
pub(crate) fn no_token_needed(reason: TokenReason) {
    debug!(target: AUTH, ?reason, "no token needed");
}

/// Tells of a token that was asked for and did not come.
#[cold]
pub(crate) fn no_token(reason: TokenReason, error: &Error) {
    let error = error.report();
    warn!(target: AUTH, ?reason, %error, "no token");
}

/// Tells of a call that ended in an error.
#[cold]
pub(crate) fn call_failed(method: &str, endpoint: Option<&Endpoint>, error: &Error) {
    let (endpoint, outcome) = (Shown(endpoint), error.outcome());
    let (attempts, error) = (error.attempts(), error.kind());
    debug!(target: CALL, method, %endpoint, attempts, %error, ?outcome, "call failed");
}

/// Tells of a member that does not tell its version to this user.
#[cold]
pub(crate) fn version_unknown(endpoint: &str, error: &Error) {
    let error = error.report();
    info!(target: ENDPOINT, endpoint, %error, "version unknown");
}

/// Makes the span of a call.
#[cfg(feature = "tracing-spans")]
pub(crate) fn span_of_call(method: &'static str) -> tracing::Span {
    use tracing::field::Empty;
    tracing::info_span!(
        target: CALL, "call", method, endpoint = Empty, attempts = Empty, outcome = Empty
    )
}

/// Completes the span of a call that is over; a success after so many attempts.
#[cfg(feature = "tracing-spans")]
pub(crate) fn end_span(span: &tracing::Span, last: Option<&Endpoint>, result: Result<u32, &Error>) {
    if span.is_disabled() {
        return;
    }
    if let Some(endpoint) = last {
        span.record("endpoint", tracing::field::display(endpoint));
    }
    let (attempts, outcome) = match result {
        Ok(attempts) => (attempts, "ok"),
        Err(error) => (
            error.attempts(),
            match error.outcome() {
                Outcome::NotSent => "not sent",
                Outcome::Rejected => "rejected",
                Outcome::Unknown => "unknown",
            },
        ),
    };
    span.record("attempts", attempts);
    span.record("outcome", outcome);
}

/// Tells of a stream that was lost and is opened again.
#[cold]
pub(crate) fn stream_lost(method: &str, endpoint: Option<&Endpoint>, error: Option<&Error>) {
    let (endpoint, error) = (Shown(endpoint), Shown(error.map(Error::report)));
    debug!(target: STREAM, method, %endpoint, %error, "stream lost");
}

/// Tells of a lease whose renewal is overdue.
#[cold]
pub(crate) fn lease_late(lease: LeaseId, late_by: Duration, error: Option<&Error>) {
    let (late_by, error) = (format_args!("{late_by:?}"), Shown(error.map(Error::report)));
    warn!(target: LEASE, %lease, %late_by, %error, "lease late");
}

/// Tells of a lease that is lost.
#[cold]
pub(crate) fn lease_lost(lease: LeaseId, lost: &LeaseLost) {
    let (reason, error) = (lost.reason, Shown(lost.cause.as_ref().map(Error::report)));
    warn!(target: LEASE, %lease, %reason, %error, "lease lost");
}

/// Tells of a session that goes on with another lease.
#[cold]
pub(crate) fn session_regranted(lease: LeaseId, keys: usize) {
    info!(target: LEASE, %lease, keys, "session regranted");
}

/// Tells of a key of a session that is refused on the lease that the session goes on with.
#[cold]
pub(crate) fn key_not_registered(lease: LeaseId, error: &Error) {
    let error = error.report();
    warn!(target: LEASE, %lease, %error, "key not registered");
}

/// Tells of a connection that can take calls.
pub(crate) fn connected(endpoint: &Endpoint) {
    info!(target: CONNECTION, %endpoint, "connected");
}

/// Tells of a connection that ended.
pub(crate) fn disconnected(endpoint: &Endpoint, error: &ConnectionError) {
    let (failure, cause) = (error.failure, Shown(error.cause.as_ref()));
    info!(target: CONNECTION, %endpoint, %failure, %cause, "disconnected");
}

/// Tells of a connection that could not be made: quietly, when it failed so the last time.
pub(crate) fn cannot_connect(endpoint: &Endpoint, error: &ConnectionError, is_repeated: bool) {
    let (failure, cause) = (error.failure, Shown(error.cause.as_ref()));
    if is_repeated {
        debug!(target: CONNECTION, %endpoint, %failure, %cause, "cannot connect");
    } else {
        info!(target: CONNECTION, %endpoint, %failure, %cause, "cannot connect");
    }
}

/// Tells that the cluster could not be asked for its members.
pub(crate) fn no_members(error: &Error) {
    debug!(target: SYNC, error = %error.report(), "the members are not known");
}

/// The endpoints that are suspects, to tell what changes.
#[derive(Debug, Default)]
pub(crate) struct Suspects(Vec<EndpointId>);

impl Suspects {
    /// Tells of the endpoints that have become suspects since the last time, or are none any more.
    pub(crate) fn update(&mut self, pool: &Pool) {
        if !enabled!(target: ENDPOINT, Level::WARN) {
            return;
        }
        for it in pool.channel(|channel| channel.health()) {
            let (endpoint, known) = (&it.endpoint, self.0.iter().position(|id| *id == it.id));
            match (it.state == ConnectionState::Suspect, known) {
                (true, None) => {
                    self.0.push(it.id);
                    warn!(target: ENDPOINT, %endpoint, "suspect");
                }
                (false, Some(index)) => {
                    self.0.swap_remove(index);
                    info!(target: ENDPOINT, %endpoint, "no longer suspect");
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
    }
}

/// What may be missing.
struct Shown<T>(Option<T>);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |it| it.fmt(f))
    }
}
