//! Many worlds on all cores, and the line of their counters.
// Worlds are deterministic; how long the machine takes for a batch of them is not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::log::Counters;
use crate::world::{Plan, simulate};
use etcd3_sim::faults::shrink;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

/// Runs one world again; a failing one is shrunk.
pub(crate) fn again(seed: u64) -> bool {
    let mut plan = Plan::draw(seed);
    println!("seed {seed}: {} contenders", plan.contenders);
    let result = simulate(&plan);
    if let Err(failure) = &result {
        println!("failed: {failure}");
        let base = plan.clone();
        plan.faults = shrink(plan.faults, |faults| {
            simulate(&Plan { faults: faults.to_vec(), ..base.clone() }).is_err()
        });
        println!("the faults that it takes:");
    }
    for fault in &plan.faults {
        let (at, lasts) = (fault.at.as_secs_f64(), fault.lasts.as_secs_f64());
        println!("  {at:>8.3} s  {:?}, {lasts:.3} s", fault.fault);
    }
    if let Ok(counters) = &result {
        println!("held: {counters}");
    }
    result.is_ok()
}

/// Runs a batch of worlds; false when one failed, or the batch proves too little.
pub(crate) fn run(from: u64, seeds: u64) -> bool {
    let started = Instant::now();
    let next = AtomicU64::new(from);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let result = simulate(&Plan::draw(seed));
                    results.lock().expect("no worker panics").push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no worker panics");
    results.sort_by_key(|(seed, _)| *seed);
    let mut total = Counters::default();
    let mut failures = Vec::new();
    for (seed, result) in &results {
        match result {
            Ok(counters) => total.add(counters),
            Err(failure) => failures.push((seed, failure)),
        }
    }
    for (seed, failure) in failures.iter().take(5) {
        println!("seed {seed} failed: {failure}");
        println!("  again: cargo xtask contenders --seed {seed}");
    }
    println!("{} of {seeds} worlds held: {total}", seeds - failures.len() as u64);
    println!("{:.1} s on this machine", started.elapsed().as_secs_f64());
    let missing: Vec<_> = total.sometimes().into_iter().filter(|(_, count)| *count == 0).collect();
    if seeds >= 100 {
        for (what, _) in &missing {
            println!("FAILED: it never happened that {what}");
        }
    }
    failures.is_empty() && (seeds < 100 || missing.is_empty())
}
