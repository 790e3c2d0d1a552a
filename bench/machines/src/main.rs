//! The machines of the core, driven without a network: `machines --work call --ops 1000`.
//!
//! For `cargo xtask cost`, which counts their instructions. Other arguments are ignored.
#![forbid(unsafe_code)]

mod leases;

use bytes::Bytes;
use etcd3_core::call::{Call, Input, Options, Output, Sent};
use etcd3_core::channel::{
    Admission, AttemptKind, Channel, ConnectionId, EndpointId, Finished, Freshness, HealthSignal,
    Input as News, Settings, Want,
};
use etcd3_core::frame::{self, Decoder};
use etcd3_core::metadata::{Heads, Metadata};
use etcd3_core::proto::etcdserverpb::{self as pb, PutResponse};
use etcd3_core::transport::Event;
use etcd3_core::{Instant, Limits, Machine, Next, Operation, ResponseHeader, method, put};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const LIMIT: usize = 1 << 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| word == name);
        at.and_then(|at| words.get(at + 1)).ok_or_else(|| format!("{name} is missing"))
    };
    let ops: u64 = value("--ops")?.parse()?;
    let answer = answer()?;
    match value("--work")?.as_str() {
        "machine-call" => (0..ops).try_for_each(|op| call(op, &answer)),
        "machine-channel" => channel(ops, &answer),
        "machine-leases" => leases::renew(ops),
        "machine-frame" => (0..ops).try_for_each(|_| frames(&answer)),
        "machine-head" => {
            heads(ops);
            Ok(())
        }
        other => Err(format!("there is no machine for {other:?}").into()),
    }
}

/// Returns the answer to a put, with its gRPC head.
fn answer() -> Result<Bytes> {
    let header = pb::ResponseHeader {
        cluster_id: 0xcdf8_181e_3277_d0f1,
        member_id: 0x8e9e_05c5_2164_694d,
        revision: 1_000_000,
        raft_term: 7,
    };
    Ok(frame::encode(&PutResponse { header: Some(header), prev_kv: None }, LIMIT)?)
}

/// A call from its first attempt to its answer.
fn call(op: u64, answer: &Bytes) -> Result<()> {
    let now = Instant::from_nanos(op);
    let deadline = Some(now + Duration::from_secs(15));
    let mut call = Call::new(&method::PUT, Options { deadline, ..Options::new(&method::PUT, op) });
    let mut headers = HeaderMap::with_capacity(1);
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let admission = Admission {
        kind: AttemptKind::Call,
        endpoint: EndpointId(0),
        connection: ConnectionId(1),
        since: now,
        floor: None,
        has_choice: true,
    };
    let mut inputs = [
        Input::Sent(Sent::new(&admission, None)),
        Input::Stream(Event::Head { status: StatusCode::OK, headers }),
        Input::Stream(Event::Data(answer.clone())),
        Input::Stream(Event::End(Some(trailers))),
    ]
    .into_iter();
    loop {
        match call.poll(now) {
            Next::Do(Output::Attempt(_)) => {}
            Next::Do(Output::Release(_)) => call.handle(now, Input::Freshness(Freshness::Fresh)),
            Next::Do(Output::Done(result)) => {
                black_box(result?);
                return Ok(());
            }
            Next::Wait(_) => call.handle(now, inputs.next().ok_or("there is more to say")?),
        }
    }
}

/// What a call asks of the channel: to be admitted, and released.
fn channel(ops: u64, answer: &Bytes) -> Result<()> {
    let endpoints = (0..3).map(|n| format!("http://127.0.0.{n}:2379").parse());
    let endpoints = endpoints.collect::<std::result::Result<_, _>>()?;
    let mut channel = Channel::new(endpoints, Settings::default(), 1);
    channel.handle(Instant::ORIGIN, News::Wanted);
    while let Next::Do(_) = channel.poll(Instant::ORIGIN) {}
    for n in 1..=3 {
        channel.handle(Instant::ORIGIN, News::Connected(ConnectionId(n)));
    }
    while let Next::Do(_) = channel.poll(Instant::ORIGIN) {}
    let header = ResponseHeader::peek(&answer.slice(frame::HEAD..)).ok_or("no header")?;
    for op in 0..ops {
        let now = Instant::from_nanos(op);
        let admission = channel.admit(now, Want::default(), |_| true);
        let admission = admission.map_err(|denied| format!("{denied:?}"))?;
        black_box(channel.due_sooner());
        let finished = Finished {
            signal: HealthSignal::Healthy,
            header: Some(header),
            is_linearizable: true,
            is_ordered: false,
        };
        black_box(channel.release(now, &admission, finished));
        black_box(channel.due_sooner());
    }
    Ok(())
}

/// A put encoded, and its answer cut out of what came.
fn frames(answer: &Bytes) -> Result<()> {
    black_box(put("key", Bytes::from_static(&[7; 256])).encode(&Limits::default(), None)?);
    let mut decoder = Decoder::new(LIMIT);
    decoder.push(answer.clone());
    black_box(decoder.next_message()?.ok_or("no message")?);
    Ok(decoder.finish()?)
}

/// The head of a request with a timeout.
fn heads(ops: u64) {
    let mut heads = Heads::new(Scheme::HTTP, Authority::from_static("127.0.0.1:2379"));
    let timeout = Some(Duration::from_secs(15));
    let metadata = Metadata { timeout, ..Metadata::default() };
    (0..ops).for_each(|_| drop(black_box(heads.head(&method::PUT, &metadata))));
}
