//! Many worlds on all cores, and the line of their counters.
// Worlds are deterministic; how long the machine takes for a batch of them is not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::log::Counters;
use crate::world::{Plan, simulate};
use etcd3_sim::{Batch, diagnose};
use std::time::Instant;

/// Runs one world again; a failing one is shrunk.
pub(crate) fn again(seed: u64) -> bool {
    let plan = Plan::draw(seed);
    println!("seed {seed}: {} contenders", plan.contenders);
    let with = |faults: &[_]| simulate(&Plan { faults: faults.to_vec(), ..plan.clone() });
    match diagnose(seed, &plan.faults, with) {
        Ok(counters) => {
            for planned in &plan.faults {
                println!("  {planned}");
            }
            println!("held: {counters}");
            true
        }
        Err(found) => {
            println!("{found}");
            false
        }
    }
}

/// Runs a batch of worlds; false when one failed, or the batch proves too little.
pub(crate) fn run(from: u64, seeds: u64) -> bool {
    let started = Instant::now();
    let Batch { held, failed } = Batch::run(from..from + seeds, |seed| simulate(&Plan::draw(seed)));
    let mut total = Counters::default();
    for counters in &held {
        total.add(counters);
    }
    for (seed, failure) in failed.iter().take(5) {
        println!("seed {seed} failed: {failure}");
        println!("  again: cargo xtask contenders --seed {seed}");
    }
    println!("{} of {seeds} worlds held: {total}", held.len());
    println!("{:.1} s on this machine", started.elapsed().as_secs_f64());
    let missing: Vec<_> = total.sometimes().into_iter().filter(|(_, count)| *count == 0).collect();
    if seeds >= 100 {
        for (what, _) in &missing {
            println!("FAILED: it never happened that {what}");
        }
    }
    failed.is_empty() && (seeds < 100 || missing.is_empty())
}
