//! One HTTP/2 stream as a sequence of events: the one place where h2 meets the core.
//!
//! | h2 | event |
//! |---|---|
//! | no stream, or the head refused | `Lost(NotSent)` |
//! | head and body handed over | `Sent`; no await lies between |
//! | head, data, trailers of the response | `Head`, `Data` (then its window is given back), `End` |
//! | no head yet, and `REFUSED_STREAM`, or the peer's GOAWAY below our stream | `Lost(NotSent)` |
//! | anything else | `Lost(Unknown)` |
//!
//! A server that has begun to answer has begun to process, whatever is said of it later.
//!
//! A GOAWAY that our own h2 makes ends all streams, processed or not, and is *unknown*.

use bytes::Bytes;
use etcd3_core::Outcome;
use etcd3_core::channel::Retirement;
use etcd3_core::error::Cause;
use etcd3_core::transport::{Event, Lost};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::Request;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A request that is under way. Dropping it resets the stream.
pub(crate) enum Exchange {
    Head(ResponseFuture),
    /// The body, and how much of its window is yet to be given back.
    Body(RecvStream, usize),
}

/// Hands over head and body at once. An error says whether a server can have seen any of it.
///
/// The caller has a permit of the connection, so that h2 does not queue the stream. h2 refuses one
/// more behind a stream that it queues all the same, since the server takes fewer than it did; it
/// lets another handle queue it.
pub(crate) fn start(
    requests: &mut SendRequest<Bytes>,
    mut head: impl FnMut() -> Request<()>,
    body: Bytes,
) -> Result<Exchange, (Lost, Retirement)> {
    request(requests, &mut head).map(|(response, send)| finish(response, send, body))
}

/// Opens a stream whose messages follow, on the same terms.
pub(crate) fn open(
    requests: &mut SendRequest<Bytes>,
    mut head: impl FnMut() -> Request<()>,
) -> Result<(Exchange, Sender), (Lost, Retirement)> {
    let (response, send) = request(requests, &mut head)?;
    Ok((Exchange::Head(response), Sender::new(send)))
}

fn request(
    requests: &mut SendRequest<Bytes>,
    head: &mut impl FnMut() -> Request<()>,
) -> Result<(ResponseFuture, SendStream<Bytes>), (Lost, Retirement)> {
    let opened = requests.send_request(head(), false).or_else(|_| {
        *requests = requests.clone();
        requests.send_request(head(), false)
    });
    opened.map_err(|error| {
        let how = retirement(&error);
        (lost(Outcome::NotSent, error), how)
    })
}

/// Hands over the body.
fn finish(response: ResponseFuture, mut send: SendStream<Bytes>, body: Bytes) -> Exchange {
    // Fails when the stream is over already: an early response (RFC 9113, 8.1), a reset, the end of
    // the connection. Each is read from the response, as if it had come a little later.
    let _ = send.send_data(body, true);
    Exchange::Head(response)
}

/// How the peer said that a connection takes no new streams, if it did.
pub(crate) fn retirement(error: &h2::Error) -> Retirement {
    let is_orderly = error.is_remote() && error.is_go_away();
    match error.reason() {
        Some(Reason::NO_ERROR) if is_orderly => Retirement::NoError,
        _ => Retirement::Other,
    }
}

impl Exchange {
    /// Looks for what comes next, at first for the end if the answer `is_whole`. After `End` and
    /// `Lost` the exchange is to be dropped.
    pub(crate) fn poll_next(&mut self, is_whole: bool, cx: &mut Context<'_>) -> Poll<Event> {
        Poll::Ready(match self {
            Self::Head(response) => match ready!(Pin::new(response).poll(cx)) {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    *self = Self::Body(body, 0);
                    Event::Head { status: head.status, headers: head.headers }
                }
                Err(error) => Event::Lost(judge(error)),
            },
            Self::Body(body, taken) => {
                if is_whole && let Poll::Ready(end) = poll_end(body, cx) {
                    return Poll::Ready(end);
                }
                match ready!(poll_data(body, taken, cx)) {
                    Some(Ok(chunk)) => Event::Data(chunk),
                    Some(Err(error)) => Event::Lost(lost(Outcome::Unknown, error)),
                    None => ready!(poll_end(body, cx)),
                }
            }
        })
    }
}

/// Looks for the end of the body. Pending, too, when there is data before it.
fn poll_end(body: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Event> {
    body.poll_trailers(cx).map(|end| match end {
        Ok(trailers) => Event::End(trailers),
        Err(error) => Event::Lost(lost(Outcome::Unknown, error)),
    })
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

/// Returns the connection takes no more requests.
pub(crate) fn shut() -> (Lost, Retirement) {
    (Lost { outcome: Outcome::NotSent, reset: None, cause: None }, Retirement::Other)
}

fn lost(outcome: Outcome, error: h2::Error) -> Lost {
    let is_reset = error.is_reset() && error.is_remote();
    let reset = error.reason().filter(|_| is_reset).map(u32::from);
    Lost { outcome, reset, cause: Some(Cause::new(error)) }
}

/// Returns whether the server can have acted on a request whose stream ended in this error before
/// an answer began.
fn judge(error: h2::Error) -> Lost {
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // h2 fails only the streams above the last one that the peer's GOAWAY names.
    let unprocessed = error.is_remote() && (refused || error.is_go_away());
    lost(if unprocessed { Outcome::NotSent } else { Outcome::Unknown }, error)
}

/// The most bytes that wait for the window of a stream.
const MAX_QUEUED: usize = 1 << 20;

/// The sending half of a stream whose messages follow one by one.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: SendStream<Bytes>,
    queue: VecDeque<Bytes>,
    /// Whether the request ends after what is queued.
    is_closing: bool,
    is_closed: bool,
}

impl Sender {
    const fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, queue: VecDeque::new(), is_closing: false, is_closed: false }
    }

    /// Queues a frame; returns whether there was room for it. One frame always has room.
    pub(crate) fn push(&mut self, frame: Bytes) -> bool {
        let queued: usize = self.queue.iter().map(Bytes::len).sum();
        let has_room = queued == 0 || queued + frame.len() <= MAX_QUEUED;
        if has_room && !self.is_closing {
            self.queue.push_back(frame);
        }
        has_room
    }

    /// Ends the request after what is queued: a half-close.
    pub(crate) const fn close(&mut self) {
        self.is_closing = true;
    }

    /// Sends what is queued, as far as the window of the stream allows; completes when nothing is
    /// left. Failures are those of the stream, which its response tells.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(frame) = self.queue.front_mut() {
            self.stream.reserve_capacity(frame.len());
            let Some(Ok(granted)) = ready!(self.stream.poll_capacity(cx)) else {
                self.queue.clear();
                return Poll::Ready(());
            };
            let part = frame.split_to(granted.min(frame.len()));
            let is_sent = frame.is_empty();
            let _ = self.stream.send_data(part, false);
            if is_sent {
                self.queue.pop_front();
            }
        }
        if self.is_closing && !std::mem::replace(&mut self.is_closed, true) {
            let _ = self.stream.send_data(Bytes::new(), true);
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Compat;
    use async_io::Async;
    use futures_lite::FutureExt;
    use futures_lite::future::{block_on, poll_fn, poll_once, zip};
    use futures_lite::io::Cursor;
    use http::{Response, StatusCode};
    use std::net::{TcpListener, TcpStream};

    fn head() -> Request<()> {
        Request::post("http://a/b").body(()).expect("a head")
    }

    // I-C4: the calls counted their permits before the server's new limit was known.
    #[test]
    fn a_stream_that_h2_holds_back_does_not_refuse_those_behind_it() {
        let mut builder = h2::client::Builder::new();
        builder.initial_max_send_streams(1);
        let silent = Compat(Cursor::new(Vec::new()));
        let handshake = block_on(builder.handshake(silent));
        let (mut requests, _connection) = handshake.expect("a connection");
        let mut exchanges = Vec::new();
        for _ in 0..4 {
            exchanges.push(start(&mut requests, head, Bytes::new()).expect("an exchange"));
        }
    }

    type Respond = h2::server::SendResponse<Bytes>;

    /// Both ends of a connection.
    async fn connected() -> (Async<TcpStream>, Async<TcpStream>) {
        let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0)).expect("a port");
        let address = listener.get_ref().local_addr().expect("an address");
        let (near, far) = zip(Async::<TcpStream>::connect(address), listener.accept()).await;
        (near.expect("a connection"), far.expect("a connection").0)
    }

    /// How a server answers before the body of the request has come.
    #[derive(Clone, Copy)]
    enum Early {
        /// With a head that ends the response, or one that does not.
        Head {
            is_end: bool,
        },
        Nothing,
    }

    /// Answers one request before its body comes, and resets the stream with this code.
    async fn refuse_early(stream: Async<TcpStream>, early: Early, reason: Reason) {
        let mut server = h2::server::handshake(Compat(stream)).await.expect("a preface");
        let (_request, mut respond) = server.accept().await.expect("a request").expect("a head");
        let response = Response::builder().status(413).body(()).expect("a response");
        match early {
            Early::Nothing => respond.send_reset(reason),
            Early::Head { is_end } => {
                let body = respond.send_response(response, is_end);
                // The head leaves before the reset, which would take it back.
                assert!(poll_once(server.accept()).await.is_none(), "there is no other request");
                body.expect("it can be sent").send_reset(reason);
            }
        }
        poll_fn(|cx| server.poll_closed(cx)).await.expect("the client leaves");
    }

    /// What a client sees of a stream that was refused early, if it hands over the body after that.
    fn seen(early: Early, reason: Reason) -> Vec<Event> {
        block_on(async {
            let (near, far) = connected().await;
            let server = refuse_early(far, early, reason);
            let client = async {
                let handshake = h2::client::handshake(Compat(near)).await;
                let (mut requests, connection) = handshake.expect("a connection");
                let exchange = async {
                    let (response, mut send) =
                        requests.send_request(head(), false).expect("a stream");
                    let reset = poll_fn(|cx| send.poll_reset(cx)).await;
                    assert_eq!(reset.expect("a reset"), reason, "the stream is over");
                    let mut exchange = finish(response, send, Bytes::from_static(b"body"));
                    let mut inputs = Vec::new();
                    loop {
                        let next = poll_fn(|cx| exchange.poll_next(false, cx)).await;
                        let is_over = matches!(next, Event::End(_) | Event::Lost(_));
                        inputs.push(next);
                        if is_over {
                            return inputs;
                        }
                    }
                };
                let driver = async {
                    let _ = connection.await;
                    std::future::pending().await
                };
                exchange.or(driver).await
            };
            zip(client, server).await.0
        })
    }

    // RFC 9113, 8.1: a server that has answered needs no body; an error of one stream is that
    // stream's.
    #[test]
    fn a_response_that_comes_before_the_body_has_left_is_read() {
        let inputs = seen(Early::Head { is_end: true }, Reason::NO_ERROR);
        let [Event::Head { status, .. }, Event::End(None)] = &inputs[..] else {
            panic!("{inputs:?}");
        };
        assert_eq!(*status, StatusCode::PAYLOAD_TOO_LARGE);
        let inputs = seen(Early::Head { is_end: false }, Reason::NO_ERROR);
        assert!(matches!(inputs[..], [Event::Head { .. }, Event::Lost(_)]), "{inputs:?}");
    }

    /// What becomes of a stream whose body has left, if the server then does this.
    fn judged(
        act: fn(&mut h2::server::Connection<Compat<Async<TcpStream>>, Bytes>, Respond),
    ) -> Lost {
        block_on(async {
            let (near, far) = connected().await;
            let server = async {
                let mut server = h2::server::handshake(Compat(far)).await.expect("a preface");
                let (_request, respond) =
                    server.accept().await.expect("a request").expect("a head");
                act(&mut server, respond);
                let _ = poll_fn(|cx| server.poll_closed(cx)).await;
            };
            let client = async {
                let handshake = h2::client::handshake(Compat(near)).await;
                let (mut requests, connection) = handshake.expect("a connection");
                let exchange = async {
                    let mut exchange =
                        start(&mut requests, head, Bytes::new()).expect("an exchange");
                    loop {
                        let next = poll_fn(|cx| exchange.poll_next(false, cx)).await;
                        if let Event::Lost(lost) = next {
                            return lost;
                        }
                    }
                };
                let driver = async {
                    let _ = connection.await;
                    std::future::pending().await
                };
                exchange.or(driver).await
            };
            client
                .or(async {
                    server.await;
                    std::future::pending().await
                })
                .await
        })
    }

    // The table above: what is provably unprocessed, and what is not.
    #[test]
    fn what_a_server_declares_unprocessed_is_not_sent() {
        let refused = judged(|_, mut respond| respond.send_reset(Reason::REFUSED_STREAM));
        assert_eq!((refused.outcome, refused.reset), (Outcome::NotSent, Some(7)));
        for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
            let act: fn(&mut _, Respond) = match reason {
                Reason::NO_ERROR => |_, mut respond| respond.send_reset(Reason::NO_ERROR),
                Reason::CANCEL => |_, mut respond| respond.send_reset(Reason::CANCEL),
                _ => |_, mut respond| respond.send_reset(Reason::INTERNAL_ERROR),
            };
            let lost = judged(act);
            assert_eq!((lost.outcome, lost.reset), (Outcome::Unknown, Some(reason.into())));
        }
        let begun = judged(|server, mut respond| {
            let mut body = respond.send_response(Response::new(()), false).expect("a response");
            let _ = block_on(poll_once(server.accept()));
            body.send_reset(Reason::REFUSED_STREAM);
        });
        assert_eq!(begun.outcome, Outcome::Unknown, "it has begun to answer");
        let abrupt = judged(|server, _| server.abrupt_shutdown(Reason::NO_ERROR));
        assert_eq!((abrupt.outcome, abrupt.reset), (Outcome::Unknown, None));
    }

    #[test]
    fn a_stream_that_is_refused_before_the_body_has_left_is_not_sent() {
        let inputs = seen(Early::Nothing, Reason::REFUSED_STREAM);
        assert!(
            matches!(&inputs[..], [Event::Lost(lost)] if lost.outcome == Outcome::NotSent),
            "{inputs:?}"
        );
        let inputs = seen(Early::Nothing, Reason::INTERNAL_ERROR);
        assert!(
            matches!(&inputs[..], [Event::Lost(lost)] if lost.outcome == Outcome::Unknown),
            "{inputs:?}"
        );
    }
}
