//! Messages that are too many, too long, cut, or dripped, and floods of small frames (H10, H13,
//! H14).

use super::hostile::Expect::{Answered, Broken, Failed};
use super::hostile::{Expect, Script, on_request, run, stay_mute};
use crate::peer::{ACK, END_STREAM, FrameType, PADDED, Request, Wire};
use crate::{Case, CaseResult, Ctx, case};
use std::io;

pub(super) const CASES: &[Case] = &[
    case!(messages_that_are_too_many_or_none, []).real("a scripted peer").any_version(),
    case!(messages_that_are_not_what_they_claim, []).real("a scripted peer").any_version(),
    case!(data_in_small_pieces, []).real("a scripted peer").any_version(),
    case!(frames_that_break_the_rules, []).real("a scripted peer").any_version(),
    case!(floods_of_small_frames, []).real("a scripted peer").any_version(),
    case!(an_answer_without_end, []).real("a scripted peer").any_version(),
];

/// An answer whose body is this.
fn body(
    name: impl Into<String>,
    expect: Expect,
    make: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
) -> Script {
    on_request(name, expect, move |wire, request| {
        wire.respond(request.stream)?;
        wire.frame(FrameType::Data, 0, request.stream, &make(request))?;
        wire.trailers(request.stream)
    })
}

/// H13, E37
async fn messages_that_are_too_many_or_none(ctx: Ctx) -> CaseResult {
    let after = |name: &str, play: fn(&mut Wire, u32) -> io::Result<()>| {
        on_request(name, Answered, move |wire, request| {
            wire.answer(request)?;
            play(wire, request.stream)
        })
    };
    run(
        &ctx,
        [
            body("none", Broken, |_| vec![]),
            body("two", Broken, |request| request.answer().repeat(2)),
            on_request("two, each in a frame of its own", Broken, |wire, request| {
                wire.respond(request.stream)?;
                wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
                wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
                wire.trailers(request.stream)
            }),
            body("a hundred", Broken, |request| request.answer().repeat(100)),
            body("one and a half", Broken, |request| [request.answer(), vec![0, 0]].concat()),
            after("data after trailers", |wire, stream| {
                wire.frame(FrameType::Data, 0, stream, b"more")
            }),
            after("trailers after trailers", Wire::trailers),
            after("a window after trailers", |wire, stream| {
                wire.frame(FrameType::WindowUpdate, 0, stream, &1u32.to_be_bytes())
            }),
        ],
    )
    .await
}

/// E35, E36, I-D4: what the head of a message says is checked before anything is kept.
async fn messages_that_are_not_what_they_claim(ctx: Ctx) -> CaseResult {
    run(
        &ctx,
        [
            body("cut short", Broken, |request| {
                let answer = request.answer();
                answer[..answer.len() - 1].to_vec()
            }),
            body("only a head", Broken, |_| vec![0, 0, 0, 0, 9]),
            body("half a head", Broken, |_| vec![0, 0]),
            body("compressed", Broken, |request| [&[1], &request.answer()[1..]].concat()),
            body("an unknown flag", Broken, |request| [&[0x80], &request.answer()[1..]].concat()),
            body("4 GiB", Failed, |_| vec![0, 0xff, 0xff, 0xff, 0xff, 1]),
            body("over the limit", Failed, |_| vec![0, 0, 0x10, 0, 1, 1]),
        ],
    )
    .await
}

/// H10, C-15, N7: a good answer in the smallest pieces.
async fn data_in_small_pieces(ctx: Ctx) -> CaseResult {
    let dripped = on_request("byte by byte", Answered, |wire, request| {
        wire.respond(request.stream)?;
        for byte in request.answer() {
            wire.frame(FrameType::Data, 0, request.stream, &[byte])?;
        }
        wire.trailers(request.stream)
    });
    let some_empty = on_request("some empty frames", Answered, |wire, request| {
        wire.respond(request.stream)?;
        wire.flood(50, FrameType::Data, request.stream, &[])?;
        wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
        wire.trailers(request.stream)
    });
    let empty = on_request("nothing but empty frames", Broken, |wire, request| {
        wire.respond(request.stream)?;
        wire.flood(20_000, FrameType::Data, request.stream, &[])?;
        stay_mute(wire)
    });
    run(&ctx, [dripped, some_empty, empty]).await
}

/// RFC 9113: the connection ends, and nobody can say what was done.
async fn frames_that_break_the_rules(ctx: Ctx) -> CaseResult {
    let odd = |name: &str, play: fn(&mut Wire, u32) -> io::Result<()>| {
        on_request(name, Broken, move |wire, request| {
            wire.respond(request.stream)?;
            play(wire, request.stream)?;
            stay_mute(wire)
        })
    };
    run(
        &ctx,
        [
            odd("larger than allowed", |w, id| w.frame(FrameType::Data, 0, id, &vec![0; 16_385])),
            odd("more padding than frame", |w, id| w.frame(FrameType::Data, PADDED, id, &[9, 1])),
            odd("data without a head", |w, _| w.frame(FrameType::Data, 0, 0, b"x")),
            odd("data on an idle stream", |w, _| w.frame(FrameType::Data, 0, 99, b"x")),
            odd("half a ping", |w, _| w.frame(FrameType::Ping, 0, 0, &[0; 4])),
            odd("a ping of a stream", |w, id| w.frame(FrameType::Ping, 0, id, &[0; 8])),
            odd("half a reset", |w, id| w.frame(FrameType::Reset, 0, id, &[0; 2])),
            odd("half a goaway", |w, _| w.frame(FrameType::GoAway, 0, 0, &[0; 4])),
            odd("a stray continuation", |w, id| w.frame(FrameType::Continuation, 4, id, &[])),
        ],
    )
    .await
}

/// H14, I-X3: all of it is answered or ignored, and the call goes on.
async fn floods_of_small_frames(ctx: Ctx) -> CaseResult {
    type Flood = (&'static str, usize, FrameType, &'static [u8]);
    let flood = |(name, count, kind, payload): Flood| {
        on_request(name, Answered, move |wire, request| {
            let of_stream = matches!(kind, FrameType::Priority);
            let stream = if of_stream { request.stream } else { 0 };
            wire.flood(count, kind, stream, payload)?;
            wire.answer(request)
        })
    };
    let table: [Flood; 5] = [
        ("pings", 5000, FrameType::Ping, b"pingpong"),
        ("settings", 5000, FrameType::Settings, &[0, 4, 0, 1, 0, 0]),
        ("empty settings", 5000, FrameType::Settings, &[]),
        ("windows", 5000, FrameType::WindowUpdate, &[0, 0, 0, 1]),
        ("priorities", 5000, FrameType::Priority, &[0, 0, 0, 0, 9]),
    ];
    run(&ctx, table.map(flood)).await?;
    let answers = |name: &str, expect: Expect, kind: FrameType, payload: &'static [u8]| {
        on_request(name, expect, move |wire, request| {
            for _ in 0..1000 {
                wire.frame(kind, ACK, 0, payload)?;
            }
            wire.answer(request)
        })
    };
    run(
        &ctx,
        [
            answers("answers to no ping", Answered, FrameType::Ping, b"pingpong"),
            answers("answers to no settings", Broken, FrameType::Settings, &[]),
        ],
    )
    .await
}

/// H10, H13: an answer that never ends, and ignores every window. The client gives it up after its
/// second message; what comes later is for a stream that it has forgotten. `tests/memory.rs` looks
/// at what is kept meanwhile.
async fn an_answer_without_end(ctx: Ctx) -> CaseResult {
    const FRAME: usize = 16_384;
    let pour = on_request("empty messages", Broken, |wire, request| {
        wire.respond(request.stream)?;
        wire.flood((64 << 20) / FRAME, FrameType::Data, request.stream, &[0; FRAME])?;
        wire.frame(FrameType::Data, END_STREAM, request.stream, &[])
    });
    run(&ctx, [pour]).await
}
