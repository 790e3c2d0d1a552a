//! Drives a `Call` from a recorded transcript: no async, no client, no socket, no clock.
//!
//! ```text
//! cargo run -p etcd3-core --example by_hand
//! ```
//!
//! The transcript is that of a read whose first attempt met a server that was shutting down: its
//! GOAWAY says that the request was not processed, so the machine asks for another attempt, on
//! another endpoint. A transport of your own does the same with real time and real bytes.
#![forbid(unsafe_code)]

use etcd3_core::call::{Call, Input, Options, Output, Reply};
use etcd3_core::channel::{Checked, EndpointId};
use etcd3_core::error::Cause;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Bytes, Error, Instant, Limits, Machine, Next, Operation, Outcome, get, method};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::process::ExitCode;
use std::time::Duration;

/// What the transport saw.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// The whole request is with this endpoint.
    Sent(u32),
    /// GOAWAY with a last stream id below ours: not processed.
    GoAway,
    Head,
    Data(&'static [u8]),
    Trailers,
}

/// When, in milliseconds, and what. The data is a `RangeResponse` with its gRPC head, in two
/// pieces.
const TRANSCRIPT: [(u64, Seen); 7] = [
    (1, Seen::Sent(0)),
    (4, Seen::GoAway),
    (5, Seen::Sent(1)),
    (7, Seen::Head),
    (7, Seen::Data(b"\0\0\0\0\x22\x0a\x08\x08\x01\x10\x02\x18\x2a\x20\x03\x12\x14")),
    (8, Seen::Data(b"\x0a\x06colour\x10\x29\x18\x2a\x20\x02\x2a\x04blue\x20\x01")),
    (8, Seen::Trailers),
];

fn input(event: Seen) -> Input {
    let headers = |name: &'static str, value| {
        HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))])
    };
    match event {
        Seen::Sent(endpoint) => Input::Sent(EndpointId(endpoint)),
        Seen::GoAway => {
            let cause = Some(Cause::new("GOAWAY: the server is shutting down"));
            Input::Stream(Event::Lost(Lost { outcome: Outcome::NotSent, reset: None, cause }))
        }
        Seen::Head => Input::Stream(Event::Head {
            status: StatusCode::OK,
            headers: headers("content-type", "application/grpc"),
        }),
        Seen::Data(bytes) => Input::Stream(Event::Data(Bytes::from_static(bytes))),
        Seen::Trailers => Input::Stream(Event::End(Some(headers("grpc-status", "0")))),
    }
}

/// Carries out what the machine wants at this moment; the result of the call, if it is over.
fn drain(call: &mut Call, now: Instant) -> Option<Result<Reply, Error>> {
    loop {
        match call.poll(now) {
            Next::Do(Output::Attempt(attempt)) => {
                let (number, avoid) = (attempt.number, attempt.avoid);
                println!("{now:?}  send the request, attempt {number}, avoid {avoid:?}");
            }
            // Asked for only if `Options::is_checked` is set.
            Next::Do(Output::Check(_)) => call.handle(now, Input::Checked(Checked::Fresh)),
            Next::Do(Output::Done(result)) => return Some(result),
            Next::Wait(wake) => {
                println!("{now:?}  wait for an event, or until {wake:?}");
                return None;
            }
        }
    }
}

fn run() -> Result<bool, Error> {
    let mut request = get("colour");
    let frame = request.encode(&Limits::default())?;
    println!("POST {}, body {frame:?}", request.method().path);

    let deadline = Instant::ORIGIN + Duration::from_secs(2);
    let options = Options { deadline: Some(deadline), ..Options::new(&method::RANGE, 1) };
    let mut call = Call::new(&method::RANGE, options);
    let mut result = drain(&mut call, Instant::ORIGIN);
    for (at_ms, event) in TRANSCRIPT {
        let now = Instant::from_origin(Duration::from_millis(at_ms));
        println!("{now:?}  {event:?}");
        call.handle(now, input(event));
        result = result.or(drain(&mut call, now));
    }

    let Some(reply) = result.transpose()? else { return Ok(false) };
    let answer = request.decode(reply.message)?;
    println!("revision {}: {:?}", answer.header.revision, answer.kvs);
    let is_right = answer.kvs.len() == 1 && answer.kvs[0].value == "blue" && answer.count == 1;
    Ok(is_right && reply.attempts == 2 && reply.endpoint == EndpointId(1) && call.ignored() == 0)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("the call did not end as it should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
