//! From an endpoint to a connection that speaks HTTP/2, within one deadline.

use crate::greeting::{Greeting, Verdict};
use crate::runtime::{Io, Runtime, Target};
use crate::shared::Shared;
use bytes::Bytes;
use etcd3_core::Instant;
use etcd3_core::channel::Broken;
use etcd3_core::endpoint::{Endpoint, Place};
use etcd3_core::error::{Cause, ConnectFailure};
use futures_lite::FutureExt;
use h2::client::{Connection, SendRequest};
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

/// h2's default is 16 MiB; etcd sends a few hundred bytes.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// Until the server has told how many streams it takes.
const STREAMS_BEFORE_SETTINGS: usize = 100;

type Stream = Greeting<Box<dyn Io>>;

/// A connection that has been greeted by the server.
pub(crate) struct Dialled {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: Connection<Stream, Bytes>,
    /// Counts what comes from the server.
    pub(crate) verdict: Verdict,
}

/// Connects to an endpoint: resolve, connect, handshake, and wait until the server has spoken.
pub(crate) async fn dial(shared: &Shared, endpoint: &Endpoint) -> Result<Dialled, Broken> {
    let timeout = shared.config.connect_timeout;
    let deadline = shared.rt.now() + timeout;
    let all = async {
        let io = connect(&*shared.rt, endpoint, deadline).await?;
        handshake(shared, io).await
    };
    before(&*shared.rt, deadline, all).await.unwrap_or_else(|| Err(timed_out(timeout)))
}

/// Runs a future until the deadline; `None` if it was not ready by then.
async fn before<T>(
    rt: &dyn Runtime,
    deadline: Instant,
    future: impl Future<Output = T>,
) -> Option<T> {
    let timeout = async {
        rt.sleep_until(deadline).await;
        None
    };
    async { Some(future.await) }.or(timeout).await
}

fn broken(failure: ConnectFailure, error: io::Error) -> Broken {
    Broken { failure, cause: Some(Cause::new(error)) }
}

fn timed_out(timeout: Duration) -> Broken {
    broken(ConnectFailure::TimedOut, io::Error::other(format!("nothing came within {timeout:?}")))
}

/// Opens a byte stream: tries every address of the endpoint, each with a fair share of the time.
async fn connect(
    rt: &dyn Runtime,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Box<dyn Io>, Broken> {
    let targets = resolve(rt, endpoint).await?;
    let mut last = None;
    for (tried, target) in targets.iter().enumerate() {
        let now = rt.now();
        let left = u32::try_from(targets.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_since(now) / left;
        match before(rt, now + share, rt.connect(target)).await {
            Some(Ok(io)) => return Ok(io),
            Some(Err(error)) => last = Some(broken(ConnectFailure::Refused, error)),
            None => last = Some(timed_out(share)),
        }
    }
    Err(last.unwrap_or_else(|| {
        broken(ConnectFailure::Resolve, io::Error::other("the name has no address"))
    }))
}

async fn resolve(rt: &dyn Runtime, endpoint: &Endpoint) -> Result<Vec<Target>, Broken> {
    match endpoint.place() {
        Place::Unix(path) => Ok(vec![Target::Unix(path.clone())]),
        Place::Host { host, port } => {
            if let Ok(address) = host.parse::<IpAddr>() {
                return Ok(vec![Target::Tcp((address, *port).into())]);
            }
            let resolved = rt.resolve(host, *port).await;
            let addresses = resolved.map_err(|e| broken(ConnectFailure::Resolve, e))?;
            Ok(addresses.into_iter().map(Target::Tcp).collect())
        }
        _ => Err(broken(
            ConnectFailure::Resolve,
            io::Error::new(io::ErrorKind::Unsupported, "an endpoint of an unknown kind"),
        )),
    }
}

/// Greets the server and waits for its greeting.
async fn handshake(shared: &Shared, io: Box<dyn Io>) -> Result<Dialled, Broken> {
    let config = &shared.config;
    let (stream, verdict) = Greeting::new(io);
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(config.stream_window)
        .initial_connection_window_size(config.connection_window.max(config.stream_window))
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_max_send_streams(STREAMS_BEFORE_SETTINGS)
        .enable_push(false)
        // Cancelled streams are forgotten at once: h2 would remember them for a time that it takes
        // from the clock of the machine.
        .max_concurrent_reset_streams(0)
        // Frames that come late for them must not end the connection.
        .max_local_error_reset_streams(None);
    let failed = |error: h2::Error| broken(verdict.failure(), io::Error::other(error));
    let (requests, mut connection) = builder.handshake::<_, Bytes>(stream).await.map_err(failed)?;
    poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(failed(error))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(broken(
            verdict.failure(),
            io::Error::from(io::ErrorKind::UnexpectedEof),
        ))),
        Poll::Pending if verdict.is_http2() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(Dialled { requests, connection, verdict })
}
