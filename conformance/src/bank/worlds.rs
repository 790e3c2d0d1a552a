//! Banks in simulated worlds, many at once.

use etcd3_sim::bank::Tally;
use etcd3_sim::bank::world::{Plan, simulate, trace};
use etcd3_sim::faults::shrink;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// How many violations are told.
const MAX_TOLD: usize = 5;

/// Runs so many worlds; tells whether all held, and all that may happen did.
pub fn run_worlds(seeds: u64) -> bool {
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let result = simulate(&Plan::draw(seed));
                    results.lock().expect("no worker panics").push((seed, result));
                }
            });
        }
    });
    let results = results.into_inner().expect("no worker panics");
    let mut total = Tally::default();
    let mut failed = Vec::new();
    for (seed, result) in results {
        match result {
            Ok(tally) => total.add(&tally),
            Err(why) => failed.push((seed, why)),
        }
    }
    failed.sort();
    for (seed, why) in failed.iter().take(MAX_TOLD) {
        println!("seed {seed} failed: {why}\n  again: cargo xtask bank --seed {seed}");
    }
    let held = seeds - failed.len() as u64;
    println!("{held} of {seeds} worlds held, in {:.1} s: {total}", started.elapsed().as_secs_f64());
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
    let why = match simulate(&plan) {
        Ok(tally) => {
            println!("seed {seed} held: {tally}");
            return true;
        }
        Err(why) => why,
    };
    println!("seed {seed} failed: {why}\nthe faults that it takes:");
    let with = |faults: &[_]| Plan { faults: faults.to_vec(), ..plan.clone() };
    let faults = shrink(plan.faults.clone(), |faults| simulate(&with(faults)).is_err());
    for fault in &faults {
        println!("  {:>8.3} s  {:?}, {:?}", fault.at.as_secs_f64(), fault.fault, fault.lasts);
    }
    let path = folder.join(format!("bank-{seed}.html"));
    match trace(&with(&faults)).write_html(&path) {
        Ok(()) => println!("drawn: {}", path.display()),
        Err(error) => println!("not drawn, {}: {error}", path.display()),
    }
    false
}
