//! Whatever goes wrong ends in an error of its own kind, with the right outcome, in time.

use crate::peer::{FrameType, Peer, Wire};
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{
    Client, Code, Config, ConnectFailure, Error, ErrorKind, Outcome, Phase, ServerError, from_key,
};
use etcd3_lab::BlackHole;
use std::error::Error as _;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(endpoints_that_cannot_be_read_are_refused_at_once, []).any_version(),
    case!(a_closed_port_is_a_refused_connection, []).real("sockets of the machine").any_version(),
    case!(a_black_holed_port_times_out, []).real("sockets of the machine").any_version(),
    case!(a_silent_server_times_out, []).real("a scripted server").any_version(),
    case!(other_protocols_are_named, []).real("a scripted server").any_version(),
    case!(a_tls_server_in_plaintext_is_named, []).real("TLS"),
    case!(garbage_after_the_preface_ends_the_call, []).real("a scripted server").any_version(),
    case!(requests_over_the_limit_are_not_sent, []),
    case!(answers_over_the_limit_are_not_taken, []),
    case!(a_deadline_without_a_connection, []).real("sockets of the machine").any_version(),
    case!(a_deadline_without_a_free_stream, []).real("a scripted server").any_version(),
    case!(a_deadline_without_an_answer, []).real("a scripted server").any_version(),
    case!(a_deadline_between_retries, []).real("a scripted server").any_version(),
    case!(no_time_at_all, []),
];

/// The time that a deadline may be overrun on a busy machine.
const SLACK: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

fn config(url: impl Into<String>) -> Config {
    Config::new([url]).connect_timeout(SHORT)
}

async fn connect_error(ctx: &Ctx, config: Config) -> Result<Error, String> {
    match ctx.within(SLACK, ctx.connect_with(config)).await {
        Some(Err(error)) => Ok(error),
        Some(Ok(_)) => Err("connected".to_owned()),
        None => Err("hung".to_owned()),
    }
}

/// Checks that a put ends in time, in this kind of error with this outcome.
async fn put_error(
    ctx: &Ctx,
    client: &Client,
    kind: ErrorKind,
    outcome: Outcome,
) -> Result<Error, String> {
    // A task of its own, so that nothing but the client can wake it.
    let client = client.clone();
    let put = ctx.spawn(async move { client.put("k", "v").timeout(SHORT).await });
    let result = ctx.within(SHORT + SLACK, put).await.ok_or("hung")?;
    let error = result.err().ok_or("the put succeeded")?;
    assert_eq!((error.kind(), error.outcome()), (kind, outcome), "{error}");
    Ok(error)
}

/// C39, I-X6
async fn endpoints_that_cannot_be_read_are_refused_at_once(ctx: Ctx) -> CaseResult {
    for (bad, told) in [
        ("", "empty"),
        ("http://", "host"),
        ("ftp://a:1", "scheme"),
        ("a:0", "port"),
        ("a:99999", "port"),
        ("http://a b", "host"),
        ("http://a/x", "after the port"),
        ("[::1", "bracket"),
        ("::1:2379", "write an IPv6 address in brackets"),
        ("http://::1:2379", "write an IPv6 address in brackets"),
        ("http://a:1,http://b:1", "comma"),
    ] {
        let error = connect_error(&ctx, Config::new([bad])).await?;
        assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad:?}");
        assert_eq!(error.outcome(), Outcome::NotSent);
        let report = error.report().to_string();
        assert!(report.contains(&format!("{bad:?}")) && report.contains(told), "{report}");
    }
    let none = connect_error(&ctx, Config::new(Vec::<String>::new())).await?;
    assert_eq!(none.kind(), ErrorKind::InvalidConfig);
    Ok(())
}

/// A port of this process that nobody listens on: bound, so that nobody else can take it.
fn closed_port() -> io::Result<(TcpListener, TcpStream, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?)?;
    let closed = stream.local_addr()?;
    Ok((listener, stream, closed))
}

/// I-C11, B9: the cause is kept.
async fn a_closed_port_is_a_refused_connection(ctx: Ctx) -> CaseResult {
    let (_listener, _stream, closed) = closed_port()?;
    let url = format!("http://{closed}");
    let error = connect_error(&ctx, config(&url)).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::Refused), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert_eq!(error.endpoint(), Some(&*url));
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    assert_eq!(cause.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}

/// N11: a listener whose queue is full answers no further SYN.
async fn a_black_holed_port_times_out(ctx: Ctx) -> CaseResult {
    let hole = BlackHole::new()?;
    let error = connect_error(&ctx, config(hole.url())).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::NoAnswer), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    Ok(())
}

/// N10: accepted, then silence. The handshake has the same deadline.
async fn a_silent_server_times_out(ctx: Ctx) -> CaseResult {
    let peer = Peer::start(|_, mut wire| wire.wait_close())?;
    let error = connect_error(&ctx, config(peer.url())).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::NoAnswer), "{error}");
    Ok(())
}

async fn other_protocols_are_named(ctx: Ctx) -> CaseResult {
    const TLS: ConnectFailure = ConnectFailure::PeerSpeaksTls;
    let http1 = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for (says, failure) in [
        (http1, ConnectFailure::PeerSpeaksHttp1),
        ("HTTP/1.0 400 Bad Request\r\n\r\nHTTP request to an HTTPS server", TLS),
        ("\x15\x03\x01\0\x02\x02\x16", TLS),
        ("SSH-2.0-OpenSSH_9.2\r\n", ConnectFailure::PeerNotHttp2),
        ("", ConnectFailure::ClosedByPeer),
    ] {
        let peer = Peer::start(move |_, mut wire| {
            wire.await_preface()?;
            wire.send(says.as_bytes())?;
            if says.is_empty() { Ok(()) } else { wire.wait_close() }
        })?;
        let error = connect_error(&ctx, config(peer.url())).await?;
        assert_eq!(error.kind(), ErrorKind::Connect(failure), "{error}");
        assert_eq!(error.outcome(), Outcome::NotSent);
    }
    Ok(())
}

/// etcd hangs up without a word; the error says what that may mean.
async fn a_tls_server_in_plaintext_is_named(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(|server| server.https().flag("--auto-tls", "true")).await?;
    let url = server.client_url().replace("https://", "http://");
    let error = connect_error(&ctx, Config::new([url])).await?;
    assert_eq!(error.kind(), ErrorKind::Connect(ConnectFailure::ClosedByPeer), "{error}");
    assert_eq!(error.outcome(), Outcome::NotSent);
    assert!(error.report().to_string().contains("does it expect TLS?"), "{}", error.report());
    Ok(())
}

/// Serves one request, then does this to the connection; later connections find a silent server.
fn after_request(
    then: impl Fn(&mut Wire, u32) -> io::Result<()> + Send + Sync + 'static,
) -> io::Result<Peer> {
    Peer::start(move |_, mut wire| {
        wire.greet(&[])?;
        let stream = wire.request()?;
        then(&mut wire, stream)?;
        wire.wait_close()
    })
}

/// The write may have been applied before the garbage came: it is not repeated.
async fn garbage_after_the_preface_ends_the_call(ctx: Ctx) -> CaseResult {
    let peer = after_request(|wire, _| wire.send(&[0xff; 64]))?;
    let client = ctx.connect_with(config(peer.url())).await?;
    put_error(&ctx, &client, ErrorKind::ConnectionLost, Outcome::Unknown).await?;

    let at_once = Peer::start(|_, mut wire| {
        wire.greet(&[])?;
        wire.send(&[0xff; 64])?;
        wire.wait_close()
    })?;
    let client = Client::connect_lazy_on(Arc::clone(&ctx.rt), config(at_once.url()))?;
    let put = async { client.put("k", "v").timeout(SHORT).await };
    let error = ctx.within(SHORT + SLACK, put).await.ok_or("hung")?.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionLost | ErrorKind::TimedOut(Phase::Connection)),
        "{error}"
    );
    Ok(())
}

async fn limited(
    ctx: &Ctx,
    config: impl FnOnce(Config) -> Config,
) -> Result<(Server, Client), String> {
    let server = ctx.server().await.map_err(|e| e.to_string())?;
    let config = config(Config::new([server.client_url()]));
    let client = ctx.connect_with(config).await.map_err(|e| e.to_string())?;
    Ok((server, client))
}

/// C7, E10.25
async fn requests_over_the_limit_are_not_sent(ctx: Ctx) -> CaseResult {
    let (_server, client) = limited(&ctx, |config| config.max_request_bytes(1000)).await?;
    let error = client.put("k", vec![0; 1000]).await.unwrap_err();
    let ErrorKind::RequestOverLimit { len, limit } = error.kind() else { panic!("{error}") };
    assert_eq!((len, limit), (1006, 1000));
    assert_eq!((error.outcome(), error.code()), (Outcome::NotSent, Code::ResourceExhausted));
    assert_eq!(client.get("k").await?.count, 0);

    client.put("k", vec![0; 990]).await?;
    Ok(())
}

/// C8, E36: the connection goes on.
async fn answers_over_the_limit_are_not_taken(ctx: Ctx) -> CaseResult {
    let (_server, client) = limited(&ctx, |config| config.max_response_bytes(1000)).await?;
    client.put("k", vec![0; 2000]).await?;
    let error = client.get("k").await.unwrap_err();
    let ErrorKind::ResponseOverLimit { len, limit } = error.kind() else { panic!("{error}") };
    assert!(len > 2000 && limit == 1000, "{error}");
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1));
    assert_eq!(client.get(from_key("k")).keys_only().await?.kvs.len(), 1);
    Ok(())
}

/// I-R4: while there is nothing to connect to. The cause is that of the last dial.
async fn a_deadline_without_a_connection(ctx: Ctx) -> CaseResult {
    let (_listener, _stream, closed) = closed_port()?;
    let hole = BlackHole::new()?;
    for address in [closed, hole.addr()] {
        let client =
            Client::connect_lazy_on(Arc::clone(&ctx.rt), config(format!("http://{address}")))?;
        let timeout = ErrorKind::TimedOut(Phase::Connection);
        let error = put_error(&ctx, &client, timeout, Outcome::NotSent).await?;
        if address == closed {
            // B9: not only that there was no connection, but why.
            let cause = error.source().and_then(|cause| cause.downcast_ref::<Error>());
            let refused = ErrorKind::Connect(ConnectFailure::Refused);
            assert_eq!(cause.map(Error::kind), Some(refused), "{error}");
        }
        client.close().await;
    }
    Ok(())
}

const MAX_CONCURRENT_STREAMS: u16 = 3;

/// I-R4, I-C4, H5: while the server takes no streams.
async fn a_deadline_without_a_free_stream(ctx: Ctx) -> CaseResult {
    let peer = Peer::start(|_, mut wire| {
        wire.greet(&[(MAX_CONCURRENT_STREAMS, 0)])?;
        wire.wait_close()
    })?;
    let client = ctx.connect_with(config(peer.url())).await?;
    for _ in 0..3 {
        let timeout = ErrorKind::TimedOut(Phase::Connection);
        put_error(&ctx, &client, timeout, Outcome::NotSent).await?;
    }
    assert_eq!(peer.accepted(), 1, "the connection is not to blame");
    Ok(())
}

/// I-R4: while the answer does not come, not even its head, or only half of it.
async fn a_deadline_without_an_answer(ctx: Ctx) -> CaseResult {
    let mute = after_request(|_, _| Ok(()))?;
    let head_only = after_request(Wire::respond)?;
    let half = after_request(|wire, stream| {
        wire.respond(stream)?;
        wire.frame(FrameType::Data, 0, stream, &[0, 0, 0, 0, 9, 1, 2])
    })?;
    for peer in [mute, head_only, half] {
        let client = ctx.connect_with(config(peer.url())).await?;
        let timeout = ErrorKind::TimedOut(Phase::Answer);
        let error = put_error(&ctx, &client, timeout, Outcome::Unknown).await?;
        assert_eq!((error.attempts(), error.endpoint()), (1, Some(&*peer.url())));
    }
    Ok(())
}

/// I-R4, E12: what a deadline cut short were retries; the error is what they failed with.
async fn a_deadline_between_retries(ctx: Ctx) -> CaseResult {
    let busy = ServerError::TooManyRequests;
    let peer = Peer::start(move |_, mut wire| {
        wire.greet(&[])?;
        loop {
            let stream = wire.request()?;
            wire.refuse(stream, "2", busy.text())?;
        }
    })?;
    let client = ctx.connect_with(config(peer.url())).await?;
    let error = put_error(&ctx, &client, ErrorKind::Server(busy), Outcome::Rejected).await?;
    assert!(error.attempts() > 1 && error.is_retryable(), "{error}");
    assert_eq!(error.code(), Code::Unknown, "the code of the wire is kept (E4)");
    Ok(())
}

/// C32: a deadline that has passed sends nothing.
async fn no_time_at_all(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let error = client.put("k", "v").timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0));
    assert_eq!(client.get("k").await?.count, 0);
    Ok(())
}
