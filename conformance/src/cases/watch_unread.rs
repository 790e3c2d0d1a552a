//! Watches that nobody reads: they do no harm, and lose nothing.

use crate::watching::{Unread, leave_unread};
use crate::{Case, CaseResult, Ctx, case};

pub(super) const CASES: &[Case] =
    &[case!(watches_that_are_not_read_harm_nobody, []).real("a bridge").any_version()];

/// H3, H4, H5, I-W10: the short form; the long one is `src/bin/watches.rs`.
async fn watches_that_are_not_read_harm_nobody(ctx: Ctx) -> CaseResult {
    let figures = leave_unread(&ctx, Unread { small: 15_000, large: 64 << 20, rate: None }).await?;
    assert_eq!(figures.problems(), Vec::<String>::new(), "{figures:?}");
    assert!(figures.calls > 10, "{figures:?}");
    Ok(())
}
