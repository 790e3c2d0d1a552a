//! Many worlds on all cores, and the figures of the batch.
// Worlds are deterministic; how long the machine takes for a batch of them is not.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

use crate::tally::Tally;
use crate::world::{Plan, Report, simulate, trace};
use etcd3_sim::{Batch, diagnose};
use std::path::Path;
use std::time::Instant;

/// A batch below these medians proves too little.
const MEDIAN_OPERATIONS: u64 = 200;
const MEDIAN_FAULTS: u64 = 5;

/// Where drawings go to, if anywhere.
pub(crate) type Folder<'a> = Option<&'a Path>;

/// Draws a world.
fn draw(plan: &Plan, folder: &Path) {
    let path = folder.join(format!("seed-{}.html", plan.seed));
    match trace(plan).write_html(&path) {
        Ok(()) => println!("  drawn: {}", path.display()),
        Err(error) => println!("  not drawn, {}: {error}", path.display()),
    }
}

/// Runs one world again, and shows its faults; a failing one is shrunk and drawn, one that holds is
/// drawn if that is wanted.
pub(crate) fn again(seed: u64, folder: Folder<'_>, draws_all: bool) -> bool {
    let plan = Plan::draw(seed);
    println!("seed {seed}: {} clients, {} operations each", plan.clients, plan.operations);
    let with = |faults: &[_]| Plan { faults: faults.to_vec(), ..plan.clone() };
    match diagnose(seed, &plan.faults, |faults| simulate(&with(faults))) {
        Ok(report) => {
            for planned in &plan.faults {
                println!("  {planned}");
            }
            if let Some(folder) = folder.filter(|_| draws_all) {
                draw(&plan, folder);
            }
            println!("held: {:?}\n{:?}", report.stats, report.tally);
            true
        }
        Err(found) => {
            println!("{found}");
            if let Some(folder) = folder {
                draw(&with(&found.faults), folder);
            }
            false
        }
    }
}

/// Runs a batch of worlds; false when one failed, or the batch proves too little.
pub(crate) fn run(from: u64, seeds: u64, folder: Folder<'_>) -> bool {
    let started = Instant::now();
    let batch = Batch::run(from..from + seeds, |seed| simulate(&Plan::draw(seed)));
    for (seed, failure) in batch.failed.iter().take(5) {
        println!("seed {seed} failed: {failure}");
        println!("  again: cargo xtask sim --seed {seed}");
        if let Some(folder) = folder {
            draw(&Plan::draw(*seed), folder);
        }
    }
    let proves_enough = summarise(&batch.held, seeds);
    println!("{:.1} s on this machine", started.elapsed().as_secs_f64());
    batch.failed.is_empty() && proves_enough
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Prints the figures of the worlds that held; false when these prove too little.
fn summarise(reports: &[Report], seeds: u64) -> bool {
    let mut good = true;
    let mut total = Tally::default();
    for report in reports {
        total.add(&report.tally);
    }
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    let medians = (
        median(reports.iter().map(|r| r.tally.operations).collect()),
        median(reports.iter().map(|r| r.tally.faults).collect()),
    );
    println!("{} of {seeds} worlds held", reports.len());
    println!(
        "{} virtual seconds, {} steps, {} connections, {} faults",
        sum(|r| r.stats.elapsed.as_secs()),
        sum(|r| r.stats.steps),
        sum(|r| r.stats.connections),
        total.faults
    );
    println!(
        "{} operations: {} writes acknowledged, {} rejected, {} not sent, {} unknown",
        total.operations, total.acknowledged, total.rejected, total.not_sent, total.unknown
    );
    let watched = &total.watched;
    println!(
        "{} watches: {} events, {} of progress, {} resumptions, {} compactions, {} excused; {} \
         states of listings and caches",
        watched.watches,
        watched.events,
        watched.progress,
        watched.resumed,
        watched.compacted,
        watched.excused,
        watched.states
    );
    println!("{}", total.leased);
    println!("medians of a world: 3 members, {} operations, {} faults", medians.0, medians.1);
    if medians.0 < MEDIAN_OPERATIONS || medians.1 < MEDIAN_FAULTS {
        println!("FAILED: a batch needs medians of {MEDIAN_OPERATIONS} and {MEDIAN_FAULTS}");
        good = false;
    }
    for (what, count) in total.sometimes() {
        println!("  sometimes {what}: {count}");
        if count == 0 && seeds >= 100 {
            println!("FAILED: it never happened");
            good = false;
        }
    }
    good
}
