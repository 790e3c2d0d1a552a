//! Downgrades, and what old servers lack (M26, V3).

use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{DowngradeInfo, ErrorKind, Outcome, ServerError, Version};
use etcd3_lab::etcd;
use std::time::Duration;

/// The first version that does as it is told.
const SINCE: etcd::Version = etcd::Version::minor(3, 6);

pub(super) const CASES: &[Case] = &[
    case!(a_downgrade_is_checked_enabled_and_called_off, []).since(SINCE),
    case!(a_server_without_downgrades_says_so, []),
];

fn version_of(ctx: &Ctx) -> Result<Version, BoxError> {
    let etcd::Version { major, minor, .. } = ctx.etcd.version;
    Ok(Version::new(major.try_into()?, minor.try_into()?))
}

/// M26, case 10
async fn a_downgrade_is_checked_enabled_and_called_off(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let maintenance = client.maintenance();
    let own = version_of(&ctx)?;
    let before = Version::new(own.major, own.minor - 1);
    // A cluster agrees on its version a moment after its start.
    let limit = Duration::from_secs(10);
    ctx.until("the version of the cluster", limit, || async {
        let checked = maintenance.validate_downgrade(before).await;
        checked.is_ok_and(|checked| checked.cluster_version == Some(own))
    })
    .await?;
    let too_far = Version::new(own.major, own.minor - 2);
    for version in [own, too_far] {
        let error = maintenance.ensure_downgrade(version).await;
        // Where all members run it already it is done.
        if version == own && error.is_ok() {
            continue;
        }
        let error = error.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::InvalidDowngradeTargetVersion));
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
    }
    for _ in 0..3 {
        maintenance.ensure_downgrade(before).await?;
    }
    let error = maintenance.enable_downgrade(before).await.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::DowngradeInProcess), "{error}");
    let told = |info: Option<DowngradeInfo>| info.map(|it| (it.is_enabled, it.target));
    for url in cluster.client_urls() {
        ctx.until("the downgrade", limit, || async {
            let status = maintenance.status(&url).await;
            status.is_ok_and(|it| told(it.downgrade) == Some((true, Some(before))))
        })
        .await?;
    }
    maintenance.cancel_downgrade().await?;
    maintenance.cancel_downgrade().await?;
    for url in cluster.client_urls() {
        ctx.until("its end", limit, || async {
            let status = maintenance.status(&url).await;
            status.is_ok_and(|it| told(it.downgrade).is_some_and(|it| !it.0))
        })
        .await?;
    }
    Ok(())
}

/// V3, V30: with the version of the server, once it has told that.
async fn a_server_without_downgrades_says_so(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let (maintenance, own) = (client.maintenance(), version_of(&ctx)?);
    let needs = Version::new(3, 5);
    if own >= needs {
        let answered = maintenance.validate_downgrade((2, 0)).await.unwrap_err();
        assert!(!matches!(answered.kind(), ErrorKind::Unsupported { .. }), "{answered}");
        return Ok(());
    }
    for has in [None, Some(own)] {
        let error = maintenance.ensure_downgrade((3, 3)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported { needs, has }, "{error}");
        assert_eq!(error.outcome(), Outcome::Rejected, "{error}");
        maintenance.status(server.client_url()).await?;
    }
    Ok(())
}
