//! Beginning to keep a lease alive, and renewing one once.

use super::cell::{Cell, LeaseStatus, MIN_SUSPENSION};
use super::grant::{self, Grant};
use super::handle::Lease;
use super::registry::{Command, Mailbox};
use crate::call::CallOptions;
use crate::either::either;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error, ErrorKind};
use etcd3_core::error::{Cause, Phase};
use etcd3_core::lease::{Known, LeaseLost, LossReason, Renewal};
use etcd3_core::method::{self, Effect};
use etcd3_core::{Instant, LeaseId, Outcome, ServerError};
use std::sync::Arc;
use std::time::Duration;

/// The request that [`Client::lease`] makes: a lease that is to be granted and kept alive.
#[derive(Debug, Clone, PartialEq)]
pub struct BeginLease(pub(crate) Grant);

/// The request that [`Client::keep_alive`] makes: a lease of somebody else that is to be kept
/// alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginKeepAlive(pub(crate) LeaseId);

/// The request that [`Client::keep_alive_once`] makes: a lease that is to be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeepAliveOnce(pub(crate) LeaseId);

/// The answer to a [`KeepAliveOnce`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeepAliveOnceResponse {
    /// The lease.
    pub id: LeaseId,
    /// Its time to live, which begins anew.
    pub ttl: Duration,
}

impl sealed::Sealed for BeginLease {}

impl Execute for BeginLease {
    type Output = Result<Lease, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(begin(client, self.0, options))
    }
}

impl sealed::Sealed for BeginKeepAlive {}

impl Execute for BeginKeepAlive {
    type Output = Result<Lease, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(keep(client, self.0, options))
    }
}

impl sealed::Sealed for KeepAliveOnce {}

impl Execute for KeepAliveOnce {
    type Output = Result<KeepAliveOnceResponse, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(once(client, self.0, options))
    }
}

async fn begin(client: Client, grant: Grant, options: CallOptions) -> Result<Lease, Error> {
    let deadline = deadline(&client, options);
    let rt = Arc::clone(client.runtime());
    let before = rt.suspended();
    let granted = grant::grant(&client, grant, options).await?;
    let suspended = rt.suspended();
    let slept = suspended.saturating_sub(before);
    let slept = if slept > MIN_SUSPENSION { slept } else { Duration::ZERO };
    let (id, ttl) = (granted.response.id, granted.response.ttl);
    let until = granted.valid_until - slept;
    // An answer that was long on its way says little of how long the lease lives.
    let is_fresh = until.saturating_since(rt.now()) >= ttl / 3 * 2;
    let cell = Arc::new(Cell::new(id));
    if is_fresh {
        cell.renew(Renewal { until, ttl }, suspended);
    }
    let cluster_id = granted.response.header.cluster_id;
    let until = is_fresh.then_some(until);
    let known = Known { ttl: Some(ttl), until, is_new: true, cluster_id };
    let mailbox = command(&client, Command::Keep(known, Arc::clone(&cell)));
    let lease = Lease::new(Arc::clone(&cell), mailbox, client.clone());
    renewed(&client, &cell, deadline).await?;
    Ok(lease)
}

async fn keep(client: Client, id: LeaseId, options: CallOptions) -> Result<Lease, Error> {
    let deadline = deadline(&client, options);
    let cell = Arc::new(Cell::new(id));
    let mailbox = command(&client, Command::Keep(Known::default(), Arc::clone(&cell)));
    // Made before the first renewal: dropping the future drops it, and renewals stop.
    let lease = Lease::new(Arc::clone(&cell), mailbox, client.clone());
    renewed(&client, &cell, deadline).await?;
    Ok(lease)
}

async fn once(
    client: Client,
    id: LeaseId,
    options: CallOptions,
) -> Result<KeepAliveOnceResponse, Error> {
    let deadline = deadline(&client, options);
    let cell = Arc::new(Cell::new(id));
    let mailbox = command(&client, Command::Once(Arc::clone(&cell)));
    let forget = Forget { cell, mailbox };
    renewed(&client, &forget.cell, deadline).await?;
    Ok(KeepAliveOnceResponse { id, ttl: forget.cell.ttl() })
}

/// Tells the task that nobody waits any more, also when the future is dropped.
struct Forget {
    cell: Arc<Cell>,
    mailbox: Arc<Mailbox>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.mailbox.command(Command::Forget(Arc::clone(&self.cell)));
    }
}

fn command(client: &Client, command: Command) -> Arc<Mailbox> {
    client.lease_streams().command(client.lease_shared(), client.lease_only(), command)
}

/// Returns when a request that begins now is to be given up.
fn deadline(client: &Client, options: CallOptions) -> Instant {
    let shared = client.shared();
    shared.now() + options.timeout.unwrap_or(shared.config.request_timeout)
}

/// Waits until a renewal was acknowledged.
async fn renewed(client: &Client, cell: &Arc<Cell>, deadline: Instant) -> Result<(), Error> {
    let rt = client.runtime();
    let mut timer = None;
    loop {
        let changed = cell.listen();
        let look = cell.look(&**rt);
        let cause = match look.status {
            LeaseStatus::Lost(lost) => return Err(refused(client, lost)),
            LeaseStatus::Late { cause, .. } => cause,
            LeaseStatus::Ok => None,
        };
        if look.is_known {
            return Ok(());
        }
        if rt.now() >= deadline {
            return Err(too_late(client, cause));
        }
        let timer = timer.get_or_insert_with(|| rt.sleep_until(deadline));
        either(changed, timer.as_mut()).await;
    }
}

/// Makes the error of a lease that is lost before it was renewed.
// L36
fn refused(client: &Client, lost: LeaseLost) -> Error {
    let error = match lost.reason {
        LossReason::Closed => Error::new(client.closed_kind()),
        LossReason::PermissionDenied | LossReason::DeadlinePassed => {
            let late = || Error::new(ErrorKind::TimedOut(Phase::Answer));
            return lost.cause.unwrap_or_else(|| of_renewal(late()));
        }
        _ => Error::new(ErrorKind::Server(ServerError::LeaseNotFound))
            .with_outcome(Outcome::Rejected),
    };
    of_renewal(error)
}

/// Makes the error of a renewal that was not acknowledged in time.
fn too_late(client: &Client, cause: Option<Error>) -> Error {
    let error = |phase| of_renewal(Error::new(ErrorKind::TimedOut(phase)));
    let shared = client.lease_shared();
    match cause {
        Some(cause) if is_about_the_user(&cause) => of_renewal(cause),
        Some(cause) => {
            error(Phase::Answer).with_outcome(Outcome::Unknown).with_cause(Cause::new(cause))
        }
        None if shared.pool.channel(|channel| channel.is_ready()) => {
            error(Phase::Answer).with_outcome(Outcome::Unknown)
        }
        None => crate::call::explain(shared, client.lease_only(), error(Phase::Connection)),
    }
}

/// Tells whether a renewal was refused for who asked: no error of another kind tells as much.
fn is_about_the_user(error: &Error) -> bool {
    error.is_permission_denied()
        || matches!(
            error.kind(),
            ErrorKind::Server(
                ServerError::UserEmpty
                    | ServerError::AuthFailed
                    | ServerError::InvalidAuthToken
                    | ServerError::AuthOldRevision
            )
        )
}

fn of_renewal(error: Error) -> Error {
    error.with_method(method::LEASE_KEEP_ALIVE.path).with_effect(Effect::IdempotentWrite)
}
