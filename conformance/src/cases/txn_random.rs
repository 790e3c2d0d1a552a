//! Random transactions: the check of the client agrees with that of the server.

use super::kv_expect::DUPLICATE_KEY;
use super::txn_wire::{Branches, Step, nested};
use crate::{Case, CaseResult, Ctx, case};
use etcd3_core::Limits;
use etcd3_core::rng::Rng;

pub(super) const CASES: &[Case] = &[case!(the_local_check_is_that_of_the_server, [])];

const KEYS: [&str; 4] = ["a", "b", "c", "d"];
const ROUNDS: u64 = 600;

fn pick(rng: &mut Rng) -> &'static str {
    KEYS[usize::try_from(rng.below(KEYS.len() as u64)).unwrap()]
}

/// A range over some of the keys: forwards, seldom empty or backwards.
fn range(rng: &mut Rng) -> Step {
    let (start, end) = (pick(rng), pick(rng));
    if start > end && rng.below(4) > 0 {
        return Step::DeleteRange(end, start);
    }
    Step::DeleteRange(start, end)
}

fn step(rng: &mut Rng, depth: u32) -> Step {
    match rng.below(if depth < 3 { 12 } else { 8 }) {
        0..=2 => Step::Put(pick(rng)),
        3 | 4 => Step::Delete(pick(rng)),
        5 => range(rng),
        6 if rng.below(3) == 0 => Step::DeleteFrom(pick(rng)),
        6 | 7 => Step::Get(pick(rng)),
        _ => nested(steps(rng, depth + 1), steps(rng, depth + 1)),
    }
}

fn steps(rng: &mut Rng, depth: u32) -> Vec<Step> {
    (0..rng.below(4)).map(|_| step(rng, depth)).collect()
}

/// K32
async fn the_local_check_is_that_of_the_server(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..ROUNDS {
        let mut rng = Rng::new(seed);
        let branches = Branches { then: steps(&mut rng, 0), otherwise: steps(&mut rng, 0) };
        let mut typed = branches.typed();
        let here = typed.request(&Limits::default());
        let there = client.rpc(branches.raw()).await;
        match (here, there) {
            (Ok(message), Ok(_)) => {
                assert_eq!(*message, branches.raw(), "seed {seed}: the same on the wire");
                taken += 1;
            }
            (Err(here), Err(there)) => {
                DUPLICATE_KEY.is_foreseen(&here);
                DUPLICATE_KEY.is_answered(&there);
                refused += 1;
            }
            (here, there) => panic!("seed {seed}: {branches:?} here {here:?}, there {there:?}"),
        }
    }
    assert!(taken > ROUNDS / 5 && refused > ROUNDS / 5, "{taken} taken, {refused} refused");
    Ok(())
}
