//! Runs many worlds, one for each seed, and says what came of them.
//!
//! `worlds --seeds N [--from SEED]` runs N worlds; `worlds --seed SEED` runs one again.

#![forbid(unsafe_code)]

mod batch;
mod tally;
mod watching;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut seeds = 100;
    let mut from = 0;
    let mut only = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().and_then(|value| value.parse().ok());
        match (name.as_str(), value) {
            ("--seeds", Some(value)) => seeds = value,
            ("--from", Some(value)) => from = value,
            ("--seed", Some(value)) => only = Some(value),
            _ => {
                eprintln!("usage: worlds [--seeds N] [--from SEED] | --seed SEED");
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
