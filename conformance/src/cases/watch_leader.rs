//! Watches at members that know no leader, or that were far behind.

use super::kv_metrics::sum;
use super::watch_expect::{LIMIT, Reader, lines, revision};
use crate::{Case, CaseResult, ClusterBuilder, Ctx, Member, case};
use etcd3::{ErrorKind, ServerError};
use etcd3_lab::etcd::Version;

pub(super) const CASES: &[Case] = &[
    case!(a_member_without_a_leader_has_nothing_to_tell, ["WATCH-021", "CONN-048"]).real("metrics"),
    case!(a_member_that_got_a_snapshot_delivers_everything, ["WATCH-068"])
        .since(Version::minor(3, 5)),
    case!(a_cluster_of_what_is_left_goes_on, ["WATCH-078"]).real("flags of one start"),
];

/// WATCH-021, CONN-048, W18, W19
async fn a_member_without_a_leader_has_nothing_to_tell(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let member = cluster.member(0);
    let client = ctx.connect([member.client_url()]).await?;
    let put = client.put("foo", "bar").await?.header.revision;
    let mut watched = Reader::new(&ctx, client.watch("foo").from_revision(put).await?);
    assert_eq!(lines(put, &watched.take(1).await?), ["0 foo=bar"]);
    for other in [1, 2] {
        ctx.order(&cluster.member(other), Member::kill).await?;
    }
    ctx.until_member(&member, "the leader to be gone", LIMIT, |it| it.leader == 0).await?;
    // A stream that is open the member ends later, and takes watches on it until then.
    let handle = watched.handle();
    let is_ended = || async {
        let status = handle.status();
        let why = status.last_error.and_then(|error| error.server_error());
        !status.is_live && why == Some(ServerError::NoLeader)
    };
    ctx.until("the end of the stream", LIMIT, is_ended).await?;
    let wants = client.watch("foo").from_revision(put).timeout(ctx.stretched(LIMIT / 6));
    let error = wants.await.unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    assert!(source.contains("no leader"), "{error}: {source}");

    let takes_any = client.watch("foo").from_revision(put).require_leader(false).await?;
    let mut reader = Reader::new(&ctx, takes_any);
    assert_eq!(lines(put, &reader.take(1).await?), ["0 foo=bar"]);
    let metrics = member.metrics()?;
    let streams = sum(&metrics, "etcd_server_client_requests_total", &["type=\"stream\""]);
    assert!(streams >= 2, "{streams}");

    // One that was there waits for a leader.
    assert!(!handle.status().is_live);
    ctx.order(&cluster.member(1), Member::restart).await?;
    let again = ctx.connect([cluster.member(1).client_url()]).await?.put("foo", "baz").await?;
    let seen = watched.take(1).await?;
    assert_eq!(lines(again.header.revision, &seen), ["0 foo=baz"]);
    Ok(())
}

const PUTS: usize = 250;

/// WATCH-068
async fn a_member_that_got_a_snapshot_delivers_everything(ctx: Ctx) -> CaseResult {
    let build = |it: ClusterBuilder| {
        it.behind_peer_proxy().flag("--snapshot-count", "10").catch_up_entries(5)
    };
    let cluster = ctx.cluster_with(build).await?;
    let lonely = ctx.connect([cluster.member(0).client_url()]).await?;
    let others = ctx.connect([1, 2].map(|member| cluster.member(member).client_url())).await?;
    let base = revision(&lonely).await?;
    let watch = lonely.watch("foo").from_revision(base + 4).require_leader(false).await?;
    let mut reader = Reader::new(&ctx, watch);
    cluster.partition(0)?;
    let gone = cluster.member(0).status()?.member_id;
    for other in [1, 2] {
        let lives = |it: &etcd3_lab::MemberStatus| ![0, gone].contains(&it.leader);
        ctx.until_member(&cluster.member(other), "a leader", LIMIT, lives).await?;
    }
    // More than are kept, so that nothing but a snapshot helps: from 3.6 on, servers forget entries
    // by the hundred.
    for n in 1..=PUTS {
        others.put("foo", n.to_string()).await?;
    }
    cluster.heal()?;
    let expected: Vec<_> = (4..=PUTS).map(|n| format!("{n} foo={n}")).collect();
    assert_eq!(lines(base, &reader.take(expected.len()).await?), expected);
    if !ctx.etcd.is_model() {
        let member = cluster.member(0);
        let is_told = || async { member.log().is_ok_and(|log| log.contains("applied snapshot")) };
        ctx.until("word of the snapshot", LIMIT, is_told).await?;
    }
    Ok(())
}

/// WATCH-078
async fn a_cluster_of_what_is_left_goes_on(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect([cluster.member(0).client_url()]).await?;
    let put = client.put("/foo", "bar").await?.header.revision;
    let mut open = Reader::new(&ctx, client.watch("/foo").from_revision(put - 1).await?);
    assert_eq!(lines(put, &open.take(1).await?), ["0 /foo=bar"]);
    for member in cluster.members() {
        ctx.order(&member, Member::terminate).await?;
    }
    let first = cluster.member(0);
    ctx.blocking(move || first.restart_with(&[("--force-new-cluster", "true")])).await?;
    let mut again = Reader::new(&ctx, client.watch("/foo").from_revision(put - 1).await?);
    assert_eq!(lines(put, &again.take(1).await?), ["0 /foo=bar"]);
    let next = client.put("/foo", "baz").await?.header.revision;
    for reader in [&mut open, &mut again] {
        assert_eq!(lines(next, &reader.take(1).await?), ["0 /foo=baz"]);
    }
    Ok(())
}
