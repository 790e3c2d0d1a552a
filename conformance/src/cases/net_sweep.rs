//! One write, cut or corrupted at each of its bytes (N8, N9, I-R1, I-R2).

use super::net_faults::{Rig, last};
use crate::BoxError;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{ErrorKind, Outcome};
use etcd3_lab::{Cut, Direction, Fault, Relays};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(cut_at_each_byte_of_a_write, []).real("a bridge").any_version(),
    case!(a_bit_flipped_at_each_byte_of_an_answer, []).real("a bridge").any_version(),
];

const SOON: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_millis(400);
/// Parts of a direction that are tried.
const PARTS: u64 = 24;

/// Returns how many bytes one write takes in each direction, on a connection that has been used.
async fn cost(rig: &Rig) -> Result<[u64; 2], BoxError> {
    let passed = || Direction::BOTH.map(|way| rig.bridge.passed(way));
    rig.heal().await?;
    let before = passed();
    rig.client.put("cost of a write", "v").await?;
    // The window that is given back for the answer comes with the next call: less than a write.
    let after = passed();
    Ok([after[0] - before[0], after[1] - before[1]])
}

/// N8, R40, R42: what is said of a write is true wherever the connection was cut, and stays true.
async fn cut_at_each_byte_of_a_write(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let cost = cost(&rig).await?;
    let mut said = BTreeMap::new();
    for (way, bytes) in Direction::BOTH.into_iter().zip(cost) {
        for part in 0..=PARTS {
            let after = part * bytes / PARTS;
            for end in [Cut::Reset, Cut::Close, Cut::Fin] {
                let key = format!("{way:?} {after} {end:?}");
                rig.heal().await?;
                let relay = last(&rig.bridge)?;
                rig.bridge.set_fault(Relays::One(relay), [way], Fault::new().cut(after, end));
                let put = rig.put(&key, SOON).await.map_err(|e| format!("{key}: {e}"))?;
                said.insert(key, (put.version, put.error.map(|error| error.outcome())));
            }
        }
    }
    // Nothing comes late.
    rig.heal().await?;
    for (key, (version, outcome)) in &said {
        let now = rig.version(key).await?;
        let is_true = now == *version || (*outcome == Some(Outcome::Unknown) && now == 1);
        assert!(is_true, "{key}: {outcome:?}, then version {version}, now {now}");
    }
    // The sweep reached all there is to reach.
    let count = |version, outcome| said.values().filter(|v| **v == (version, outcome)).count();
    let (lost, applied) = (count(0, Some(Outcome::Unknown)), count(1, Some(Outcome::Unknown)));
    assert!(lost > 5 && applied > 5, "{lost} lost, {applied} applied: {said:?}");
    Ok(())
}

/// N9, I-X1: nothing protects plaintext, so the answer may be wrong; but the call ends, the write
/// is not repeated where it may have been applied, and the client goes on.
async fn a_bit_flipped_at_each_byte_of_an_answer(ctx: Ctx) -> CaseResult {
    let mut rig = Rig::new(&ctx).await?;
    let [_, bytes] = cost(&rig).await?;
    for at in 0..bytes {
        let bit = u8::try_from(at % 8)?;
        let key = format!("flip {at}");
        rig.heal().await?;
        let relay = last(&rig.bridge)?;
        rig.bridge.set_fault(Relays::One(relay), [Direction::Down], Fault::new().flip(at, bit));
        let put = rig.client.put(&key, "v").timeout(TIMEOUT);
        let put = ctx.within(SOON, async { put.await }).await.ok_or("the write hangs")?;
        rig.bridge.drop_all();
        if has_seen_the_future(&rig).await? {
            rig.renew().await?;
        }
        rig.heal().await?;
        let version = rig.version(&key).await?;
        assert!(version <= 1, "{key}: version {version} after {put:?}");
        assert!(put.is_err() || version == 1, "{key}: version {version} after {put:?}");
    }
    Ok(())
}

/// Tells whether the flipped bit made a revision larger, so that the client rightly takes every
/// true answer for an old one.
async fn has_seen_the_future(rig: &Rig) -> Result<bool, BoxError> {
    let is_stale = AtomicBool::new(false);
    let answered = || async {
        match rig.client.get("k").timeout(TIMEOUT).await {
            Ok(_) => true,
            Err(error) => {
                let stale = matches!(error.kind(), ErrorKind::StaleRead { .. });
                is_stale.fetch_or(stale, Ordering::Relaxed);
                stale
            }
        }
    };
    rig.ctx.until("the client to be answered", SOON, answered).await?;
    Ok(is_stale.into_inner())
}
