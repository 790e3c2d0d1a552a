//! An endpoint that is the port of a member for its peers.

use crate::{Case, CaseResult, Ctx, case};
use etcd3::{ConnectFailure, Error, ErrorKind, Outcome, Phase};
use etcd3_lab::Bridge;
use etcd3_lab::etcd::Version;
use std::error::Error as _;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[case!(a_peer_port_is_recognised, []).real("ports for peers")];

const LIMIT: Duration = Duration::from_secs(20);
/// How long a call waits for an endpoint that is no good.
const WAIT: Duration = Duration::from_secs(5);
/// The most dials in that time: the pauses double, from half of 100 ms at least.
const DIALS: u64 = 7;

/// V4: up to 3.5 members serve clients at the port for their peers; later ones answer in HTTP/1
/// there, which costs no call where another endpoint is good, and has a name where none is.
async fn a_peer_port_is_recognised(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.peer_addr()?)?;
    let peer = ctx.url(bridge.addr());
    let client = ctx.connect([peer.clone(), server.client_url()]).await?;
    let dials = || bridge.connections().accepted;
    ctx.until("a dial of the peer port", LIMIT, || async { dials() > 0 }).await?;
    for n in 0..20 {
        client.put("foo", n.to_string()).await?;
        assert_eq!(client.get("foo").await?.kvs[0].version, n + 1);
    }

    client.set_endpoints([peer.as_str()])?;
    let before = dials();
    let read = client.get("foo").timeout(WAIT).await;
    if ctx.etcd.version < Version::minor(3, 6) {
        assert_eq!(read?.kvs.len(), 1);
        return Ok(());
    }
    // What every dial of it says stands in the error of the call, and is that of `connect`.
    let error = read.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    let made = dials() - before;
    assert!((1..=DIALS).contains(&made), "{made} dials in {WAIT:?}");
    let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
    let refused = ctx.connect([peer.as_str()]).await.unwrap_err();
    for error in [cause.ok_or("a cause")?, &refused] {
        assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::PeerSpeaksHttp1), "{error}");
        assert_eq!(error.endpoint(), Some(&*peer), "{error}");
    }
    Ok(())
}
