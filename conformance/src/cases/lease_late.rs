//! What is told of a lease that is not renewed in time, and until when it counts as valid.

use super::lease_fate::{LIMIT, lost, recovered, renewed};
use crate::peer::{END_HEADERS, END_STREAM, Peer, Wire};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
};
use etcd3::{LeaseStatus, LossReason};
use etcd3_lab::Bridge;
use prost::Message;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

const BRIDGE: &str = "a bridge";

pub(super) const CASES: &[Case] = &[
    case!(a_restarted_server_does_not_move_the_validity, []).real(BRIDGE),
    case!(a_lease_in_trouble_says_so_and_recovers, []).real(BRIDGE),
    case!(a_lease_that_may_not_be_renewed_harms_no_other, []).any_version().real("a script"),
];

const SECOND: Duration = Duration::from_secs(1);

/// Case 14: no renewal passes, the server gives the lease its whole time again.
async fn a_restarted_server_does_not_move_the_validity(ctx: Ctx) -> CaseResult {
    const TTL: Duration = Duration::from_secs(30);
    const RESTART: Duration = Duration::from_secs(8);
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let direct = ctx.connect([server.client_url()]).await?;
    let client = ctx.connect([bridge.url()]).await?;
    let begin = ctx.rt.now();
    let lease = client.lease(TTL).await?;
    let granted = ctx.rt.now();
    let other = ctx.connect([server.client_url()]).await?.lease(TTL).await?;
    direct.put("foo", "bar").lease(lease.id()).await?;
    bridge.blackhole();
    let until = lease.valid_until();
    assert!((begin + TTL..=granted + TTL).contains(&until), "it counts from when it was sent");

    // The time is what this is about.
    ctx.rt.sleep_until(begin + RESTART).await;
    let left = direct.time_to_live(lease.id()).await?.ttl.ok_or("it is gone")?;
    assert!(left + RESTART <= TTL, "{left:?} left before");
    let passed = ctx.rt.now();
    server.kill()?;
    server.restart()?;
    let left = direct.time_to_live(lease.id()).await?.ttl.ok_or("it is gone")?;
    let since = ctx.rt.now().saturating_since(passed);
    assert!(left + since + 2 * SECOND >= TTL, "{left:?} left {since:?} after");
    assert_eq!(lease.valid_until(), until);
    // A renewal moves it on.
    assert!(other.valid_until() < until + RESTART, "renewed by chance before");
    renewed(&ctx, &other).await?;
    assert!(other.valid_until() > passed + TTL);

    let lost = lost(&ctx, &lease, TTL).await?;
    assert_eq!(lost.reason, LossReason::DeadlinePassed);
    let late = ctx.rt.now().saturating_since(until);
    assert!(until <= ctx.rt.now() && late < ctx.at_most(SECOND), "{late:?} late");
    assert_eq!(direct.get("foo").await?.count, 1, "the key is there for longer");
    Ok(())
}

/// Case 16
async fn a_lease_in_trouble_says_so_and_recovers(ctx: Ctx) -> CaseResult {
    const TTL: Duration = Duration::from_secs(10);
    const HOLE: Duration = Duration::from_secs(6);
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([bridge.url()]).await?;
    let lease = client.lease(TTL).await?;
    let mut changes = lease.status_changes();
    assert!(matches!(changes.next().await, Some(LeaseStatus::Ok)));
    renewed(&ctx, &lease).await?;
    let until = lease.valid_until();
    let begin = ctx.rt.now();
    bridge.blackhole();

    let change = ctx.within(4 * SECOND, changes.next()).await.ok_or("nothing is told in 4 s")?;
    let Some(LeaseStatus::Late { since, .. }) = change else { panic!("{change:?}") };
    assert!(since < ctx.rt.now() && since + TTL > until, "late since {since:?}");
    assert_eq!(lease.valid_until(), until, "as of the last one that was acknowledged");
    ctx.rt.sleep_until(begin + HOLE).await;
    assert_eq!((lease.is_valid(), lease.valid_until()), (true, until));
    bridge.unblackhole();
    recovered(&ctx, &lease).await?;
    let change = ctx.within(LIMIT, changes.next()).await.ok_or("nothing is told")?;
    assert!(matches!(change, Some(LeaseStatus::Ok)), "{change:?}");
    assert!(lease.valid_until() > until);
    renewed(&ctx, &lease).await?;
    let more = futures_lite::future::poll_once(changes.next()).await;
    assert!(more.is_none(), "{more:?}");
    Ok(())
}

/// The lease that the script renews, and the one that it refuses to.
const GOOD: i64 = 7;
const BAD: i64 = 8;
const SHORT_TTL: i64 = 3;
const PERMISSION_DENIED: &str = "7";

/// L42, I-L5: a refusal ends the stream that all leases share.
async fn a_lease_that_may_not_be_renewed_harms_no_other(ctx: Ctx) -> CaseResult {
    let peer = Peer::start(|_, wire| refuse_one(wire))?;
    let client = ctx.connect([peer.url()]).await?;
    let good = client.lease(3 * SECOND).id(GOOD).await?;
    let bad = client.lease(3 * SECOND).id(BAD).await?;
    let lost = lost(&ctx, &bad, 6 * SECOND).await?;
    assert_eq!(lost.reason, LossReason::PermissionDenied, "{lost:?}");
    assert!(lost.cause.as_ref().is_some_and(etcd3::Error::is_permission_denied), "{lost:?}");
    assert!(bad.valid_until() <= ctx.rt.now(), "before its time is over");
    for _ in 0..3 {
        renewed(&ctx, &good).await?;
    }
    assert!(matches!(good.status(), LeaseStatus::Ok), "{good:?}");
    Ok(())
}

/// Grants every lease, and renews all but one, in the way of a server with permissions.
fn refuse_one(mut wire: Wire) -> io::Result<()> {
    wire.greet(&[])?;
    let mut begun = BTreeSet::new();
    loop {
        let message = wire.message()?;
        let stream = message.stream;
        let grant = LeaseGrantRequest::decode(&message.body[..]).map_err(io::Error::other)?;
        if grant.id != 0 {
            let answer = LeaseGrantResponse { id: grant.id, ttl: grant.ttl, ..Default::default() };
            wire.respond(stream)?;
            wire.send_message(stream, &answer.encode_to_vec())?;
            wire.trailers(stream)?;
            continue;
        }
        let asked = LeaseKeepAliveRequest::decode(&message.body[..]).map_err(io::Error::other)?;
        let is_first = begun.insert(stream);
        if asked.id == BAD {
            let (code, text) = (PERMISSION_DENIED, "etcdserver: permission denied");
            if is_first {
                wire.refuse(stream, code, text)?;
            } else {
                let trailers = [("grpc-status", code), ("grpc-message", text)];
                wire.headers(stream, END_HEADERS | END_STREAM, &trailers)?;
            }
            continue;
        }
        let answer = LeaseKeepAliveResponse { id: asked.id, ttl: SHORT_TTL, ..Default::default() };
        if is_first {
            wire.respond(stream)?;
        }
        wire.send_message(stream, &answer.encode_to_vec())?;
        if message.is_last {
            wire.trailers(stream)?;
        }
    }
}
