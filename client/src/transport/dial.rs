//! From an endpoint to a connection that speaks HTTP/2, within one deadline.

use super::coalesce::{self, Coalesced, SharedIo};
use super::happy_eyeballs::{self, AllFailed};
use super::preface::{PeerKind, PrefaceReader};
use crate::runtime::{BoxFuture, Io, Runtime, Target};
use crate::{Config, tls};
use bytes::Bytes;
use etcd3_core::channel::ConnectionError;
use etcd3_core::endpoint::{Destination, Endpoint, Security};
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

type PrefacedIo = PrefaceReader<Box<dyn Io>>;
/// The HTTP/2 side of a connection.
pub(crate) type Http2 = h2::client::Connection<SharedIo<PrefacedIo>, Bytes>;

/// A connection whose server has sent its preface.
pub(crate) struct Dialled {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) connection: Coalesced<PrefacedIo>,
    /// Counts what comes from the server.
    pub(crate) peer: PeerKind,
}

/// Connects to an endpoint: resolve, connect, handshake, and wait until the server has spoken.
pub(crate) async fn dial(
    rt: &dyn Runtime,
    config: &Config,
    endpoint: &Endpoint,
) -> Result<Dialled, ConnectionError> {
    let timeout = config.connect_timeout;
    let deadline = rt.now() + timeout;
    let late = |what: &str| {
        let text = format!("{what} within {timeout:?}");
        connection_error(ConnectFailure::NoAnswer, io::Error::other(text))
    };
    let mut end = rt.sleep_until(deadline);
    let resolving = before(&mut end, pin!(resolve(rt, endpoint))).await;
    let targets = resolving.unwrap_or_else(|| Err(late("the name was not resolved")))?;
    let io = happy_eyeballs::connect(rt, &targets, &mut end).await.map_err(all_failed)?;
    let handshake = pin!(async {
        let io = match endpoint.security() {
            Security::Tls => tls::handshake(config.tls.as_ref(), endpoint, io).await?,
            Security::Plaintext | Security::Unspecified => io,
        };
        exchange_prefaces(config, endpoint, io).await
    });
    let made = before(&mut end, handshake).await;
    made.unwrap_or_else(|| Err(late("the server said nothing that was expected")))
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

fn connection_error(failure: ConnectFailure, error: io::Error) -> ConnectionError {
    ConnectionError { failure, cause: Some(Cause::new(error)) }
}

/// No address accepted a connection.
fn all_failed(failed: AllFailed) -> ConnectionError {
    connection_error(failed.failure(), failed.into())
}

/// Finds the addresses of an endpoint, each time anew: they may have changed.
// I-C9
async fn resolve(rt: &dyn Runtime, endpoint: &Endpoint) -> Result<Vec<Target>, ConnectionError> {
    match endpoint.destination() {
        Destination::Unix(path) => Ok(vec![Target::Unix(path.clone())]),
        Destination::UnixAbstract(name) => Ok(vec![Target::UnixAbstract(name.clone())]),
        Destination::Host { host, port } => {
            if let Ok(address) = host.parse::<IpAddr>() {
                return Ok(vec![Target::Tcp((address, *port).into())]);
            }
            let resolved = rt.resolve(host, *port).await;
            let addresses = resolved.map_err(|e| connection_error(ConnectFailure::Resolve, e))?;
            if addresses.is_empty() {
                let error = io::Error::other("the name has no address");
                return Err(connection_error(ConnectFailure::Resolve, error));
            }
            let addresses =
                happy_eyeballs::interleave(happy_eyeballs::rotate(addresses, rt.seed()));
            Ok(addresses.into_iter().map(Target::Tcp).collect())
        }
        _ => Err(connection_error(
            ConnectFailure::Unsupported,
            io::Error::new(io::ErrorKind::Unsupported, "an endpoint of an unknown kind"),
        )),
    }
}

/// Exchanges prefaces with the server.
async fn exchange_prefaces(
    config: &Config,
    endpoint: &Endpoint,
    io: Box<dyn Io>,
) -> Result<Dialled, ConnectionError> {
    let (stream, peer) = PrefaceReader::new(io);
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
    // h2 keeps of an error of the stream no more than its text; the peer has the error itself.
    let failed = |error: io::Error| {
        let error = peer.take_error().unwrap_or(error);
        let is_secure = endpoint.security() == Security::Tls;
        if is_secure && peer.is_silent() {
            return tls::failed(config.tls.as_ref(), error);
        }
        connection_error(peer.failure(), error)
    };
    let handshake = coalesce::handshake(&builder, stream).await;
    let (requests, mut connection) = handshake.map_err(|e| failed(io::Error::other(e)))?;
    // The answer to the preface leaves with the first calls.
    poll_fn(|cx| match connection.poll_until(cx, || peer.is_http2()) {
        Poll::Ready(Err(error)) => Poll::Ready(Err(failed(io::Error::other(error)))),
        Poll::Ready(Ok(())) => Poll::Ready(Err(failed(io::ErrorKind::UnexpectedEof.into()))),
        Poll::Pending if peer.is_http2() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok(Dialled { requests, connection, peer })
}
