//! Heads and trailers as no server should send them (H8, H9, H11, H12, H15).

use super::hostile::Expect::{Answered, Broken, Failed, Refused};
use super::hostile::{Expect, Script, on_request, run, stay_mute};
use crate::peer::hpack::{GRPC, OK, block, field, indexed, table_size};
use crate::peer::{END_HEADERS, END_STREAM, FrameType};
use crate::{Case, CaseResult, Ctx, case};

pub(super) const CASES: &[Case] = &[
    case!(header_blocks_without_end, []).real("a scripted peer").any_version(),
    case!(headers_that_are_too_large, []).real("a scripted peer").any_version(),
    case!(tables_that_are_abused, []).real("a scripted peer").any_version(),
    case!(responses_that_nobody_asked_for, []).real("a scripted peer").any_version(),
    case!(heads_that_are_no_answer, []).real("a scripted peer").any_version(),
    case!(statuses_in_all_places, []).real("a scripted peer").any_version(),
    case!(informational_responses, []).real("a scripted peer").any_version(),
];

/// H8, C-15, I-X2: a header block that goes on and on.
async fn header_blocks_without_end(ctx: Ctx) -> CaseResult {
    let flood = |(name, piece): (&str, usize)| {
        on_request(name, Broken, move |wire, request| {
            wire.frame(FrameType::Headers, 0, request.stream, &block(&[OK, GRPC]))?;
            let header = field("x", &"y".repeat(100));
            let piece = header.repeat(100)[..piece].to_vec();
            wire.flood(10_000, FrameType::Continuation, request.stream, &piece)?;
            stay_mute(wire)
        })
    };
    run(&ctx, [("empty frames", 0), ("small frames", 104), ("large frames", 10_400)].map(flood))
        .await?;
    let broken_off = on_request("another frame in between", Broken, |wire, request| {
        wire.frame(FrameType::Headers, 0, request.stream, &block(&[OK, GRPC]))?;
        wire.frame(FrameType::Ping, 0, 0, &[0; 8])?;
        stay_mute(wire)
    });
    run(&ctx, [broken_off]).await
}

/// H9, I-X2: over the 16 KiB that the client takes; by what they are, not by how they are written.
async fn headers_that_are_too_large(ctx: Ctx) -> CaseResult {
    let with = |name: &str, expect: Expect, extra: Vec<u8>, is_trailer: bool| -> Script {
        on_request(name, expect, move |wire, request| {
            let stream = request.stream;
            if is_trailer {
                wire.respond(stream)?;
                wire.frame(FrameType::Data, 0, stream, &request.answer())?;
            }
            let head = if is_trailer { block(&[("grpc-status", "0")]) } else { block(&[OK, GRPC]) };
            let all = [head, extra.clone()].concat();
            let (first, rest) = all.split_at(all.len().min(16_000));
            let flags = if is_trailer { END_STREAM } else { 0 };
            wire.frame(FrameType::Headers, flags, stream, first)?;
            for chunk in rest.chunks(16_000) {
                wire.frame(FrameType::Continuation, 0, stream, chunk)?;
            }
            wire.frame(FrameType::Continuation, END_HEADERS, stream, &[])?;
            if expect == Broken { stay_mute(wire) } else { Ok(()) }
        })
    };
    let one = || field("x", &"y".repeat(20_000));
    let many = || (0..2000).flat_map(|n| field(&format!("x{n}"), "y")).collect::<Vec<_>>();
    // Put into the table once, then named by one byte each: a bomb.
    let bomb = || [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000], &[0xbe; 5000]].concat();
    run(
        &ctx,
        [
            with("one header", Broken, one(), false),
            with("many headers", Broken, many(), false),
            with("a bomb", Broken, bomb(), false),
            // h2 drops the field that does not fit; the status before it is kept.
            with("one trailer", Answered, one(), true),
            with("many trailers", Broken, many(), true),
        ],
    )
    .await
}

/// H9: the table of the decoder is resized and asked for what it does not hold.
async fn tables_that_are_abused(ctx: Ctx) -> CaseResult {
    let head = |name: &str, expect: Expect, before: Vec<u8>| {
        on_request(name, expect, move |wire, request| {
            let head = [before.clone(), block(&[OK, GRPC])].concat();
            wire.frame(FrameType::Headers, END_HEADERS, request.stream, &head)?;
            wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
            wire.trailers(request.stream)?;
            if expect == Broken { stay_mute(wire) } else { Ok(()) }
        })
    };
    run(
        &ctx,
        [
            head("to nothing and back", Answered, [table_size(0), table_size(4096)].concat()),
            head("larger than allowed", Broken, table_size(1 << 20)),
            head("an index beyond the tables", Broken, indexed(200)),
            head("index zero", Broken, vec![0x80]),
            head("an integer without end", Broken, [vec![0xff], vec![0xff; 40]].concat()),
        ],
    )
    .await
}

/// H11: pushing was forbidden, and nobody else opens streams.
async fn responses_that_nobody_asked_for(ctx: Ctx) -> CaseResult {
    let push = on_request("a promise", Broken, |wire, request| {
        let promised = [&2u32.to_be_bytes(), &*block(&[(":method", "GET")])].concat();
        wire.frame(FrameType::PushPromise, END_HEADERS, request.stream, &promised)?;
        stay_mute(wire)
    });
    let other = |stream: u32| {
        on_request(format!("an answer on stream {stream}"), Broken, move |wire, _| {
            wire.respond(stream)?;
            stay_mute(wire)
        })
    };
    let unknown = on_request("frames of an unknown type", Answered, |wire, request| {
        wire.flood(1000, FrameType::Unknown, request.stream, b"who am I")?;
        wire.answer(request)
    });
    run(&ctx, [push, other(0), other(2), other(99), unknown]).await
}

/// H12, E28 to E31: what stands before etcd answers in HTTP, or another server does.
async fn heads_that_are_no_answer(ctx: Ctx) -> CaseResult {
    let http = |(status, expect)| {
        on_request(format!("HTTP {status}"), expect, move |wire, request| {
            let html = [(":status", status), ("content-type", "text/html")];
            wire.headers(request.stream, END_HEADERS, &html)?;
            wire.frame(FrameType::Data, END_STREAM, request.stream, b"<html>no</html>")
        })
    };
    let table = [
        ("200", Broken),
        ("302", Broken),
        ("400", Broken),
        ("401", Refused),
        ("403", Refused),
        ("404", Refused),
        ("429", Broken),
        ("500", Broken),
        ("502", Broken),
        ("503", Broken),
        ("504", Broken),
    ];
    run(&ctx, table.map(http)).await?;
    let heads: [(&str, &[(&str, &str)]); 5] = [
        ("no content type", &[OK]),
        ("another content type", &[OK, ("content-type", "application/grpcx")]),
        ("no status", &[GRPC]),
        ("a status of four digits", &[(":status", "2000"), GRPC]),
        ("capital letters", &[OK, GRPC, ("X-Upper", "1")]),
    ];
    let head = |(name, headers): (&str, &'static [(&str, &str)])| {
        on_request(name, Broken, move |wire, request| {
            wire.headers(request.stream, END_HEADERS, headers)?;
            wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
            wire.trailers(request.stream)
        })
    };
    run(&ctx, heads.map(head)).await
}

/// H12, E33, E34, E37, E38: a status that is missing, doubled, malformed, or in the wrong place.
async fn statuses_in_all_places(ctx: Ctx) -> CaseResult {
    type Headers = &'static [(&'static str, &'static str)];
    let trailers = |(name, expect, trailers): (&str, Expect, Headers)| {
        on_request(name, expect, move |wire, request| {
            wire.respond(request.stream)?;
            wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
            wire.headers(request.stream, END_HEADERS | END_STREAM, trailers)
        })
    };
    let table: [(&str, Expect, Headers); 9] = [
        ("trailers without a status", Broken, &[("x", "y")]),
        ("two statuses", Broken, &[("grpc-status", "0"), ("grpc-status", "0")]),
        ("two different statuses", Broken, &[("grpc-status", "0"), ("grpc-status", "3")]),
        ("no number", Broken, &[("grpc-status", "OK")]),
        ("an unknown number", Broken, &[("grpc-status", "99")]),
        ("a pseudo-header", Broken, &[("grpc-status", "0"), (":status", "200")]),
        ("bad escapes", Refused, &[("grpc-status", "3"), ("grpc-message", "%zz%4%")]),
        ("control characters", Refused, &[("grpc-status", "3"), ("grpc-message", "%0a%1b[2J%00")]),
        ("out of resources", Failed, &[("grpc-status", "8")]),
    ];
    run(&ctx, table.map(trailers)).await?;
    let ended = on_request("no trailers", Broken, |wire, request| {
        wire.respond(request.stream)?;
        wire.frame(FrameType::Data, END_STREAM, request.stream, &request.answer())
    });
    let head_only = |(name, expect, status): (&str, Expect, &'static str)| {
        on_request(name, expect, move |wire, request| {
            wire.refuse(request.stream, status, "so it is")
        })
    };
    let both = on_request("in head and trailers", Broken, |wire, request| {
        wire.headers(request.stream, END_HEADERS, &[OK, GRPC, ("grpc-status", "0")])?;
        wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
        wire.trailers(request.stream)
    });
    run(&ctx, [ended, both]).await?;
    let table = [
        ("trailers-only, OK", Broken, "0"),
        ("trailers-only, refused", Refused, "7"),
        ("trailers-only, unavailable", Broken, "14"),
        ("trailers-only, data lost", Failed, "15"),
    ];
    run(&ctx, table.map(head_only)).await
}

/// H15, E32
async fn informational_responses(ctx: Ctx) -> CaseResult {
    let informed = |status: &'static str, times: usize| {
        on_request(format!("{status}, {times} times"), Answered, move |wire, request| {
            for _ in 0..times {
                wire.headers(request.stream, END_HEADERS, &[(":status", status)])?;
            }
            wire.answer(request)
        })
    };
    run(&ctx, [informed("100", 1), informed("103", 1), informed("103", 50)]).await?;
    let the_end = on_request("103 and the end", Broken, |wire, request| {
        wire.headers(request.stream, END_HEADERS | END_STREAM, &[(":status", "103")])
    });
    run(&ctx, [the_end]).await
}
