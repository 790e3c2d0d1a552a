//! What watches must survive: long forms by `src/bin/watches.rs`, short ones as cases.

mod beginning;
mod churn;
mod expiry;
mod unread;

pub use beginning::{Cuts, cut_at_the_beginning};
pub use churn::come_and_go;
pub use expiry::{Expiries, expire_while_cut};
pub use unread::{Unread, UnreadFigures, leave_unread};

use crate::load::{BlockingRuntime, Error};
use crate::{CaseResult, Ctx};
use etcd3_lab::etcd::Binary;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest wait for something that is due.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs the long forms on one runtime against one version and prints what they show.
///
/// # Errors
///
/// When the servers fail, or something is not as it must be.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary) -> Result<(), Error> {
    let ctx = Ctx::new(Arc::clone(&runtime.rt), etcd.clone().into(), runtime.name);
    println!("{} against etcd {}", runtime.name, etcd.version);
    let began = Instant::now();
    let all = ctx.clone();
    futures_lite::future::block_on(runtime.spawn(async move { long_forms(&all).await }))?;
    println!("    {:.1?} in all", began.elapsed());
    Ok(())
}

async fn long_forms(ctx: &Ctx) -> CaseResult {
    let cuts = cut_at_the_beginning(ctx, 1_500).await?;
    println!("    cut at the beginning: {cuts:?}");
    let left = come_and_go(ctx, 10_000).await?;
    println!("    10000 watches came and went: {left:?} left at the server");
    let expiries = expire_while_cut(ctx, 50).await?;
    println!("    500 keys expire: {expiries:?}");
    let what = Unread { small: 50_000, large: 1 << 30, rate: Some(2_000) };
    let figures = leave_unread(ctx, what).await?;
    println!("    unread: {figures:?}");
    let mut problems = cuts.problems();
    problems.extend(expiries.problems());
    problems.extend(figures.problems());
    if (left.streams, left.watchers) != (0, 0) {
        problems.push(format!("{left:?} are left at the server"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ").into()) }
}
