//! Drives a `Call` and a `Channel` from a recorded transcript: no async, no client, no socket, no
//! clock.
//!
//! ```text
//! cargo run -p etcd3-core --example by_hand
//! ```
//!
//! The transcript is that of a read whose first attempt met a server that was shutting down: its
//! GOAWAY says that the request was not processed, so the machine asks for another attempt, which
//! the channel admits to the other endpoint. A transport of your own does the same with real time
//! and real bytes.
#![forbid(unsafe_code)]

use etcd3_core::call::{Call, Input, Options, Output, Reply, Sent};
use etcd3_core::channel::{self, Admission, Channel, Settings};
use etcd3_core::error::Cause;
use etcd3_core::metadata::Heads;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Bytes, Error, Instant, Limits, Machine, Next, Operation, Outcome, get};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::process::ExitCode;
use std::time::Duration;

/// What the transport saw.
#[derive(Debug, Clone, Copy)]
enum Seen {
    /// GOAWAY with a last stream id below ours: not processed.
    GoAway,
    Head,
    Data(&'static [u8]),
    Trailers,
}

/// When, in milliseconds, and what. The data is a `RangeResponse` with its gRPC head, in two
/// pieces.
const TRANSCRIPT: [(u64, Seen); 5] = [
    (4, Seen::GoAway),
    (7, Seen::Head),
    (7, Seen::Data(b"\0\0\0\0\x22\x0a\x08\x08\x01\x10\x02\x18\x2a\x20\x03\x12\x14")),
    (8, Seen::Data(b"\x0a\x06colour\x10\x29\x18\x2a\x20\x02\x2a\x04blue\x20\x01")),
    (8, Seen::Trailers),
];

fn event(seen: Seen) -> Event {
    let headers = |name: &'static str, value| {
        HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))])
    };
    match seen {
        Seen::GoAway => {
            let cause = Some(Cause::new("GOAWAY: the server is shutting down"));
            Event::Lost(Lost { outcome: Outcome::NotSent, reset: None, cause })
        }
        Seen::Head => {
            let headers = headers("content-type", "application/grpc");
            Event::Head { status: StatusCode::OK, headers }
        }
        Seen::Data(bytes) => Event::Data(Bytes::from_static(bytes)),
        Seen::Trailers => Event::End(Some(headers("grpc-status", "0"))),
    }
}

/// A call, the channel that it uses, and where its attempt under way was admitted.
struct Driver {
    channel: Channel,
    call: Call,
    admitted: Option<Admission>,
}

impl Driver {
    /// Carries out what the machines want at this moment; the result of the call, if it is over.
    fn drain(&mut self, now: Instant) -> Option<Result<Reply, Error>> {
        loop {
            match self.call.poll(now) {
                Next::Do(Output::Attempt(order)) => {
                    self.release(now);
                    // Everything has a permit here.
                    let input = match self.channel.admit(now, order.want, |_| true) {
                        Err(denied) => Input::Denied(denied),
                        Ok(admission) => {
                            self.send(now, admission, &order);
                            Input::Sent(Sent::new(&admission, None))
                        }
                    };
                    self.call.handle(now, input);
                }
                Next::Do(Output::Release(finished)) => {
                    let admitted = self.admitted.take()?;
                    let freshness = self.channel.release(now, &admitted, finished);
                    self.call.handle(now, Input::Freshness(freshness));
                }
                Next::Do(Output::Done(result)) => {
                    self.release(now);
                    return Some(result);
                }
                Next::Wait(wake) => {
                    println!("{now:?}  wait for an event, or until {wake:?}");
                    return None;
                }
            }
        }
    }

    /// Ends the attempt under way, if there is one, and tells the channel how its endpoint did.
    fn release(&mut self, now: Instant) {
        if let Some(admitted) = self.admitted.take() {
            self.channel.release(now, &admitted, self.call.signal());
        }
    }

    /// Where a transport would open a stream, and send the head and the message.
    fn send(&mut self, now: Instant, admission: Admission, order: &etcd3_core::call::Attempt) {
        self.admitted = Some(admission);
        let Some(endpoint) = self.channel.endpoint(admission.endpoint) else { return };
        let mut heads = Heads::new(endpoint.scheme(), endpoint.authority());
        let head = heads.head(self.call.method(), &order.metadata(now));
        println!(
            "{now:?}  attempt {} to {endpoint}: {} {}",
            order.number,
            head.method(),
            head.uri()
        );
    }
}

/// A channel both of whose endpoints are connected.
fn connected(now: Instant) -> Result<Channel, Error> {
    let endpoints = ["http://a:2379", "http://b:2379"].map(str::parse);
    let endpoints = endpoints.into_iter().collect::<Result<_, _>>();
    let endpoints = endpoints.map_err(|error| Error::protocol(format!("{error}")))?;
    let mut channel = Channel::new(endpoints, Settings::default(), 1);
    channel.handle(now, channel::Input::Wanted);
    let mut now = now;
    loop {
        match channel.poll(now) {
            Next::Do(channel::Output::Dial(endpoint, connection)) => {
                println!("{now:?}  dial {endpoint:?}");
                channel.handle(now, channel::Input::Connected(connection));
            }
            Next::Do(_) => {}
            // The second one is dialled a little later.
            Next::Wait(Some(next)) => now = next,
            Next::Wait(None) => return Ok(channel),
        }
    }
}

fn run() -> Result<bool, Error> {
    let mut request = get("colour");
    let frame = request.encode(&Limits::default(), None)?;
    println!("the message is {frame:?}");

    let begin = Instant::from_origin(Duration::from_secs(1));
    let rpc = request.rpc();
    let options =
        Options { deadline: Some(begin + Duration::from_secs(2)), ..Options::new(rpc, 1) };
    let call = Call::new(rpc.method, options);
    let mut driver = Driver { channel: connected(Instant::ORIGIN)?, call, admitted: None };
    let mut result = driver.drain(begin);
    for (at_ms, seen) in TRANSCRIPT {
        let now = begin + Duration::from_millis(at_ms);
        println!("{now:?}  {seen:?}");
        driver.call.handle(now, Input::Stream(event(seen)));
        result = result.or_else(|| driver.drain(now));
    }

    let Some(reply) = result.transpose()? else { return Ok(false) };
    let answer = request.decode(reply.message, None)?;
    println!("revision {}: {:?}", answer.header.revision, answer.kvs);
    let is_right = answer.kvs.len() == 1 && answer.kvs[0].value == "blue" && answer.count == 1;
    let floor = driver.channel.floor();
    Ok(is_right && reply.attempts == 2 && floor.revision == 42 && driver.call.ignored() == 0)
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
