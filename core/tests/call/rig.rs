//! Drives one call by hand, in milliseconds.

use bytes::{BufMut, Bytes, BytesMut};
use etcd3_core::call::{Attempt, Call, Input, Options, Output, Reply, Sent};
use etcd3_core::channel::{Admission, AttemptKind, ConnectionId, EndpointId, Finished, Freshness};
use etcd3_core::method::{Effect, Method};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Code, Error, Instant, Machine, Next, Outcome, backoff, method};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::time::Duration;

pub(crate) struct Rig {
    pub(crate) call: Call,
    now: Instant,
    wake: Option<Instant>,
    log: Vec<(u64, Output)>,
    /// Whether responses count as fresh without being asked about.
    is_trusting: bool,
}

impl Rig {
    /// Begins a put with these options, at 0 ms. All responses count as fresh.
    pub(crate) fn new(options: Options) -> Self {
        Self::begin(&method::PUT, options, true)
    }

    /// The same for another method.
    pub(crate) fn of(method: &'static Method, options: Options) -> Self {
        Self::begin(method, options, true)
    }

    /// The same; the test says how fresh responses are.
    pub(crate) fn checking(options: Options) -> Self {
        Self::begin(&method::PUT, options, false)
    }

    fn begin(method: &'static Method, options: Options, is_trusting: bool) -> Self {
        let call = Call::new(method, options);
        let mut rig = Self { call, now: Instant::ORIGIN, wake: None, log: vec![], is_trusting };
        rig.drain();
        rig
    }

    pub(crate) fn feed(&mut self, input: Input) -> &mut Self {
        self.call.handle(self.now, input);
        self.drain();
        self
    }

    pub(crate) fn feed_all(&mut self, inputs: Vec<Input>) -> &mut Self {
        for input in inputs {
            self.feed(input);
        }
        self
    }

    /// Lets the time pass, and wakes the call when it asked for it.
    pub(crate) fn until(&mut self, at_ms: u64) -> &mut Self {
        let end = ms(at_ms);
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = wake;
            self.drain();
        }
        self.now = end;
        self.drain();
        self
    }

    /// Lets this much time pass, and wakes the call when it asked for it.
    pub(crate) fn rest(&mut self, for_ms: u64) -> &mut Self {
        let end = self.now_ms() + for_ms;
        self.until(end)
    }

    /// Lets the time pass without a look at the call.
    pub(crate) fn oversleep(&mut self, at_ms: u64) -> &mut Self {
        self.now = ms(at_ms);
        self
    }

    fn drain(&mut self) {
        loop {
            let due = self.call.next_due();
            match self.call.poll(self.now) {
                Next::Do(output) => {
                    assert!(due.is_some_and(|due| due <= self.now), "{output:?} was not due");
                    if self.is_trusting && matches!(output, Output::Release(_)) {
                        self.call.handle(self.now, Input::Freshness(Freshness::Fresh));
                        continue;
                    }
                    self.log.push((self.now_ms(), output));
                }
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    assert_eq!(self.call.next_due(), wake);
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.as_nanos() / 1_000_000
    }

    pub(crate) fn wake(&self) -> Option<Instant> {
        self.wake
    }

    pub(crate) fn wake_ms(&self) -> Option<u64> {
        self.wake.map(|wake| wake.as_nanos() / 1_000_000)
    }

    pub(crate) fn outputs(&self) -> usize {
        self.log.len()
    }

    /// Returns when each attempt was asked for, its number, and the endpoint to avoid.
    pub(crate) fn attempts(&self) -> Vec<(u64, u32, Option<u32>)> {
        let attempt = |(at, output): &(u64, Output)| match output {
            Output::Attempt(attempt) => {
                Some((*at, attempt.number, attempt.want.avoid.map(|e| e.0)))
            }
            Output::Release(_) | Output::Done(_) => None,
        };
        self.log.iter().filter_map(attempt).collect()
    }

    /// Returns what was said of the response that was received last.
    pub(crate) fn released(&self) -> Option<Finished> {
        self.log.iter().rev().find_map(|(_, output)| match output {
            Output::Release(finished) => Some(*finished),
            Output::Attempt(_) | Output::Done(_) => None,
        })
    }

    pub(crate) fn last_attempt(&self) -> Attempt {
        let attempts = self.log.iter().rev().find_map(|(_, output)| match output {
            Output::Attempt(attempt) => Some(*attempt),
            Output::Release(_) | Output::Done(_) => None,
        });
        attempts.expect("an attempt")
    }

    /// Returns when the call ended, and how; `None` as long as it runs.
    pub(crate) fn done(&self) -> Option<(u64, &Result<Reply, Error>)> {
        self.log.iter().find_map(|(at, output)| match output {
            Output::Done(result) => Some((*at, result)),
            Output::Attempt(_) | Output::Release(_) => None,
        })
    }

    pub(crate) fn reply(&self) -> &Reply {
        match self.done() {
            Some((_, Ok(reply))) => reply,
            other => panic!("no reply but {other:?}"),
        }
    }

    pub(crate) fn error(&self) -> &Error {
        match self.done() {
            Some((_, Err(error))) => error,
            other => panic!("no error but {other:?}"),
        }
    }
}

pub(crate) fn ms(ms: u64) -> Instant {
    Instant::from_origin(Duration::from_millis(ms))
}

/// Options of a write: 100 ms to 2 s between attempts, no deadline.
pub(crate) fn write() -> Options {
    let (first, cap) = (Duration::from_millis(100), Duration::from_secs(2));
    let mut options = Options::new(&method::PUT, 7);
    options.backoff = backoff::Backoff { first, cap };
    options
}

/// The same for a linearizable read.
pub(crate) fn read() -> Options {
    let mut options = write();
    (options.effect, options.is_linearizable) = (Effect::Read, true);
    options
}

/// Admitted to this endpoint, one of several.
pub(crate) fn admitted(endpoint: u32) -> Admission {
    Admission {
        kind: AttemptKind::Call,
        endpoint: EndpointId(endpoint),
        connection: ConnectionId(endpoint.into()),
        since: Instant::ORIGIN,
        floor: None,
        has_choice: true,
    }
}

pub(crate) fn sent(endpoint: u32) -> Input {
    Input::Sent(Sent::new(&admitted(endpoint), None))
}

pub(crate) fn lost(outcome: Outcome) -> Input {
    Input::Stream(Event::Lost(Lost { outcome, reset: None, cause: None }))
}

pub(crate) fn head() -> Input {
    head_with(StatusCode::OK, &[("content-type", "application/grpc")])
}

pub(crate) fn head_with(status: StatusCode, headers: &[(&'static str, &str)]) -> Input {
    Input::Stream(Event::Head { status, headers: headers_of(headers) })
}

pub(crate) fn headers_of(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_str(value).expect("a legal header value"));
    }
    map
}

/// A message with its gRPC head.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut wire = BytesMut::new();
    wire.put_u8(0);
    wire.put_u32(u32::try_from(message.len()).expect("a short message"));
    wire.put_slice(message);
    wire.freeze()
}

pub(crate) fn body(message: &[u8]) -> Input {
    Input::Stream(Event::Data(framed(message)))
}

pub(crate) fn trailers(code: Code, text: &str) -> Input {
    let code = code.number().to_string();
    Input::Stream(Event::End(Some(headers_of(&[("grpc-status", &code), ("grpc-message", text)]))))
}

/// A whole answer with this message.
pub(crate) fn ok(message: &[u8]) -> Vec<Input> {
    vec![head(), body(message), trailers(Code::Ok, "")]
}

/// A whole answer that ends with this status in its trailers.
pub(crate) fn ends(code: Code, text: &str) -> Vec<Input> {
    vec![head(), trailers(code, text)]
}

/// A whole answer of nothing but a head, with a status in it.
pub(crate) fn trailers_only(code: Code, text: &str) -> Vec<Input> {
    let code = code.number().to_string();
    let headers =
        [("content-type", "application/grpc"), ("grpc-status", &code[..]), ("grpc-message", text)];
    vec![head_with(StatusCode::OK, &headers), Input::Stream(Event::End(None))]
}
