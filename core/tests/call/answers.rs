//! Answers of all kinds, right and wrong (E22–E38).

use crate::rig::{
    Rig, body, framed, head, head_with, headers_of, lost, ok, read, sent, trailers, trailers_only,
    write,
};
use etcd3_core::call::Input;
use etcd3_core::transport::Event;
use etcd3_core::{Code, ErrorKind, Outcome, Status, Version, method};
use http::StatusCode;

/// What a write ends with that is answered so, and is never sent again for it.
fn end_of(answer: Vec<Input>) -> (ErrorKind, Code) {
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed_all(answer).until(1_000_000);
    assert_eq!(rig.attempts().len(), 1);
    assert_eq!(rig.error().outcome(), Outcome::Unknown);
    (rig.error().kind(), rig.error().code())
}

// I-D4, E33, E35, E37: no broken answer counts as one, and what became of the write is unknown.
#[test]
fn malformed_answers() {
    let protocol = (ErrorKind::Protocol, Code::Internal);
    let ok_end = || trailers(Code::Ok, "");
    let truncated = |n: usize| Input::Stream(Event::Data(framed(b"abc").slice(..n)));
    for (name, answer) in [
        ("two messages", vec![head(), body(b"a"), body(b"b"), ok_end()]),
        ("two messages in one piece", {
            vec![
                head(),
                Input::Stream(Event::Data([framed(b"a"), framed(b"b")].concat().into())),
                ok_end(),
            ]
        }),
        ("no message", vec![head(), ok_end()]),
        ("no message, trailers-only", trailers_only(Code::Ok, "")),
        ("cut within the message", vec![head(), truncated(6), ok_end()]),
        ("cut within the head of the message", vec![head(), truncated(4), ok_end()]),
        ("cut behind the message", vec![head(), body(b"a"), truncated(1), ok_end()]),
        ("compressed", vec![head(), Input::Stream(Event::Data(b"\x01\0\0\0\0"[..].into()))]),
        ("a flag that is none", vec![head(), Input::Stream(Event::Data(b"\xff"[..].into()))]),
        ("a status in head and trailers", {
            let with_status = [("content-type", "application/grpc"), ("grpc-status", "0")];
            vec![head_with(StatusCode::OK, &with_status), body(b"a"), ok_end()]
        }),
    ] {
        assert_eq!(end_of(answer), protocol, "{name}");
    }
}

// E33, E34: without a status there is no success, even if there is a message.
#[test]
fn answers_without_a_status() {
    for message in [vec![], vec![body(b"a")]] {
        let answer = |end| [vec![head()], message.clone(), vec![end]].concat();
        let (kind, code) = end_of(answer(Input::Stream(Event::End(None))));
        assert_eq!((kind, code), (ErrorKind::Status(Code::Internal), Code::Internal));
        for trailers in
            [vec![], vec![("grpc-status", "x")], vec![("grpc-status", "0"), ("grpc-status", "0")]]
        {
            let (_, code) = end_of(answer(Input::Stream(Event::End(Some(headers_of(&trailers))))));
            assert_eq!(code, Code::Unknown, "{trailers:?}");
        }
    }
}

// E36, I-X2, I-X6: refused by its head, before memory is taken, and never asked for again.
#[test]
fn an_answer_over_the_limit() {
    for mut options in [read(), write()] {
        options.max_response_bytes = 3;
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed(head()).feed(Input::Stream(Event::Data(framed(b"1234").slice(..5))));
        let error = rig.error();
        assert_eq!(error.kind(), ErrorKind::ResponseOverLimit { len: 4, limit: 3 });
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Unknown, 1));
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed_all(ok(b"123"));
        assert_eq!(rig.reply().message.len(), 3);
    }
}

// E28–E31: what stands before etcd answers in HTTP.
#[test]
fn answers_that_are_no_grpc() {
    for (status, content, code) in [
        (400, "text/html", Code::Internal),
        (404, "text/html", Code::Unimplemented),
        (503, "text/html", Code::Unavailable),
        (200, "text/html", Code::Unknown),
        (500, "application/grpc", Code::Unknown),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let mut options = write();
        options.max_attempts = 1;
        let mut rig = Rig::new(options);
        rig.feed(sent(0)).feed(head_with(status, &[("content-type", content)]));
        assert_eq!(rig.error().kind(), ErrorKind::Status(code), "{status}");
    }
    // A status of gRPC outweighs that of HTTP.
    let both = [("content-type", "text/html"), ("grpc-status", "5")];
    let mut rig = Rig::new(write());
    rig.feed(sent(0))
        .feed(head_with(StatusCode::BAD_GATEWAY, &both))
        .feed(Input::Stream(Event::End(None)));
    assert_eq!(rig.error().kind(), ErrorKind::Status(Code::NotFound));
}

// E38
#[test]
fn the_text_of_a_status_is_decoded_and_kept() {
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed_all(trailers_only(Code::NotFound, "%e2%82%ac 100%"));
    assert_eq!(rig.error().status(), Some(&Status::new(Code::NotFound, "€ 100%")));
}

// Rule 4 of the machines: data before the head, a second head.
#[test]
fn pieces_out_of_order_are_ignored() {
    let mut rig = Rig::new(write());
    rig.feed(sent(0)).feed(body(b"early")).feed(trailers(Code::Ok, "")).feed(head()).feed(head());
    assert_eq!((rig.call.ignored(), rig.outputs()), (3, 1));
    rig.feed(body(b"late")).feed(trailers(Code::Ok, ""));
    assert_eq!(&rig.reply().message[..], b"late");
}

// I-D4: how the bytes are cut does not matter.
#[test]
fn an_answer_may_come_in_any_pieces() {
    let wire = framed(b"answer");
    for cut in 0..=wire.len() {
        let mut rig = Rig::new(write());
        rig.feed(sent(0)).feed(head());
        rig.feed(Input::Stream(Event::Data(wire.slice(..cut))))
            .feed(Input::Stream(Event::Data(wire.slice(cut..))));
        rig.feed(trailers(Code::Ok, ""));
        assert_eq!(&rig.reply().message[..], b"answer");
    }
}

// Nothing of a failed attempt leaks into the next.
#[test]
fn every_attempt_begins_afresh() {
    let mut rig = Rig::new(read());
    rig.feed(sent(0)).feed(head()).feed(Input::Stream(Event::Data(framed(b"half").slice(..7))));
    rig.feed(lost(Outcome::Unknown)).feed(sent(1)).feed_all(ok(b"whole"));
    assert_eq!((&rig.reply().message[..], rig.reply().attempts), (&b"whole"[..], 2));
}

// E22–E27, R3: a reset stands for a code; what it did is unknown, unless it says otherwise.
#[test]
fn a_reset_stands_for_a_code() {
    use etcd3_core::call::{Call, Input, Options, Output};
    use etcd3_core::transport::{Event, Lost};
    use etcd3_core::{Code, ErrorKind, Instant, Machine, Next, Outcome, method};

    for (reset, code) in [(1, Code::Internal), (3, Code::ResourceExhausted), (8, Code::Canceled)] {
        let mut call = Call::new(&method::PUT, Options::new(&method::PUT, 0));
        let now = Instant::ORIGIN;
        assert!(matches!(call.poll(now), Next::Do(Output::Attempt(_))));
        call.handle(now, sent(0));
        let lost = Lost { outcome: Outcome::Unknown, reset: Some(reset), cause: None };
        call.handle(now, Input::Stream(Event::Lost(lost)));
        let Next::Do(Output::Done(Err(error))) = call.poll(now) else { panic!("not done") };
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::Status(code), Outcome::Unknown));
    }
}

// A status in the head is for an answer without a body.
#[test]
fn a_body_after_a_status_in_the_head_is_malformed() {
    use etcd3_core::call::{Call, Input, Options, Output};
    use etcd3_core::transport::Event;
    use etcd3_core::{Bytes, ErrorKind, Instant, Machine, Next, method};
    use http::{HeaderMap, HeaderValue, StatusCode};

    let mut call = Call::new(&method::PUT, Options::new(&method::PUT, 0));
    let now = Instant::ORIGIN;
    assert!(matches!(call.poll(now), Next::Do(Output::Attempt(_))));
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from_static("0"));
    call.handle(now, sent(0));
    call.handle(now, Input::Stream(Event::Head { status: StatusCode::OK, headers }));
    call.handle(now, Input::Stream(Event::Data(Bytes::from_static(&[0, 0, 0, 0, 0]))));
    let Next::Do(Output::Done(Err(error))) = call.poll(now) else { panic!("not done") };
    assert_eq!(error.kind(), ErrorKind::Protocol);
}

// V5: a method that came later is missing from older servers.
#[test]
fn a_method_that_the_server_lacks_is_unsupported() {
    let text = "unknown method AuthStatus for service etcdserverpb.Auth";
    let mut rig = Rig::of(&method::AUTH_STATUS, read());
    rig.feed(sent(1)).feed_all(trailers_only(Code::Unimplemented, text));
    let kind = ErrorKind::Unsupported { needs: Version::new(3, 5), has: None };
    assert_eq!((rig.error().kind(), rig.error().outcome()), (kind, Outcome::Rejected));
}
