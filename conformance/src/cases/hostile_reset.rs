//! `RST_STREAM` with every code at every position (H3, H4, H16, C-14).

use super::hostile::Expect::{Answered, Broken, Repeated};
use super::hostile::{Script, on_request, run};
use crate::peer::{FrameType, Peer};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Outcome, Status};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(resets_with_all_codes_at_all_positions, []).real("a scripted peer").any_version(),
    case!(refused_again_and_again, []).real("a scripted peer").any_version(),
    case!(resets_of_streams_that_are_not, []).real("a scripted peer").any_version(),
];

const REFUSED_STREAM: u32 = 7;
const POSITIONS: [&str; 5] =
    ["before headers", "after headers", "mid-message", "after the message", "after trailers"];

fn reset(position: usize, code: u32) -> Script {
    let expect = match (position, code) {
        (0, REFUSED_STREAM) => Repeated,
        // REFUSED_STREAM, too: what was answered in part was processed.
        (0..=3, _) => Broken,
        _ => Answered,
    };
    on_request(format!("{code}, {}", POSITIONS[position]), expect, move |wire, request| {
        let (stream, answer) = (request.stream, request.answer());
        if position >= 1 {
            wire.respond(stream)?;
        }
        match position {
            2 => wire.frame(FrameType::Data, 0, stream, &answer[..7])?,
            3.. => wire.frame(FrameType::Data, 0, stream, &answer)?,
            _ => {}
        }
        if position == 4 {
            wire.trailers(stream)?;
        }
        wire.reset(stream, code)
    })
}

/// H3, H4, E22 to E27, R42: only what was refused before anything was said is repeated.
async fn resets_with_all_codes_at_all_positions(ctx: Ctx) -> CaseResult {
    let codes = (0..=13).chain([14, 255, u32::MAX]);
    run(&ctx, codes.flat_map(|code| (0..5).map(move |position| reset(position, code)))).await
}

/// H4, R41: as long as it is refused, it is repeated; the error says that nothing happened.
async fn refused_again_and_again(ctx: Ctx) -> CaseResult {
    let peer = Peer::start(|_, mut wire| {
        wire.greet(&[])?;
        loop {
            let stream = wire.request()?;
            wire.reset(stream, REFUSED_STREAM)?;
        }
    })?;
    let client = ctx.connect([peer.url()]).await?;
    let error = client.put("k", "v").timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotSent, "{error}");
    assert!(error.attempts() > 1 && error.is_retryable(), "{error}");
    assert_eq!(error.code(), Status::from_reset(REFUSED_STREAM).code, "{error}");
    assert_eq!(peer.accepted(), 1, "the connection is in good order");
    Ok(())
}

/// H3: streams that never were, or are long over.
async fn resets_of_streams_that_are_not(ctx: Ctx) -> CaseResult {
    let odd = |(name, stream, expect)| {
        on_request(name, expect, move |wire, request| {
            wire.reset(stream, 0)?;
            wire.answer(request)
        })
    };
    let table =
        [("no stream", 0, Broken), ("an idle stream", 99, Broken), ("the server's own", 2, Broken)];
    run(&ctx, table.map(odd)).await
}
