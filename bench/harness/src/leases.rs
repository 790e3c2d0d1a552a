//! Leases: what one takes with its handle, and what it costs to keep it alive.

use crate::run::figures;
use crate::{Args, Client, Measured, Meter, Result, Work};
use std::time::Duration;

/// The time to live of leases of which none is asked for, in seconds.
const TTL: u64 = 60;
/// Into how many slots renewals are spread that are due within a third of the time to live.
pub const SLOTS: u32 = 50;

/// Has the callers stand for leases.
///
/// Memory is what the process grew by for each lease, held with whatever keeps it alive. All else
/// begins when they are there, and counts the renewals that the server acknowledged meanwhile.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) async fn keep_alives<C: Client>(client: &mut C, args: &Args) -> Result<String> {
    let count = args.callers as u64;
    let ttl = if args.size == 0 { TTL } else { args.size as u64 };
    let streams = client.number("renewing".into()).await?;
    let meter = Meter::start();
    let mut leases = client.lease_all(count, ttl).await?;
    let made = meter.stop();
    let before = client.number("renewed".into()).await?;
    let meter = Meter::start();
    let slot = Duration::from_secs(ttl) / 3 / SLOTS;
    let slot = (args.work == Work::KeepAlives).then_some(slot);
    client.renew_all(&mut leases, args.ops, slot).await?;
    let measured = meter.stop();
    let acknowledged = client.number("renewed".into()).await? - before;
    let streams = client.number("renewing".into()).await? - streams;
    drop(leases);
    // An operation is an acknowledgement, but what is held is held for a lease.
    let memory = made.memory * acknowledged / count;
    let figures = figures(acknowledged, Measured { memory, ..measured }, Vec::new());
    let held = made.held as f64 / count as f64;
    let per_second = acknowledged as f64 / measured.wall.as_secs_f64();
    Ok(format!(
        "{figures},\"acknowledged\":{acknowledged},\"per_second\":{per_second:.1},\
         \"streams\":{streams},\"held_per_lease\":{held:.1}"
    ))
}
