//! A gRPC response: events of an HTTP/2 stream in, whole messages and one end out.

#[path = "stream/server.rs"]
mod server;

use bytes::Bytes;
use etcd3_core::rng::Rng;
use etcd3_core::stream::{End, Inbound, Received};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Code, ErrorKind, Outcome};
use http::{HeaderMap, HeaderValue, StatusCode};

const LIMIT: usize = 64;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse().expect("a name"), HeaderValue::from_static(value)))
        .collect()
}

fn head() -> Event {
    let headers = headers(&[("content-type", "application/grpc")]);
    Event::Head { status: StatusCode::OK, headers }
}

fn head_with(code: &'static str) -> Event {
    let headers = headers(&[("content-type", "application/grpc"), ("grpc-status", code)]);
    Event::Head { status: StatusCode::OK, headers }
}

fn end(code: &'static str) -> Event {
    Event::End(Some(headers(&[("grpc-status", code)])))
}

fn lost() -> Event {
    Event::Lost(Lost { outcome: Outcome::Unknown, reset: Some(8), cause: None })
}

fn framed(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("a short one");
    [&[0], &len.to_be_bytes()[..], message].concat()
}

/// Hands over one event that fits, and returns all that was received by it.
fn feed(inbound: &mut Inbound, event: Event) -> Vec<Received> {
    let text = format!("{event:?}");
    assert!(inbound.handle(event), "{text} does not fit");
    std::iter::from_fn(|| inbound.poll()).collect()
}

fn message(text: &'static str) -> Received {
    Received::Message(Bytes::from_static(text.as_bytes()))
}

fn code_of(received: &[Received]) -> Option<Code> {
    match received {
        [.., Received::End(End::Ok)] => Some(Code::Ok),
        [.., Received::End(End::Status(status))] => Some(status.code),
        _ => None,
    }
}

#[test]
fn messages_come_one_by_one_and_the_end_comes_last() {
    let mut inbound = Inbound::new(LIMIT);
    assert!(!inbound.has_head());
    assert_eq!(feed(&mut inbound, head()), []);
    assert!(inbound.has_head());
    let two = [framed(b"one"), framed(b"two")].concat();
    assert_eq!(feed(&mut inbound, Event::Data(two.into())), [message("one"), message("two")]);
    assert_eq!(feed(&mut inbound, Event::Data(framed(b"three").into())), [message("three")]);
    let received = feed(&mut inbound, end("0"));
    assert_eq!((received.len(), code_of(&received)), (1, Some(Code::Ok)));
    for event in [head(), Event::Data(Bytes::new()), end("0"), lost()] {
        assert!(!inbound.handle(event.clone()), "{event:?} after the end");
        assert_eq!(inbound.poll(), None);
    }
}

// What was received before a status that is not OK, or before a loss, is handed out.
#[test]
fn an_error_comes_after_the_messages_before_it() {
    let whole = || Event::Data(framed(b"one").into());
    for last in [end("14"), lost(), Event::End(None)] {
        let mut inbound = Inbound::new(LIMIT);
        feed(&mut inbound, head());
        assert!(inbound.handle(whole()));
        assert_eq!(inbound.poll(), Some(message("one")));
        let received = feed(&mut inbound, last.clone());
        assert!(matches!(received[..], [Received::End(_)]), "{last:?}: {received:?}");
        assert_ne!(code_of(&received), Some(Code::Ok), "{last:?}");
    }
}

#[test]
fn a_status_in_the_head_ends_a_response_without_a_body() {
    let mut inbound = Inbound::new(LIMIT);
    assert_eq!(feed(&mut inbound, head_with("5")), [], "not before the stream ends");
    assert_eq!(code_of(&feed(&mut inbound, Event::End(None))), Some(Code::NotFound));
    for event in [Event::Data(framed(b"one").into()), end("0")] {
        let mut inbound = Inbound::new(LIMIT);
        feed(&mut inbound, head_with("0"));
        let received = feed(&mut inbound, event);
        assert!(matches!(received[..], [Received::End(End::Malformed(_))]), "{received:?}");
    }
}

#[test]
fn what_does_not_fit_is_malformed_or_ignored() {
    let mut inbound = Inbound::new(LIMIT);
    for early in [Event::Data(framed(b"one").into()), end("0")] {
        assert!(!inbound.handle(early.clone()), "{early:?} before the head");
    }
    feed(&mut inbound, head());
    assert!(!inbound.handle(head()), "a second head");
    let half = framed(b"one")[..6].to_vec();
    assert_eq!(feed(&mut inbound, Event::Data(half.into())), []);
    let received = feed(&mut inbound, end("0"));
    let [Received::End(End::Malformed(error))] = &received[..] else { panic!("{received:?}") };
    assert_eq!(error.kind(), ErrorKind::Protocol, "half of a message");

    let mut inbound = Inbound::new(2);
    feed(&mut inbound, head());
    let received = feed(&mut inbound, Event::Data(framed(b"one").into()));
    let [Received::End(End::Malformed(error))] = &received[..] else { panic!("{received:?}") };
    assert!(matches!(error.kind(), ErrorKind::ResponseOverLimit { .. }), "{error}");
    assert!(!inbound.handle(Event::Data(framed(b"one").into())), "it is over");
}

// However the bytes are cut, and whenever it is polled, the messages are the same.
#[test]
fn any_chunking_gives_the_same_messages() {
    let texts = ["", "a", "bcd", "efghijkl", "m"];
    let wire: Vec<u8> = texts.iter().flat_map(|text| framed(text.as_bytes())).collect();
    let mut rng = Rng::new(1);
    for _ in 0..2_000 {
        let mut inbound = Inbound::new(LIMIT);
        let mut received = feed(&mut inbound, head());
        let mut rest = &wire[..];
        while !rest.is_empty() {
            let most = u64::try_from(rest.len().min(9)).unwrap();
            let (chunk, after) = rest.split_at(usize::try_from(1 + rng.below(most)).unwrap());
            rest = after;
            assert!(inbound.handle(Event::Data(chunk.to_vec().into())));
            if rng.below(2) == 0 {
                received.extend(std::iter::from_fn(|| inbound.poll()));
            }
        }
        received.extend(feed(&mut inbound, end("0")));
        let (last, messages) = received.split_last().unwrap();
        assert_eq!(messages, texts.map(message));
        assert_eq!(code_of(std::slice::from_ref(last)), Some(Code::Ok));
    }
}

mod raw {
    use super::{end, framed, head, lost};
    use etcd3_core::backoff::Backoff;
    use etcd3_core::call::Sent;
    use etcd3_core::channel::{Admission, AttemptKind, ConnectionId, Denied, EndpointId};
    use etcd3_core::rng::Rng;
    use etcd3_core::stream::raw::{Input, Options, Output, RawStream};
    use etcd3_core::transport::Event;
    use etcd3_core::{ErrorKind, Instant, Machine, Next, laws};
    use std::time::Duration;

    fn options(seed: u64) -> Options {
        let backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(1) };
        Options { backoff, max_message_bytes: 64, require_leader: false, only: None, seed }
    }

    fn sent(endpoint: u32) -> Input {
        let admission = Admission {
            kind: AttemptKind::Stream,
            endpoint: EndpointId(endpoint),
            connection: ConnectionId(1),
            since: Instant::ORIGIN,
            floor: None,
            has_choice: true,
        };
        Input::Sent(Sent::new(&admission, None))
    }

    /// All that is wanted at this moment.
    fn drain(stream: &mut RawStream, now: Instant) -> Vec<Output> {
        let next = || match stream.poll(now) {
            Next::Do(output) => Some(output),
            Next::Wait(_) => None,
        };
        std::iter::from_fn(next).collect()
    }

    fn random_input(rng: &mut Rng) -> Input {
        match rng.below(14) {
            0..=3 => sent(u32::try_from(rng.below(3)).expect("a small number")),
            4 => Input::Stream(head()),
            5..=7 => Input::Stream(Event::Data(framed(b"message").into())),
            8 => Input::Stream(end(["0", "5", "14"][usize::from(rng.below(3) == 0)])),
            9 => Input::Stream(lost()),
            10 => Input::Migrate,
            11 => Input::Send(framed(b"request").into()),
            12 if rng.below(4) == 0 => Input::Closed(ErrorKind::Closed),
            12 if rng.below(3) == 0 => Input::NoToken(None),
            12 => Input::Denied(Denied::NoConnection),
            _ => Input::Finish,
        }
    }

    #[test]
    fn a_raw_stream_obeys_the_laws() {
        for seed in 0..3_000 {
            let spread = Duration::from_millis(1 << (seed % 12));
            let script = laws::script(seed, 60, spread, random_input);
            laws::check_machine(&RawStream::new(options(seed)), &script);
        }
    }

    /// Returns when the next attempt is asked for.
    fn next_attempt(stream: &mut RawStream, now: Instant) -> Instant {
        match stream.poll(now) {
            Next::Do(Output::Attempt(_)) => now,
            Next::Wait(Some(wake)) => next_attempt(stream, wake),
            other => panic!("{other:?}"),
        }
    }

    // One that is lost again and again is opened ever more slowly; one that lasted, at once.
    #[test]
    fn it_is_opened_again_after_a_backoff() {
        let mut stream = RawStream::new(options(1));
        let mut now = next_attempt(&mut stream, Instant::ORIGIN);
        let mut waits = Vec::new();
        for lasts in [0, 0, 0, 0, 2_000] {
            stream.handle(now, sent(0));
            assert_eq!(drain(&mut stream, now), [Output::Opened(EndpointId(0))]);
            now = now + Duration::from_millis(lasts);
            stream.handle(now, Input::Stream(lost()));
            let next = next_attempt(&mut stream, now);
            waits.push(next.saturating_since(now).as_millis());
            now = next;
        }
        assert!(waits[..4].windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        assert_eq!((waits[0], waits[4]), (0, 0), "{waits:?}");
    }

    // Only on the stream that is open, and in order.
    #[test]
    fn what_is_sent_goes_out_while_it_is_open() {
        let frame = || framed(b"request").into();
        let mut stream = RawStream::new(options(1));
        let now = Instant::ORIGIN;
        drain(&mut stream, now);
        for early in [Input::Send(frame()), Input::Finish, Input::Migrate] {
            stream.handle(now, early);
        }
        assert_eq!((drain(&mut stream, now), stream.ignored()), (vec![], 3));
        for input in [sent(0), Input::Send(frame()), Input::Finish] {
            stream.handle(now, input);
        }
        let expected = [Output::Opened(EndpointId(0)), Output::Send(frame()), Output::HalfClose];
        assert_eq!((drain(&mut stream, now), stream.ignored()), (expected.into(), 3));
    }

    #[test]
    fn an_attempt_wants_what_the_options_say() {
        let only = Some(EndpointId(5));
        let mut stream = RawStream::new(Options { only, require_leader: true, ..options(1) });
        let attempts = drain(&mut stream, Instant::ORIGIN);
        let [Output::Attempt(attempt)] = &attempts[..] else { panic!("{attempts:?}") };
        assert_eq!((attempt.want.only, attempt.require_leader), (only, true));
        assert_eq!((attempt.want.kind, attempt.deadline), (AttemptKind::Stream, None));
    }

    // It goes elsewhere without a wait, and what came before is not lost.
    #[test]
    fn it_migrates_at_once() {
        let mut stream = RawStream::new(options(1));
        let now = Instant::ORIGIN;
        drain(&mut stream, now);
        for input in [sent(0), Input::Stream(head()), Input::Migrate] {
            stream.handle(now, input);
        }
        let next = drain(&mut stream, now);
        let [Output::Attempt(attempt)] = &next[..] else { panic!("{next:?}") };
        assert_eq!((attempt.number, attempt.want.avoid), (2, None));
        assert_eq!(attempt.want.kind, AttemptKind::Stream);
    }
}
