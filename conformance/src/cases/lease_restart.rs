//! Leases of a server that is started again.

use super::lease_expect::{LIMIT, check_key, seconds};
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::Client;

pub(super) const CASES: &[Case] = &[
    case!(a_lease_survives_a_restart, ["LEASE-057"]),
    case!(a_revocation_survives_a_restart, ["LEASE-058"]),
    case!(a_change_of_leases_survives_a_restart, ["LEASE-060"]),
];

/// Ends a server and starts it again, and waits until it serves.
async fn restart(ctx: &Ctx, server: Server, client: &Client) -> Result<Server, BoxError> {
    let restart = move || server.terminate().and_then(|()| server.restart()).map(|()| server);
    let server = ctx.blocking(restart).await?;
    client.get("any").timeout(LIMIT).await?;
    Ok(server)
}

/// LEASE-057
async fn a_lease_survives_a_restart(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(300)).await?.id;
    client.put("foo", "bar").lease(lease).await?;
    let _server = restart(&ctx, server, &client).await?;
    let found = client.time_to_live(lease).keys().await?;
    assert_eq!((found.granted, &found.keys[..]), (seconds(300), &["foo".into()][..]));
    client.revoke(lease).await?;
    check_key(&client, "foo", false).await
}

/// LEASE-058
async fn a_revocation_survives_a_restart(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let lease = client.grant(seconds(300)).await?.id;
    client.put("foo", "bar").lease(lease).await?;
    client.revoke(lease).await?;
    let _server = restart(&ctx, server, &client).await?;
    check_key(&client, "foo", false).await?;
    assert_eq!(client.time_to_live(lease).await?.ttl, None);
    assert!(client.leases().await?.leases.is_empty());
    Ok(())
}

/// LEASE-060
async fn a_change_of_leases_survives_a_restart(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let first = client.grant(seconds(300)).await?.id;
    let second = client.grant(seconds(300)).await?.id;
    client.put("foo", "bar").lease(first).await?;
    client.put("foo", "bar").lease(second).await?;
    let _server = restart(&ctx, server, &client).await?;
    client.revoke(first).await?;
    check_key(&client, "foo", true).await?;
    client.revoke(second).await?;
    check_key(&client, "foo", false).await
}
