//! Runs many worlds in which clients contend for locks, elections and queues while things go wrong,
//! and says what came of them.
//!
//! `contenders --seeds N [--from SEED]` runs N worlds; `contenders --seed SEED` runs one again, and
//! shrinks its faults if it fails.

#![forbid(unsafe_code)]

mod batch;
mod contender;
mod held;
mod judge;
mod log;
mod queue;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut seeds, mut from, mut only) = (100, 0, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default().parse();
        match (name.as_str(), value) {
            ("--seeds", Ok(value)) => seeds = value,
            ("--from", Ok(value)) => from = value,
            ("--seed", Ok(value)) => only = Some(value),
            _ => {
                eprintln!("usage: contenders [--seeds N] [--from SEED] | --seed SEED");
                return ExitCode::from(2);
            }
        }
    }
    let good = match only {
        Some(seed) => batch::again(seed),
        None => batch::run(from, seeds),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
