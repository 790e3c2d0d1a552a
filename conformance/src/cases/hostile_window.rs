//! Limits that a peer sets, and takes back (H5, H6, H7, I-C4).

use super::hostile::Expect::{Answered, Broken, Mute, Repeated};
use super::hostile::{Script, on_request, run, script, stay_mute};
use crate::peer::{ACK, END_HEADERS, FrameType};
use crate::{Case, CaseResult, Ctx, case};

pub(super) const CASES: &[Case] = &[
    case!(a_limit_of_streams_that_changes, []).real("a scripted peer").any_version(),
    case!(windows_that_never_open_or_only_when_used_up, []).real("a scripted peer").any_version(),
    case!(windows_that_overflow, []).real("a scripted peer").any_version(),
    case!(settings_in_mid_flight, []).real("a scripted peer").any_version(),
];

const HEADER_TABLE_SIZE: u16 = 1;
const ENABLE_PUSH: u16 = 2;
const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_HEADER_LIST_SIZE: u16 = 6;

/// H5, I-C4: calls wait for their turn, and go as soon as they may.
async fn a_limit_of_streams_that_changes(ctx: Ctx) -> CaseResult {
    run(
        &ctx,
        [
            script("none at first, then one", Answered, |wire| {
                wire.greet(&[(MAX_CONCURRENT_STREAMS, 0)])?;
                wire.settings(&[(MAX_CONCURRENT_STREAMS, 1)])
            }),
            on_request("shrunk to none, then one", Answered, |wire, request| {
                wire.agreed_settings(&[(MAX_CONCURRENT_STREAMS, 0)])?;
                wire.answer(request)?;
                wire.settings(&[(MAX_CONCURRENT_STREAMS, 1)])
            }),
            on_request("shrunk below what is open, and refused", Repeated, |wire, request| {
                wire.agreed_settings(&[(MAX_CONCURRENT_STREAMS, 0)])?;
                wire.reset(request.stream, 7)?;
                wire.settings(&[(MAX_CONCURRENT_STREAMS, 1)])
            }),
        ],
    )
    .await
}

/// H6, C-11: of the first request the head comes, and its message only as windows allow.
async fn windows_that_never_open_or_only_when_used_up(ctx: Ctx) -> CaseResult {
    run(
        &ctx,
        [
            script("never", Mute, |wire| {
                wire.greet(&[(INITIAL_WINDOW_SIZE, 0)])?;
                stay_mute(wire)
            }),
            script("byte by byte", Answered, |wire| {
                wire.greet(&[(INITIAL_WINDOW_SIZE, 1)])?;
                let request = wire.request_by_window(1)?;
                wire.settings(&[(INITIAL_WINDOW_SIZE, 65_535)])?;
                wire.answer(&request)
            }),
            script("by settings alone", Answered, |wire| {
                wire.greet(&[(INITIAL_WINDOW_SIZE, 0)])?;
                (1..40).try_for_each(|size| wire.settings(&[(INITIAL_WINDOW_SIZE, size)]))?;
                wire.settings(&[(INITIAL_WINDOW_SIZE, 65_535)])
            }),
            // The window falls below zero, and nothing may be sent until it is above.
            on_request("taken back", Answered, |wire, request| {
                wire.settings(&[(INITIAL_WINDOW_SIZE, 0)])?;
                wire.answer(request)?;
                wire.settings(&[(INITIAL_WINDOW_SIZE, 65_535)])
            }),
        ],
    )
    .await
}

/// H6: more window than there can be, or none.
async fn windows_that_overflow(ctx: Ctx) -> CaseResult {
    const MAX: u32 = (1 << 31) - 1;
    let window = |(name, stream, increment): (&str, u32, u32)| -> Script {
        on_request(name, Broken, move |wire, _| {
            wire.frame(FrameType::WindowUpdate, 0, stream, &increment.to_be_bytes())?;
            stay_mute(wire)
        })
    };
    let table = [
        ("of the connection", 0, MAX),
        ("by nothing, of the stream", 1, 0),
        ("by nothing, of the connection", 0, 0),
    ];
    run(&ctx, table.map(window)).await?;
    let by_settings = on_request("by settings", Broken, |wire, _| {
        wire.settings(&[(INITIAL_WINDOW_SIZE, MAX + 1)])?;
        stay_mute(wire)
    });
    let unused = on_request("of a stream that needs none", Answered, |wire, request| {
        wire.frame(FrameType::WindowUpdate, 0, request.stream, &MAX.to_be_bytes())?;
        wire.answer(request)
    });
    let needed = script("of a stream that waits for it", Broken, |wire| {
        wire.greet(&[(INITIAL_WINDOW_SIZE, 1)])?;
        wire.begun_request()?;
        // At once, so that the window is not used in between.
        wire.flood(3, FrameType::WindowUpdate, 1, &MAX.to_be_bytes())?;
        wire.settings(&[(INITIAL_WINDOW_SIZE, 65_535)])
    });
    run(&ctx, [by_settings, unused, needed]).await
}

/// H7: whatever may change does change between the head of an answer and its end.
async fn settings_in_mid_flight(ctx: Ctx) -> CaseResult {
    let change = |(id, value, expect): (u16, u32, _)| {
        on_request(format!("{id} is {value}"), expect, move |wire, request| {
            wire.respond(request.stream)?;
            wire.settings(&[(id, value)])?;
            wire.frame(FrameType::Data, 0, request.stream, &request.answer())?;
            wire.trailers(request.stream)
        })
    };
    let table = [
        (HEADER_TABLE_SIZE, 0, Answered),
        (HEADER_TABLE_SIZE, u32::MAX, Answered),
        (INITIAL_WINDOW_SIZE, 1 << 20, Answered),
        (MAX_FRAME_SIZE, 1 << 14, Answered),
        (MAX_FRAME_SIZE, (1 << 24) - 1, Answered),
        (MAX_HEADER_LIST_SIZE, 1 << 20, Answered),
        (0x99, 7, Answered),
        // Not allowed.
        (ENABLE_PUSH, 2, Broken),
        (MAX_FRAME_SIZE, 1, Broken),
        (MAX_FRAME_SIZE, 1 << 24, Broken),
    ];
    run(&ctx, table.map(change)).await?;
    let malformed = |(name, flags, stream, payload): (&str, u8, u32, &'static [u8])| {
        on_request(name, Broken, move |wire, _| {
            wire.frame(FrameType::Settings, flags, stream, payload)?;
            stay_mute(wire)
        })
    };
    let table: [(&str, u8, u32, &[u8]); 3] = [
        ("half a setting", 0, 0, &[0, 4, 0]),
        ("settings of a stream", 0, 1, &[0, 4, 0, 0, 1, 0]),
        ("an answer that says something", ACK | END_HEADERS, 0, &[0, 4, 0, 0, 1, 0]),
    ];
    run(&ctx, table.map(malformed)).await
}
