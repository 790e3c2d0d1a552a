//! Calls that nobody waits for any more.

use crate::{Case, CaseResult, Ctx, cancel, case};

pub(super) const CASES: &[Case] =
    &[case!(dropped_calls_leave_nothing_behind, []).real("a scripted peer").any_version()];

/// I-C12, C-16, C-10: the short form; the long one is `src/bin/cancel.rs`.
async fn dropped_calls_leave_nothing_behind(ctx: Ctx) -> CaseResult {
    let figures = cancel::run(ctx.rt, 20_000).await?;
    assert!(figures.dropped >= 20_000 && figures.answered >= 5_000, "{figures:?}");
    assert_eq!(figures.problems(), Vec::<String>::new(), "{figures:?}");
    Ok(())
}
