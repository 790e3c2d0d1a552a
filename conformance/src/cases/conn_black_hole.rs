//! Members that are reached and say nothing.

use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::{Client, ErrorKind, Outcome};
use etcd3_lab::{Bridge, Direction};
use std::net::TcpListener;
use std::time::Duration;

const BRIDGE: &str = "a bridge";

pub(super) const CASES: &[Case] = &[
    case!(a_put_gets_past_a_black_hole, ["CONN-002"]).real(BRIDGE).plain_and_tls(),
    case!(a_delete_gets_past_a_black_hole, ["CONN-003"]).real(BRIDGE).plain_and_tls(),
    case!(a_txn_gets_past_a_black_hole, ["CONN-004"]).real(BRIDGE).plain_and_tls(),
    case!(a_get_gets_past_a_black_hole, ["CONN-005"]).real(BRIDGE).plain_and_tls(),
    case!(an_idle_connection_that_died_costs_five_seconds, []).real(BRIDGE).plain_and_tls(),
    case!(a_frozen_member_is_noticed_by_a_ping, []).real("frozen processes"),
    case!(a_read_leaves_a_frozen_member, []).plain_and_tls(),
    case!(a_connection_without_calls_is_not_pinged, []).real(BRIDGE).plain_and_tls(),
    case!(closing_ends_a_dial_into_nowhere, ["CONN-065"]).real("sockets of the machine"),
];

const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpKind {
    Put,
    Delete,
    Txn,
    Get,
}

async fn make(client: &Client, op: OpKind) -> Result<(), etcd3::Error> {
    match op {
        OpKind::Put => client.put("foo", "bar").timeout(TIMEOUT).await.map(drop),
        OpKind::Delete => client.delete("foo").timeout(TIMEOUT).await.map(drop),
        OpKind::Txn => {
            let put = etcd3::put("foo", "bar");
            client.txn().then([put]).timeout(TIMEOUT).await.map(drop)
        }
        OpKind::Get => client.get("foo").timeout(TIMEOUT).await.map(drop),
    }
}

/// Makes calls through a member that swallows everything, and one that does not.
async fn pass(ctx: &Ctx, op: OpKind) -> CaseResult {
    let cluster = ctx.cluster_with(|cluster| cluster.members(2)).await?;
    let [first, second] = [0, 1].map(|member| cluster.member(member));
    let bridge = Bridge::new(first.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    client.get("foo").await?;
    client.set_endpoints([ctx.url(bridge.addr()), second.client_url()])?;
    bridge.blackhole();

    // B15: of a write, the one that went into the hole is unknown, and no other goes there.
    let mut lost = 0;
    for _ in 0..TRIES {
        match make(&client, op).await {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
                assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
                lost += 1;
            }
        }
    }
    assert_eq!(lost, u32::from(op != OpKind::Get), "of {TRIES}");
    assert!(bridge.swallowed(Direction::Up) > 0, "no call went into the hole");
    Ok(())
}

/// CONN-002
async fn a_put_gets_past_a_black_hole(ctx: Ctx) -> CaseResult {
    pass(&ctx, OpKind::Put).await
}

/// CONN-003
async fn a_delete_gets_past_a_black_hole(ctx: Ctx) -> CaseResult {
    pass(&ctx, OpKind::Delete).await
}

/// CONN-004
async fn a_txn_gets_past_a_black_hole(ctx: Ctx) -> CaseResult {
    pass(&ctx, OpKind::Txn).await
}

/// CONN-005
async fn a_get_gets_past_a_black_hole(ctx: Ctx) -> CaseResult {
    pass(&ctx, OpKind::Get).await
}

/// I-C1, I-C2, N12: the first call on a connection that was silent for ten seconds brings a PING.
async fn an_idle_connection_that_died_costs_five_seconds(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    client.put("foo", "bar").await?;
    bridge.blackhole();
    ctx.pause(Duration::from_millis(10_200)).await;
    let begin = ctx.rt.now();
    let error = client.put("foo", "baz").await.unwrap_err();
    let took = ctx.rt.now().saturating_since(begin);
    assert!(took < ctx.at_most(Duration::from_secs(9)), "it took {took:?}: {error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(error.kind(), ErrorKind::ConnectionLost, "{error}");
    assert!(error.report().to_string().contains("PING"), "{}", error.report());
    bridge.unblackhole();
    client.put("foo", "qux").await?;
    Ok(())
}

/// I-C1, F3: a PING goes out when a call has been silent for half of `attempt_timeout`, and has 5 s
/// to be answered.
async fn a_frozen_member_is_noticed_by_a_ping(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    server.stop()?;
    let begin = ctx.rt.now();
    let put = client.put("foo", "baz").timeout(Duration::from_secs(60));
    let error = put.await.unwrap_err();
    let took = ctx.rt.now().saturating_since(begin);
    server.cont()?;
    // 1.5 s until the PING, and 5 s for its answer.
    let bounds = Duration::from_secs(6)..ctx.at_most(Duration::from_secs(12));
    assert!(bounds.contains(&took), "it took {took:?}: {error}");
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(error.report().to_string().contains("PING"), "{}", error.report());
    client.get("foo").await?;
    Ok(())
}

/// I-C7, F3: a read waits three seconds for a member, and later ones do not wait at all.
async fn a_read_leaves_a_frozen_member(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let leader = cluster.leader().ok_or("there is a leader")?;
    let frozen = cluster.member((leader + 1) % 3);
    let client = ctx.connect([frozen.client_url()]).await?;
    client.put("foo", "bar").await?;
    client.set_endpoints(cluster.client_urls())?;
    ctx.order(&frozen, Member::stop).await?;
    let mut slow = 0;
    for _ in 0..30 {
        let begin = ctx.rt.now();
        client.get("foo").await?;
        let took = ctx.rt.now().saturating_since(begin);
        assert!(took < ctx.at_most(Duration::from_secs(9)), "it took {took:?}");
        slow += u32::from(took > Duration::from_millis(2_500));
    }
    ctx.order(&frozen, Member::cont).await?;
    assert_eq!(slow, 1, "one read meets the frozen member, and waits");
    Ok(())
}

/// I-C2, H7: a server ends connections that are pinged without a call.
async fn a_connection_without_calls_is_not_pinged(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    client.get("foo").await?;
    // What belongs to the call is acknowledged within that.
    ctx.pause(Duration::from_secs(1)).await;
    let before = bridge.passed(Direction::Up);
    ctx.pause(Duration::from_secs(13)).await;
    assert_eq!(bridge.passed(Direction::Up), before);
    client.get("foo").await?;
    assert_eq!(bridge.connections().accepted, 1);
    Ok(())
}

/// CONN-065, I-C10: closing does not wait for a dial, nor does a call outlive the client.
async fn closing_ends_a_dial_into_nowhere(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    // It accepts in the kernel, and nobody ever speaks.
    let silent = TcpListener::bind(("127.0.0.1", 0))?;
    client.set_endpoints([format!("http://{}", silent.local_addr()?)])?;
    let waiting = client.clone();
    let call =
        ctx.spawn(async move { waiting.get("foo").timeout(Duration::from_secs(3600)).await });
    silent.accept()?;
    let limit = Duration::from_secs(5);
    ctx.within(limit, client.close()).await.ok_or("close hangs")?;
    let error = ctx.within(limit, call).await.ok_or("the call hangs")?.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
    Ok(())
}
