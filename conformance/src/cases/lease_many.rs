//! Many leases on one client.

use crate::{Case, CaseResult, Ctx, case, many_leases};
use std::time::Duration;

pub(super) const CASES: &[Case] =
    &[case!(a_thousand_leases_share_a_stream, []).any_version().real("metrics")];

/// I-L2, I-L6: the short form; the long one is `src/bin/leases.rs`.
async fn a_thousand_leases_share_a_stream(ctx: Ctx) -> CaseResult {
    let figures = many_leases::keep(&ctx, 1_000, Duration::from_secs(9)).await?;
    assert_eq!(figures.problems(), Vec::<String>::new(), "{figures:?}");
    Ok(())
}
