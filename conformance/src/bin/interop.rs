//! Recipes beside etcd's own tools: `cargo xtask interop`.
#![forbid(unsafe_code)]

use etcd3_conformance::interop::{Contended, locks};
use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, versions};
use std::process::ExitCode;

/// What is contended for.
const ALL: [Contended; 2] = [Contended::Lock, Contended::Election];

/// What a whole run does.
const fn whole(contended: Contended) -> locks::Plan {
    locks::Plan { contended, of_each: 10, turns: 10 }
}

/// What a short one does, on the newest version alone.
const fn short(contended: Contended) -> locks::Plan {
    locks::Plan { contended, of_each: 4, turns: 3 }
}

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all is well.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version"], &["--short"])?;
    let mut binaries = versions(args.value("--version"))?;
    let plan = if args.has("--short") { short } else { whole };
    if args.has("--short") {
        binaries.drain(..binaries.len().saturating_sub(1));
    }
    let mut is_good = true;
    for name in args.runtimes()? {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            for contended in ALL {
                is_good &= locks::run(&runtime, etcd, plan(contended))?;
            }
        }
    }
    Ok(is_good)
}
