//! How a broken stream or connection is judged: what was certainly not processed is repeated, also
//! a write; what may have been is not.

use crate::peer::{FrameType, Peer, Wire};
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{ErrorKind, Outcome, Status};
use std::io;

pub(super) const CASES: &[Case] = &[
    case!(a_refused_stream_is_repeated, []).real("a scripted server").any_version(),
    case!(a_goaway_below_the_stream_is_repeated, []).real("a scripted server").any_version(),
    case!(a_goaway_of_our_own_is_unknown, []).real("a scripted server").any_version(),
    case!(other_resets_are_unknown, []).real("a scripted server").any_version(),
    case!(a_lost_connection_is_unknown_for_a_write, []).real("a scripted server").any_version(),
    case!(calls_over_the_limit_of_streams_wait_their_turn, [])
        .real("a scripted server")
        .any_version(),
];

/// A server whose first connection takes one request and then does this; all others lead to the
/// real one.
fn flaky(
    server: &Server,
    then: impl Fn(&mut Wire, u32) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Peer> {
    let real = server.addr();
    Peer::start(move |number, mut wire| {
        if number > 0 {
            return wire.relay(real);
        }
        wire.greet(&[])?;
        let stream = wire.request()?;
        then(&mut wire, stream)?;
        wire.wait_close()
    })
}

const REFUSED_STREAM: u32 = 7;

/// Returns the payload of a GOAWAY: the last stream that was looked at, and no error.
fn goaway(last: u32) -> Vec<u8> {
    [last, 0].iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// R40, R41, H4, B13: the write is repeated on the same connection, which is in good order.
async fn a_refused_stream_is_repeated(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let peer = flaky(&server, |wire, stream| {
        wire.frame(FrameType::Reset, 0, stream, &REFUSED_STREAM.to_be_bytes())?;
        let again = wire.request()?;
        wire.refuse(again, "3", "etcdserver: key is not provided")
    })?;
    let client = ctx.connect([peer.url()]).await?;
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!((error.attempts(), error.outcome()), (2, Outcome::Rejected), "{error}");
    Ok(())
}

/// R40, H1, I-C3: the streams above the last one named were not processed.
async fn a_goaway_below_the_stream_is_repeated(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let peer = flaky(&server, |wire, _| wire.frame(FrameType::GoAway, 0, 0, &goaway(0)))?;
    let client = ctx.connect([peer.url()]).await?;
    client.put("k", "v").await?;
    assert_eq!(client.get("k").await?.kvs[0].version, 1);
    assert_eq!(peer.accepted(), 2, "the old connection takes no further call");
    Ok(())
}

/// Design 5: our own h2 ends the connection over a fault of the peer; all streams fail with a
/// GOAWAY that says nothing about them.
async fn a_goaway_of_our_own_is_unknown(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    // DATA belongs to a stream; on stream 0 it breaks the protocol.
    let peer = flaky(&server, |wire, _| wire.frame(FrameType::Data, 0, 0, b"x"))?;
    let client = ctx.connect([peer.url()]).await?;
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionLost);
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{error}");
    assert_eq!(client.get("k").await?.count, 0, "the write was not repeated");
    Ok(())
}

/// R42, R3, H3: every other code says nothing about what was done.
async fn other_resets_are_unknown(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    for code in (0..=13u32).filter(|code| *code != REFUSED_STREAM) {
        let reset = move |wire: &mut Wire, stream| {
            wire.frame(FrameType::Reset, 0, stream, &code.to_be_bytes())
        };
        let peer = flaky(&server, reset)?;
        let client = ctx.connect([peer.url()]).await?;
        let error = client.put("k", "v").await.unwrap_err();
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1), "{code}: {error}");
        let stands_for = Status::from_reset(code).code;
        assert_eq!(error.kind(), ErrorKind::Status(stands_for), "E22 to E27");
        client.close().await;
    }
    Ok(())
}

/// R42, B12: a read goes on over a new connection, a write ends.
async fn a_lost_connection_is_unknown_for_a_write(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let hang_up = |_: &mut Wire, _| Err(io::Error::other("hang up"));
    let peer = flaky(&server, hang_up)?;
    let client = ctx.connect([peer.url()]).await?;
    let error = client.put("k", "v").await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (ErrorKind::ConnectionLost, Outcome::Unknown));
    assert_eq!(client.get("k").await?.count, 0, "the write was not repeated");

    let peer = flaky(&server, hang_up)?;
    let client = ctx.connect([peer.url()]).await?;
    assert_eq!(client.get("k").await?.count, 0);
    assert_eq!(peer.accepted(), 2);
    Ok(())
}

/// I-C4, H5: no more streams than the server takes, none of the calls lost, and a raised limit is
/// used at once.
async fn calls_over_the_limit_of_streams_wait_their_turn(ctx: Ctx) -> CaseResult {
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    let peer = Peer::start(|_, mut wire| {
        wire.greet(&[(MAX_CONCURRENT_STREAMS, 2)])?;
        for _ in 0..10 {
            // Two come together; a third would be refused by a strict server.
            let pair = [wire.request()?, wire.request()?];
            for stream in pair {
                wire.refuse(stream, "3", "etcdserver: key is not provided")?;
            }
        }
        let raised =
            [MAX_CONCURRENT_STREAMS.to_be_bytes().as_slice(), &4u32.to_be_bytes()].concat();
        wire.frame(FrameType::Settings, 0, 0, &raised)?;
        let streams = [wire.request()?, wire.request()?, wire.request()?, wire.request()?];
        for stream in streams {
            wire.refuse(stream, "3", "etcdserver: key is not provided")?;
        }
        wire.wait_close()
    })?;
    let client = ctx.connect([peer.url()]).await?;
    let puts: Vec<_> = (0..24)
        .map(|_| {
            let client = client.clone();
            ctx.spawn(async move { client.put("k", "v").await })
        })
        .collect();
    for put in puts {
        let error = put.await.unwrap_err();
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
    }
    assert_eq!(peer.accepted(), 1);
    Ok(())
}
