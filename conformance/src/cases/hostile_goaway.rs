//! GOAWAY at every position, and servers that let connections go (H1, H2, H16, I-C3).

use super::hostile::Expect::{Answered, Broken, Repeated};
use super::hostile::{Script, hang_up, on_request, run, script};
use crate::peer::{FrameType, Request, Wire};
use crate::{Case, CaseResult, Ctx, case};
use std::io;

pub(super) const CASES: &[Case] = &[
    case!(goaway_around_the_settings, []).real("a scripted peer").any_version(),
    case!(goaway_before_and_within_the_answer, []).real("a scripted peer").any_version(),
    case!(goaway_twice, []).real("a scripted peer").any_version(),
    case!(goaway_for_too_many_pings, []).real("a scripted peer").any_version(),
    case!(connections_that_a_proxy_lets_go, []).real("a scripted peer").any_version(),
];

const MAX: u32 = (1 << 31) - 1;
const ENHANCE_YOUR_CALM: u32 = 11;

/// H1: nothing was processed, whatever the client has sent by then.
async fn goaway_around_the_settings(ctx: Ctx) -> CaseResult {
    let go = |wire: &mut Wire, last| {
        wire.go_away(last, 0, "")?;
        wire.wait_close()?;
        hang_up()
    };
    run(
        &ctx,
        [
            script("before the preface", Answered, move |wire| go(wire, 0)),
            script("before the settings", Answered, move |wire| {
                wire.await_preface()?;
                go(wire, 0)
            }),
            script("after the settings", Repeated, move |wire| {
                wire.greet(&[])?;
                go(wire, 0)
            }),
        ],
    )
    .await
}

type Step = fn(&mut Wire, &Request) -> io::Result<()>;

/// The parts of a good answer.
const STEPS: [(&str, Step); 4] = [
    ("headers", |wire, request| wire.respond(request.stream)),
    ("half of the message", |wire, request| {
        wire.frame(FrameType::Data, 0, request.stream, &request.answer()[..7])
    }),
    ("the rest of it", |wire, request| {
        wire.frame(FrameType::Data, 0, request.stream, &request.answer()[7..])
    }),
    ("trailers", |wire, request| wire.trailers(request.stream)),
];

/// H1: a GOAWAY with this last id and code after so many steps of the answer, which then goes on.
fn after(steps: usize, last: u32, code: u32) -> Script {
    let expect = match (last, steps) {
        (0, 0) => Repeated,
        // It has been answered in part, so it was processed, whatever the GOAWAY says.
        (0, 1..=3) => Broken,
        _ => Answered,
    };
    let before = steps.checked_sub(1).map_or("anything", |step| STEPS[step].0);
    on_request(format!("last {last}, code {code}, after {before}"), expect, move |wire, request| {
        for (_, step) in &STEPS[..steps] {
            step(wire, request)?;
        }
        wire.go_away(last, code, "")?;
        for (_, step) in &STEPS[steps..] {
            step(wire, request)?;
        }
        if last > request.stream {
            // What the client sends before it hears of it is promised an answer.
            return wire.serve();
        }
        wire.wait_close()?;
        hang_up()
    })
}

/// H1: streams up to the last id end well, the others move.
async fn goaway_before_and_within_the_answer(ctx: Ctx) -> CaseResult {
    let scripts = (0..=4).flat_map(|steps| {
        let lasts = [0, 1, 3, MAX].into_iter();
        lasts.flat_map(move |last| [0, 2].map(|code| after(steps, last, code)))
    });
    run(&ctx, scripts).await?;
    let hung_up = |last| {
        let name = format!("last {last}, then the end");
        let expect = if last == 0 { Repeated } else { Broken };
        on_request(name, expect, move |wire, _| {
            wire.go_away(last, 0, "")?;
            hang_up()
        })
    };
    run(&ctx, [0, 1, MAX].map(hung_up)).await
}

/// H1, C-13: as servers do that shut down gracefully, and as none should.
async fn goaway_twice(ctx: Ctx) -> CaseResult {
    let twice = |(first, second, expect)| {
        on_request(format!("{first}, then {second}"), expect, move |wire, request| {
            wire.go_away(first, 0, "")?;
            wire.go_away(second, 0, "")?;
            wire.answer(request)?;
            wire.wait_close()?;
            hang_up()
        })
    };
    let table = [(MAX, 1, Answered), (MAX, 0, Repeated), (1, 1, Answered), (0, 1, Repeated)];
    run(&ctx, table.map(twice)).await
}

/// H2: the connection is over; what it carried is judged by the last id.
async fn goaway_for_too_many_pings(ctx: Ctx) -> CaseResult {
    let calm = |(last, expect)| {
        on_request(format!("too many pings, last {last}"), expect, move |wire, _| {
            wire.go_away(last, ENHANCE_YOUR_CALM, "too_many_pings")?;
            hang_up()
        })
    };
    run(&ctx, [(0, Repeated), (1, Broken), (MAX, Broken)].map(calm)).await
}

/// H16, N13: GOAWAY between calls, with and without a word, as by the idle time-out of nginx and
/// Envoy.
async fn connections_that_a_proxy_lets_go(ctx: Ctx) -> CaseResult {
    let idle = |last| {
        on_request(format!("idle, last {last}"), Answered, move |wire, request| {
            wire.answer(request)?;
            wire.go_away(last, 0, "idle")?;
            hang_up()
        })
    };
    let one_request = on_request("closed after one request", Answered, |wire, request| {
        wire.answer(request)?;
        hang_up()
    });
    run(&ctx, [idle(1), idle(MAX), one_request]).await
}
