//! Enabling a downgrade in a way that may be repeated.

// M26, case 10

use super::at::Calls;
use super::statuses::Asked;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error, ErrorKind, Outcome, ServerError, Version};
use etcd3_core::error::Cause;
use etcd3_core::method;
use etcd3_core::request::maintenance::{MemberStatus, enable_downgrade, status};

/// The request that [`Maintenance::ensure_downgrade`](super::Maintenance::ensure_downgrade) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnsureDowngrade {
    pub(super) to: Version,
}

impl sealed::Sealed for EnsureDowngrade {}

impl Execute for EnsureDowngrade {
    type Output = Result<(), Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move { ensure(Calls::new(&client, options), self.to).await })
    }
}

async fn ensure(calls: Calls<'_>, to: Version) -> Result<(), Error> {
    let Err(refusal) = calls.run(enable_downgrade(to)).await else { return Ok(()) };
    match refusal.server_error() {
        Some(ServerError::DowngradeInProcess) => check_target(calls, to, &refusal).await,
        // Also what is said soon after it began, when the version of the cluster has gone down
        // ahead of its members, and once it is finished.
        Some(ServerError::InvalidDowngradeTargetVersion)
            if is_under_way(calls, to).await || is_finished(calls, to).await =>
        {
            Ok(())
        }
        _ => Err(refusal),
    }
}

/// Finds out whether a downgrade to this version is under way.
async fn is_under_way(calls: Calls<'_>, to: Version) -> bool {
    calls.run(status()).await.is_ok_and(|status| target_of(&status) == Some(to))
}

/// Returns where the downgrade goes to that is under way.
fn target_of(status: &MemberStatus) -> Option<Version> {
    status.downgrade.filter(|it| it.is_enabled).and_then(|it| it.target)
}

/// Finds out whether the downgrade that is under way goes to this version.
async fn check_target(calls: Calls<'_>, to: Version, refusal: &Error) -> Result<(), Error> {
    let told = calls.run(status()).await;
    let (target, cause) = match told {
        Ok(status) => (target_of(&status), None),
        Err(error) => (None, Some(Cause::new(error))),
    };
    if target == Some(to) {
        return Ok(());
    }
    let method = &method::DOWNGRADE;
    Err(Error::new(ErrorKind::DowngradeInProgress { target })
        .with_cause(cause)
        .with_method(method.path)
        .with_effect(method.effect)
        .with_outcome(Outcome::Rejected)
        .with_attempts(refusal.attempts())
        .with_endpoint(refusal.endpoint().map(Into::into)))
}

/// Finds out whether all members run this version.
async fn is_finished(calls: Calls<'_>, to: Version) -> bool {
    let mut asked = Asked::new(calls.client, calls.options());
    while asked.next().await.is_some() {}
    let answers = asked.into_answers();
    let is_there = |version: Option<Version>| version == Some(to);
    !answers.is_empty()
        && answers.iter().all(|it| it.status.as_ref().is_ok_and(|it| is_there(it.minor_version())))
}
