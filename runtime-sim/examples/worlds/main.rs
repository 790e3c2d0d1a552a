//! Runs many worlds, one for each seed, and says what came of them.
//!
//! `worlds --seeds N [--from SEED]` runs N worlds; `worlds --seed SEED` runs one again. With
//! `--drawings FOLDER`, those that fail are drawn, and one that runs alone with `--draw`, too.

#![forbid(unsafe_code)]

mod batch;
mod leasing;
mod tally;
mod watching;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str =
    "usage: worlds [--seeds N] [--from SEED] | --seed SEED [--draw]; with --drawings FOLDER";

fn main() -> ExitCode {
    let mut seeds = 100;
    let mut from = 0;
    let mut only = None;
    let mut draws_all = false;
    let mut folder: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--draw" {
            draws_all = true;
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        match (name.as_str(), value.parse()) {
            ("--seeds", Ok(value)) => seeds = value,
            ("--from", Ok(value)) => from = value,
            ("--seed", Ok(value)) => only = Some(value),
            ("--drawings", _) if !value.is_empty() => folder = Some(value.into()),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    let folder = folder.as_deref();
    let good = match only {
        Some(seed) => batch::again(seed, folder, draws_all),
        None => batch::run(from, seeds, folder),
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
