//! Endpoints that are changed, checked, and asked one by one.

use crate::{Case, CaseResult, ClusterBuilder, Ctx, Member, case};
use etcd3::{Config, ConnectFailure, EndpointState, ErrorKind, Outcome};
use etcd3_lab::Bridge;
use futures_lite::future::poll_once;
use std::future::IntoFuture;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(endpoints_set_before_a_failure_are_used, ["CONN-009"]).plain_and_tls(),
    case!(endpoints_set_after_a_failure_are_used, ["CONN-010"]).plain_and_tls(),
    case!(a_client_leaves_a_member_that_is_cut_off, ["CONN-011"]).plain_and_tls(),
    case!(old_servers_are_refused, ["CONN-012"]).plain_and_tls(),
    case!(a_member_outside_of_the_list_can_be_asked, ["CONN-013"]).plain_and_tls(),
    case!(a_put_right_after_a_change_of_endpoints, ["CONN-014"]).plain_and_tls(),
    case!(the_members_are_taken_over_as_endpoints, []).real("addresses that members advertise"),
    case!(health_tells_who_is_connected, []),
    case!(what_was_connected_is_lost, []).real("a bridge").plain_and_tls(),
    case!(members_that_only_speak_tls_are_told_apart_from_a_fault, [])
        .real("what a member advertises")
        .any_version(),
];

const LIMIT: Duration = Duration::from_secs(20);

/// A client of a member that stops, and of another one from before or after that.
async fn switch(ctx: &Ctx, before: bool) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let [first, second] = [0, 1].map(|member| cluster.member(member));
    let client = ctx.connect([first.client_url()]).await?;
    client.put("foo", "bar").await?;
    // A linearizable read waits until the other one has it, too.
    let other = ctx.connect([second.client_url()]).await?;
    assert_eq!(other.get("foo").await?.kvs.len(), 1);
    let change = || client.set_endpoints([first.client_url(), second.client_url()]);
    if before {
        change()?;
    }
    ctx.order(&first, Member::kill).await?;
    if !before {
        change()?;
    }
    let get = client.get("foo").serializable().timeout(ctx.stretched(Duration::from_secs(5)));
    assert_eq!(get.await?.kvs.len(), 1);
    Ok(())
}

/// CONN-009
async fn endpoints_set_before_a_failure_are_used(ctx: Ctx) -> CaseResult {
    switch(&ctx, true).await
}

/// CONN-010
async fn endpoints_set_after_a_failure_are_used(ctx: Ctx) -> CaseResult {
    switch(&ctx, false).await
}

/// CONN-011
async fn a_client_leaves_a_member_that_is_cut_off(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(ClusterBuilder::behind_peer_proxy).await?;
    let urls = cluster.client_urls();
    let client = ctx.connect([urls[0].as_str()]).await?;
    client.put("foo", "bar").await?;
    cluster.partition(0)?;
    client.set_endpoints(&urls[1..])?;
    let answer = client.get("foo").timeout(ctx.stretched(Duration::from_secs(10))).await?;
    assert_eq!(answer.kvs.len(), 1);
    assert_eq!(client.endpoints(), urls[1..]);
    Ok(())
}

/// CONN-012, B25
async fn old_servers_are_refused(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let (major, minor) = (ctx.etcd.version.major, ctx.etcd.version.minor);
    let [major, minor] = [major, minor].map(|part| u16::try_from(part).unwrap());
    let config = ctx.config(cluster.client_urls());
    let client = ctx.connect_with(config.clone().min_server_version((major, minor))).await?;
    client.put("foo", "bar").await?;
    let error = ctx.connect_with(config.min_server_version((major, minor + 1))).await.unwrap_err();
    let version = (major, minor).into();
    let is_old = matches!(error.kind(), ErrorKind::OldServer { has, .. } if has == version);
    assert!(is_old, "{error}");
    Ok(())
}

/// CONN-013, M1
async fn a_member_outside_of_the_list_can_be_asked(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let urls = cluster.client_urls();
    let client = ctx.connect([urls[0].as_str()]).await?;
    client.put("foo", "bar").await?;
    let other = client.pinned_to(urls[1].as_str())?;
    let answer = other.get("foo").await?;
    assert_eq!(answer.kvs[0].value, "bar");
    assert_eq!(answer.header.member_id, cluster.member(1).status()?.member_id);
    assert_eq!(client.endpoints(), urls[..1]);
    Ok(())
}

/// CONN-014: nothing is lost with the connection that goes, not even a call that was early.
async fn a_put_right_after_a_change_of_endpoints(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let urls = cluster.client_urls();
    let client = ctx.connect([urls[1].as_str()]).await?;
    let mut under_way = 0;
    for round in 0..20_usize {
        let mut early = client.put("early", "bar").into_future();
        // A fast server may answer while the call is still at work.
        let answered = poll_once(&mut early).await;
        client.set_endpoints([urls[round % 2].as_str()])?;
        client.put("foo", "bar").await?;
        if let Some(answer) = answered {
            answer?;
        } else {
            under_way += 1;
            early.await?;
        }
    }
    assert!(under_way > 0, "no call met the change");
    Ok(())
}

/// B20, B21, I-C7
async fn the_members_are_taken_over_as_endpoints(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let mut urls = cluster.client_urls();
    let client = ctx.connect([urls[0].as_str()]).await?;
    client.sync_endpoints().await?;
    let mut known = client.endpoints();
    known.sort();
    urls.sort();
    assert_eq!(known, urls);
    ctx.order(&cluster.member(0), Member::kill).await?;
    client.get("foo").await?;
    Ok(())
}

/// B11, B26
async fn health_tells_who_is_connected(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect_with(Config::new(cluster.client_urls())).await?;
    let ready = || {
        let health = client.health();
        health.endpoints.iter().filter(|it| it.state == EndpointState::Ready).count()
    };
    ctx.until("three connections", LIMIT, || async { ready() == 3 }).await?;
    ctx.order(&cluster.member(0), Member::kill).await?;
    ctx.until("one to be missed", LIMIT, || async { ready() == 2 }).await?;
    let health = client.health();
    assert!(health.is_connected());
    assert!(health.endpoints[0].last_error.is_some(), "{health:?}");
    // I-R1: what is not sent anywhere is said to be so.
    let error = client.pinned_to(cluster.client_urls()[0].as_str())?;
    let error = error.put("foo", "bar").timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    Ok(())
}

/// B11: what worked a moment ago does not expect TLS, nor another protocol.
async fn what_was_connected_is_lost(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    client.put("foo", "bar").await?;
    // The next dial is not answered, so that there is time to look.
    bridge.pause_accept();
    bridge.drop_all();
    let last = || client.health().endpoints.remove(0).last_error;
    ctx.until("the loss to be seen", LIMIT, || async { last().is_some() }).await?;
    let error = last().ok_or("no error")?;
    let report = error.report().to_string();
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Lost), "{report}");
    assert!(!report.contains("expect TLS") && !report.contains("://docs."), "{report}");
    assert!(report.starts_with("not connected: the connection was lost: "), "{report}");
    Ok(())
}

/// B20: nobody broke a protocol, and a list of members has not been applied.
async fn members_that_only_speak_tls_are_told_apart_from_a_fault(ctx: Ctx) -> CaseResult {
    let url = "https://127.0.0.1:1";
    let server = ctx.server_with(|server| server.flag("--advertise-client-urls", url)).await?;
    let client = ctx.connect([server.client_url()]).await?;
    let error = client.sync_endpoints().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoUsableMember, "{}", error.report());
    assert!(!error.is_retryable());
    let report = error.report().to_string();
    assert!(report.starts_with("MemberList: no member has an endpoint"), "{report}");
    assert!(report.contains(&format!("endpoint {url} speaks TLS, and no roots")), "{report}");
    assert!(!report.contains("applied"), "{report}");
    assert_eq!(client.endpoints(), [server.client_url()]);
    client.put("foo", "bar").await?;
    Ok(())
}
