//! One HTTP/2 stream, seen as a sequence of call inputs: the one place where h2 meets the core.
//!
//! | h2 | input |
//! |---|---|
//! | no stream to be had, or the head refused | `Lost(NotSent)` |
//! | head and body handed over | `Sent`; no await lies between |
//! | head, data, trailers of the response | `Head`, `Data` (then its window is given back), `End` |
//! | no head yet, and `REFUSED_STREAM`, or the peer's GOAWAY below our stream | `Lost(NotSent)` |
//! | anything else | `Lost(Unknown)` |
//!
//! Who has begun to answer has begun to process, whatever is said of it later.
//!
//! A GOAWAY that our own h2 makes ends all streams, processed or not, and is *unknown*.

use bytes::Bytes;
use etcd3_core::Outcome;
use etcd3_core::call::{Input, Lost};
use etcd3_core::error::Cause;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::Request;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// A request that is under way. Dropping it resets the stream.
pub(crate) enum Exchange {
    Head(ResponseFuture),
    /// The body, and how much of its window is yet to be given back.
    Body(RecvStream, usize),
}

/// Hands over head and body at once. An error says whether a server can have seen any of it.
///
/// The caller has a place on the connection, so that h2 does not queue the stream.
pub(crate) fn start(
    requests: &mut SendRequest<Bytes>,
    head: Request<()>,
    body: Bytes,
) -> Result<Exchange, Lost> {
    let not_sent = |error| lost(Outcome::NotSent, error);
    // Says whether the connection can be used. There is nothing to wait for: if the server takes
    // fewer streams than it did, the one before this waits in h2, and this one behind it.
    let ready = requests.poll_ready(&mut Context::from_waker(Waker::noop()));
    match ready {
        Poll::Ready(ready) => ready.map_err(not_sent)?,
        Poll::Pending => *requests = requests.clone(),
    }
    let (response, mut send) = requests.send_request(head, false).map_err(not_sent)?;
    send.send_data(body, true).map_err(|error| lost(Outcome::Unknown, error))?;
    Ok(Exchange::Head(response))
}

impl Exchange {
    /// Looks for what comes next. After `End` and `Lost` the exchange is to be dropped.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        Poll::Ready(match self {
            Self::Head(response) => match ready!(Pin::new(response).poll(cx)) {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    *self = Self::Body(body, 0);
                    Input::Head { status: head.status, headers: head.headers }
                }
                Err(error) => Input::Lost(judge(error)),
            },
            Self::Body(body, taken) => match ready!(poll_data(body, taken, cx)) {
                Some(Ok(chunk)) => Input::Data(chunk),
                Some(Err(error)) => Input::Lost(lost(Outcome::Unknown, error)),
                None => match ready!(body.poll_trailers(cx)) {
                    Ok(trailers) => Input::End(trailers),
                    Err(error) => Input::Lost(lost(Outcome::Unknown, error)),
                },
            },
        })
    }
}

/// Looks for data, and gives back the window of what came before. When no more comes there is no
/// need to: the end of the stream gives back all of it.
fn poll_data(
    body: &mut RecvStream,
    taken: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, h2::Error>>> {
    let data = body.poll_data(cx);
    if *taken > 0 && !matches!(data, Poll::Ready(None)) {
        // Fails only when the stream is gone, which the next look reports.
        let _ = body.flow_control().release_capacity(std::mem::take(taken));
    }
    if let Poll::Ready(Some(Ok(chunk))) = &data {
        *taken = chunk.len();
    }
    data
}

/// The connection takes no more calls.
pub(crate) fn shut() -> Lost {
    Lost { outcome: Outcome::NotSent, reset: None, cause: None }
}

fn lost(outcome: Outcome, error: h2::Error) -> Lost {
    let is_reset = error.is_reset() && error.is_remote();
    let reset = error.reason().filter(|_| is_reset).map(u32::from);
    Lost { outcome, reset, cause: Some(Cause::new(error)) }
}

/// Says whether the server can have acted on a request whose stream ended in this error before an
/// answer began.
fn judge(error: h2::Error) -> Lost {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // h2 fails only the streams above the last one that the peer's GOAWAY names.
    let unprocessed = error.is_remote() && (refused || error.is_go_away());
    lost(if unprocessed { Outcome::NotSent } else { Outcome::Unknown }, error)
}
