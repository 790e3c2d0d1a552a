//! From an endpoint to a connection that speaks HTTP/2, within one deadline.

use crate::gather::{self, Gathered, Half};
use crate::greeting::{Greeting, Verdict};
use crate::race::{self, Lost};
use crate::runtime::{BoxFuture, Io, Runtime, Target};
use crate::{Config, tls};
use bytes::Bytes;
use etcd3_core::channel::Broken;
use etcd3_core::endpoint::{Endpoint, Place, Security};
use etcd3_core::error::{Cause, ConnectFailure};
use h2::client::SendRequest;
use std::future::{Future, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::task::Poll;

/// h2's default is 16 MiB; etcd sends a few hundred bytes.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// Until the server has told how many streams it takes.
const STREAMS_BEFORE_SETTINGS: usize = 100;

type Stream = Greeting<Box<dyn Io>>;
/// The HTTP/2 side of a connection.
pub(crate) type Http2 = h2::client::Connection<Half<Stream>, Bytes>;

/// A connection that has been greeted by the server.
pub(crate) struct Dialled {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: Gathered<Stream>,
    /// Counts what comes from the server.
    pub(crate) verdict: Verdict,
}

/// Connects to an endpoint: resolve, connect, handshake, and wait until the server has spoken.
pub(crate) async fn dial(
    rt: &dyn Runtime,
    config: &Config,
    endpoint: &Endpoint,
) -> Result<Dialled, Broken> {
    let timeout = config.connect_timeout;
    let deadline = rt.now() + timeout;
    let late = |what: &str| {
        let text = format!("{what} within {timeout:?}");
        broken(ConnectFailure::TimedOut, io::Error::other(text))
    };
    let mut end = rt.sleep_until(deadline);
    let resolving = before(&mut end, pin!(resolve(rt, endpoint))).await;
    let targets = resolving.unwrap_or_else(|| Err(late("the name was not resolved")))?;
    let io = race::connect(rt, &targets, &mut end).await.map_err(lost)?;
    let greeting = pin!(async {
        let io = match endpoint.security() {
            Security::Tls => tls::handshake(config, endpoint, io).await?,
            Security::Plaintext | Security::Unspecified => io,
        };
        greet(config, endpoint, io).await
    });
    let greeted = before(&mut end, greeting).await;
    greeted.unwrap_or_else(|| Err(late("the server said nothing that was expected")))
}

/// Runs a future until the end comes; `None` if it was not ready by then.
async fn before<T>(
    end: &mut BoxFuture<'static, ()>,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(ready) => Poll::Ready(Some(ready)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

fn broken(failure: ConnectFailure, error: io::Error) -> Broken {
    Broken { failure, cause: Some(Cause::new(error)) }
}

/// No address let us in.
fn lost(lost: Lost) -> Broken {
    broken(lost.failure(), lost.into())
}

/// Finds the addresses of an endpoint, each time anew: they may have changed (I-C9).
async fn resolve(rt: &dyn Runtime, endpoint: &Endpoint) -> Result<Vec<Target>, Broken> {
    match endpoint.place() {
        Place::Unix(path) => Ok(vec![Target::Unix(path.clone())]),
        Place::UnixAbstract(name) => Ok(vec![Target::UnixAbstract(name.clone())]),
        Place::Host { host, port } => {
            if let Ok(address) = host.parse::<IpAddr>() {
                return Ok(vec![Target::Tcp((address, *port).into())]);
            }
            let resolved = rt.resolve(host, *port).await;
            let addresses = resolved.map_err(|e| broken(ConnectFailure::Resolve, e))?;
            if addresses.is_empty() {
                let error = io::Error::other("the name has no address");
                return Err(broken(ConnectFailure::Resolve, error));
            }
            let addresses = race::interleave(race::rotate(addresses, rt.seed()));
            Ok(addresses.into_iter().map(Target::Tcp).collect())
        }
        _ => Err(broken(
            ConnectFailure::Unsupported,
            io::Error::new(io::ErrorKind::Unsupported, "an endpoint of an unknown kind"),
        )),
    }
}

/// Greets the server and waits for its greeting.
async fn greet(config: &Config, endpoint: &Endpoint, io: Box<dyn Io>) -> Result<Dialled, Broken> {
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
    // h2 keeps of an error of the stream no more than its text; the verdict has the error itself.
    let failed = |error: io::Error| {
        let error = verdict.take_error().unwrap_or(error);
        let is_secure = endpoint.security() == Security::Tls;
        if is_secure && verdict.is_silent() {
            return tls::failed(config, error);
        }
        broken(verdict.failure(), error)
    };
    let greeting = gather::handshake(&builder, stream).await;
    let (requests, mut connection) = greeting.map_err(|e| failed(io::Error::other(e)))?;
    // The answer to the greeting leaves with the first calls.
    poll_fn(|cx| match connection.poll_until(cx, || verdict.is_http2()) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(failed(io::Error::other(error)))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(failed(io::ErrorKind::UnexpectedEof.into()))),
        Poll::Pending if verdict.is_http2() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(Dialled { requests, connection, verdict })
}
