//! Answers as an etcd does, without doing anything: what is measured beside it is the client.
//!
//! It listens at two ports, writes their URLs separated by a comma, and ends when its standard
//! input is closed. `--core K` binds it to a core. It works for KV, Watch and Lease; the key says
//! what comes back:
//!
//! | key | answer |
//! |---|---|
//! | `v256/…` | one key with a value of 256 bytes |
//! | `n1000/…` to `n10000` | a range of 1,000 keys, by pages |
//! | `created` | one key, whose value is the number of watchers that were created |
//! | `renewed`, `renewing` | the number of renewals of leases, and of streams of them |
//! | `flood/20/100`, watched | 20 responses of 100 events with values of 100 bytes |
//!
//! A compaction cuts all connections, a moment after its answer.
#![forbid(unsafe_code)]

mod exchange;
mod grpc;
mod responses;
mod streams;

use etcd3_bench::{Coalesced, Result};
use exchange::Exchange;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::future::poll_fn;
use std::io::Read;
use std::process::ExitCode;
use std::rc::Rc;
use std::task::Poll;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// The largest window of HTTP/2, in bytes: the client's limits are measured, not the server's.
const WINDOW: u32 = (1 << 31) - 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match LocalSet::new().run_until(serve()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [_, core] = words.as_slice() {
        let mut cores = CpuSet::new();
        cores.set(core.parse()?);
        sched_setaffinity(None, &cores)?;
    }
    let (one, two) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    println!("http://{},http://{}", one.local_addr()?, two.local_addr()?);
    std::thread::spawn(|| {
        // It ends with its parent, however that ends.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let responses = Rc::new(responses::Responses::default());
    loop {
        let (stream, _) = tokio::select! {
            accepted = one.accept() => accepted?,
            accepted = two.accept() => accepted?,
        };
        stream.set_nodelay(true)?;
        let responses = Rc::clone(&responses);
        tokio::task::spawn_local(async move {
            // A client that hangs up is no failure.
            tokio::select! {
                _ = connection(stream, &responses) => {}
                () = responses.cut.notified() => {}
            }
        });
    }
}

/// Answers the calls of one connection until it ends.
async fn connection(stream: TcpStream, responses: &Rc<responses::Responses>) -> Result<()> {
    let transport = Coalesced::new(stream);
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(WINDOW >> 4).initial_connection_window_size(WINDOW);
    builder.max_send_buffer_size(1 << 30).max_frame_size(16_384);
    let handshake = builder.handshake(transport.clone());
    tokio::pin!(handshake);
    let mut connection = poll_fn(|cx| {
        let polled = handshake.as_mut().poll(cx);
        let _ = transport.poll_drain(cx)?;
        polled.map_err(etcd3_bench::Error::from)
    })
    .await?;
    loop {
        let accepted = poll_fn(|cx| {
            let polled = connection.poll_accept(cx);
            if polled.is_pending() {
                // What the connection had to say is said in one write.
                if let Poll::Ready(Err(error)) = transport.poll_drain(cx) {
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
            polled.map(|it| it.map(|it| it.map_err(etcd3_bench::Error::from)))
        });
        let Some((request, respond)) = accepted.await.transpose()? else { return Ok(()) };
        let responses = Rc::clone(responses);
        tokio::task::spawn_local(async move {
            // A call that is given up is no failure.
            let _ = Exchange::new(request, respond).answer(&responses).await;
        });
    }
}
