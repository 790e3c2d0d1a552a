//! A put without any async code: the core and h2 over a plain `std::net` socket, polled in place.
//!
//! No client crate, no executor, no tasks. Wants the endpoint, `host:port`, as argument.
// Nobody else is here to tell the time.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use etcd3_core::call::{Call, Input, Options, Output, Sent};
use etcd3_core::channel::{Admission, AttemptKind, ConnectionId, EndpointId, Freshness};
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::request::{Limits, Operation, put};
use etcd3_core::transport::Event;
use etcd3_core::{Bytes, Instant, Machine, Next};
use http::uri::{Authority, Scheme};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Connection = h2::client::Connection<Socket, Bytes>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).ok_or("usage: blocking HOST:PORT")?;
    let stream = TcpStream::connect(&address)?;
    stream.set_nonblocking(true)?;
    let wire = stream.try_clone()?;
    let mut handshake = pin!(h2::client::handshake(Socket(stream)));
    let (requests, mut connection) = loop {
        if let Poll::Ready(done) = handshake.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        {
            break done?;
        }
    };

    let mut operation = put("example/blocking", "no executor");
    let body = operation.encode(&Limits::default(), None)?;
    let origin = std::time::Instant::now();
    let now = || Instant::from_origin(origin.elapsed());
    let rpc = operation.rpc();
    let mut options = Options::new(rpc, 0);
    options.max_attempts = 1;
    let mut call = Call::new(rpc.method, options);
    let authority: Authority = address.parse()?;
    let mut body_of_answer = None;
    let mut answer = None;
    let reply = loop {
        match call.poll(now()) {
            Next::Do(Output::Done(result)) => break result?,
            Next::Do(Output::Attempt(_)) => {
                let head = request_head(
                    Scheme::HTTP,
                    authority.clone(),
                    call.method(),
                    Metadata::default(),
                );
                let mut ready = drive(&mut connection, &wire, pin!(requests.clone().ready()))?;
                let (response, mut send) = ready.send_request(head, false)?;
                send.send_data(body.clone(), true)?;
                answer = Some(response);
                // The only connection that there is; it admits whatever there is to send.
                let admission = Admission {
                    kind: AttemptKind::Call,
                    endpoint: EndpointId(0),
                    connection: ConnectionId(0),
                    since: now(),
                    floor: None,
                    has_choice: false,
                };
                call.handle(now(), Input::Sent(Sent::new(&admission, None)));
            }
            Next::Do(Output::Release(_)) => call.handle(now(), Input::Freshness(Freshness::Fresh)),
            Next::Wait(_) => {
                let input = match (answer.take(), &mut body_of_answer) {
                    (Some(response), _) => {
                        let (head, body) =
                            drive(&mut connection, &wire, pin!(response))?.into_parts();
                        body_of_answer = Some(body);
                        Input::Stream(Event::Head { status: head.status, headers: head.headers })
                    }
                    (None, Some(body)) => drive(&mut connection, &wire, pin!(next(body)))?,
                    (None, None) => return Err("the call waits for nothing".into()),
                };
                call.handle(now(), input);
            }
        }
    };
    let done = operation.decode(reply.message, None)?;
    println!("written at revision {}", done.header.revision);
    Ok(())
}

/// The next piece of an answer, as an input of the call.
async fn next(body: &mut h2::RecvStream) -> Result<Input, h2::Error> {
    match body.data().await {
        Some(chunk) => {
            let chunk = chunk?;
            body.flow_control().release_capacity(chunk.len())?;
            Ok(Input::Stream(Event::Data(chunk)))
        }
        None => Ok(Input::Stream(Event::End(poll_fn(|cx| body.poll_trailers(cx)).await?))),
    }
}

/// Polls a future and the connection in turn until the future is ready; in between, blocks until
/// the server has said something.
fn drive<T, F: Future<Output = Result<T, h2::Error>>>(
    connection: &mut Connection,
    wire: &TcpStream,
    mut future: Pin<&mut F>,
) -> Result<T, Box<dyn std::error::Error>> {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    loop {
        let connected = Pin::new(&mut *connection).poll(&mut cx)?;
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Ok(output?);
        }
        if connected.is_ready() {
            return Err("the server closed the connection".into());
        }
        if !woken.0.swap(false, Ordering::Relaxed) {
            wire.set_nonblocking(false)?;
            wire.peek(&mut [0])?;
            wire.set_nonblocking(true)?;
        }
    }
}

/// Notes that somebody has work to do.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A socket that does not block, in the traits that h2 speaks.
struct Socket(TcpStream);

fn ready<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.0.read(buf.initialize_unfilled());
        ready(read.map(|n| buf.advance(n)))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready(self.0.write(buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready(self.0.flush())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready(self.0.shutdown(std::net::Shutdown::Write))
    }
}
