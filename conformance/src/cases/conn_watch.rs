//! Watches at members that fall silent, are cut off from the others, or are shut down.

use super::watch_expect::{LIMIT, Reader, lines};
use crate::{BoxError, Case, CaseResult, Cluster, ClusterBuilder, Ctx, Member, case};
use etcd3::{Client, ServerError, WatchHandle};
use etcd3_lab::{Bridge, MemberStatus};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_watch_gets_past_a_black_hole_and_back, ["CONN-001"]).real("a bridge"),
    case!(a_watch_of_a_leader_that_is_cut_off_says_so, ["CONN-022"]),
    case!(a_watch_of_a_follower_that_is_cut_off_says_so, ["CONN-023"]),
    case!(a_watch_goes_on_when_its_member_is_shut_down, ["CONN-025"]).plain_and_tls(),
];

/// Puts until one try is answered: those before may have gone to a member that says nothing, and
/// are not repeated. Returns the revision of the one that was.
async fn put(client: &Client, value: &str) -> Result<i64, BoxError> {
    for _ in 0..5 {
        if let Ok(put) = client.put("foo", value).timeout(Duration::from_secs(5)).await {
            return Ok(put.header.revision);
        }
    }
    Err("no put is answered".into())
}

/// Reads until the write of this revision has come; those before it wrote the same value.
async fn read_to(reader: &mut Reader, revision: i64, value: &str) -> CaseResult {
    loop {
        let batch = reader.batch().await?;
        assert!(batch.events.iter().all(|event| event.kv.value == value), "{batch:?}");
        if batch.revision() >= revision {
            return Ok(());
        }
    }
}

/// CONN-001, I-C1: the path of a watch that is silent is found by a PING, and the watch goes on at
/// the other member, and back.
async fn a_watch_gets_past_a_black_hole_and_back(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let direct = [0, 1].map(|member| cluster.member(member));
    let bridges = [Bridge::new(direct[0].addr())?, Bridge::new(direct[1].addr())?];
    let [first, second] = [0, 1].map(|member: usize| ctx.url(bridges[member].addr()));
    let config = ctx.config([first.as_str()]).ping_interval(Duration::from_secs(6));
    let client = ctx.connect_with(config.ping_timeout(Duration::from_secs(1))).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").await?);
    client.set_endpoints([first, second])?;
    ctx.until_connected(&client).await?;
    for (silent, value) in [(0, "bar"), (1, "bar1")] {
        bridges[1 - silent].unblackhole();
        let writer = ctx.connect([direct[1 - silent].client_url()]).await?;
        bridges[silent].blackhole();
        let revision = put(&writer, value).await?;
        read_to(&mut reader, revision, value).await?;
    }
    Ok(())
}

/// Returns whether a watch waits for a member that has a leader.
fn misses_a_leader(watch: &WatchHandle) -> bool {
    let status = watch.status();
    let why = status.last_error.and_then(|error| error.server_error());
    !status.is_live && why == Some(ServerError::NoLeader)
}

/// The only member that a client knows is cut off: its watch says that there is no leader, does not
/// end, and goes on when there is one.
async fn cut_off(ctx: &Ctx, choose: fn(usize) -> usize) -> CaseResult {
    let cluster = ctx.cluster_with(ClusterBuilder::behind_peer_proxy).await?;
    let lonely = choose(cluster.leader().ok_or("there is a leader")?);
    let client = ctx.connect([cluster.member(lonely).client_url()]).await?;
    let mut reader = Reader::new(ctx, client.watch("foo").await?);
    let handle = reader.handle();
    assert!(handle.status().is_live, "{:?}", handle.status());
    cluster.partition(lonely)?;
    ctx.until("word of the leader", LIMIT, || async { misses_a_leader(&handle) }).await?;
    let writer = ctx.connect([cluster.member((lonely + 1) % 3).client_url()]).await?;
    let revision = put(&writer, "bar").await?;
    cluster.heal()?;
    read_to(&mut reader, revision, "bar").await
}

/// CONN-022, W18
async fn a_watch_of_a_leader_that_is_cut_off_says_so(ctx: Ctx) -> CaseResult {
    cut_off(&ctx, |leader| leader).await
}

/// CONN-023, W18
async fn a_watch_of_a_follower_that_is_cut_off_says_so(ctx: Ctx) -> CaseResult {
    cut_off(&ctx, |leader| (leader + 1) % 3).await
}

/// CONN-025: exactly one event, and no error.
async fn a_watch_goes_on_when_its_member_is_shut_down(ctx: Ctx) -> CaseResult {
    let cluster: Cluster = ctx.cluster().await?;
    let leader = cluster.leader().ok_or("there is a leader")?;
    let gone = cluster.member(leader).status()?.member_id;
    let client = ctx.connect([cluster.member(leader).client_url()]).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").await?);
    client.set_endpoints(cluster.client_urls())?;
    ctx.until_connected(&client).await?;
    ctx.order(&cluster.member(leader), Member::terminate).await?;
    let other = cluster.member((leader + 1) % 3);
    let lives = |it: &MemberStatus| ![0, gone].contains(&it.leader);
    ctx.until_member(&other, "a leader that lives", LIMIT, lives).await?;
    let writer = ctx.connect([other.client_url()]).await?;
    let put = writer.put("foo", "bar").await?.header.revision;
    assert_eq!(lines(put, &reader.take(1).await?), ["0 foo=bar"]);
    assert_eq!(reader.all_to(put).await?, []);
    Ok(())
}
