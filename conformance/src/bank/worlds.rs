//! Banks in simulated worlds, many at once.

use etcd3_sim::bank::Tally;
use etcd3_sim::bank::world::{Plan, simulate, trace};
use etcd3_sim::{Batch, diagnose};
use std::path::Path;
use std::time::Instant;

/// How many violations are told.
const MAX_TOLD: usize = 5;

/// Runs so many worlds; tells whether all held, and all that may happen did.
pub fn run_worlds(seeds: u64) -> bool {
    let started = Instant::now();
    let Batch { held, failed } = Batch::run(0..seeds, |seed| simulate(&Plan::draw(seed)));
    let mut total = Tally::default();
    for tally in &held {
        total.add(tally);
    }
    for (seed, why) in failed.iter().take(MAX_TOLD) {
        println!("seed {seed} failed: {why}\n  again: cargo xtask bank --seed {seed}");
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{} of {seeds} worlds held, in {seconds:.1} s: {total}", held.len());
    let rare = [
        ("conflicts", total.conflicts),
        ("closures that gave up", total.aborted),
        ("transactions of unknown outcome that took place", total.unknown_applied),
        ("those that did not", total.unknown - total.unknown_applied),
        ("transactions that failed", total.failed),
    ];
    let missing: Vec<&str> =
        rare.iter().filter(|(_, count)| *count == 0).map(|(what, _)| *what).collect();
    if !missing.is_empty() {
        println!("BROKEN it never happened: {}", missing.join(", "));
    }
    failed.is_empty() && missing.is_empty()
}

/// Runs one world again; one that fails is shrunk, and drawn into this folder.
pub fn again(seed: u64, folder: &Path) -> bool {
    let plan = Plan::draw(seed);
    let with = |faults: &[_]| Plan { faults: faults.to_vec(), ..plan.clone() };
    let found = match diagnose(seed, &plan.faults, |faults| simulate(&with(faults))) {
        Ok(tally) => {
            println!("seed {seed} held: {tally}");
            return true;
        }
        Err(found) => found,
    };
    println!("{found}");
    let path = folder.join(format!("bank-{seed}.html"));
    match trace(&with(&found.faults)).write_html(&path) {
        Ok(()) => println!("drawn: {}", path.display()),
        Err(error) => println!("not drawn, {}: {error}", path.display()),
    }
    false
}
