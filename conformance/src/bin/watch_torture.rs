//! Watches on a real cluster under faults: `cargo xtask watch-torture`.
#![forbid(unsafe_code)]

use etcd3_conformance::load::{self, Args, BlockingRuntime, Error, RUNTIMES, versions};
use etcd3_conformance::torture::{self, Scene, Schedule};
use std::process::ExitCode;
use std::time::Duration;

/// How long things go wrong without `--seconds`, and in the short form.
const SECONDS: u64 = 120;
const SHORT_SECONDS: u64 = 12;
/// The variable with the number of the turn: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";

fn main() -> ExitCode {
    load::exit_code(run())
}

/// Runs everything that was asked for; tells whether all limits held.
fn run() -> Result<bool, Error> {
    let args = Args::from_env(&["--runtime", "--version", "--seconds", "--seed"], &["--short"])?;
    let number = |name: &str| match args.value(name) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("{name} takes a number.")),
    };
    let turn = std::env::var(TURN).ok().and_then(|turn| turn.parse::<u64>().ok());
    let mut binaries = versions(args.value("--version"))?;
    let mut runtimes = args.runtimes()?;
    let mut seconds = SECONDS;
    if args.has("--short") {
        let turn = usize::try_from(turn.unwrap_or_default())?;
        binaries = vec![binaries.swap_remove(turn / RUNTIMES.len() % binaries.len())];
        runtimes = vec![RUNTIMES[turn % RUNTIMES.len()]];
        seconds = SHORT_SECONDS;
    }
    let lasts = Duration::from_secs(number("--seconds")?.unwrap_or(seconds));
    let seed = number("--seed")?.or(turn).unwrap_or(1);
    let mut is_good = true;
    for name in runtimes {
        let runtime = BlockingRuntime::named(name)?;
        for etcd in &binaries {
            println!("watch torture on {name} against etcd {}, seed {seed}", etcd.version);
            let scene = Scene::torture(seed);
            let report = torture::run(&runtime, etcd, &scene, &Schedule::Drawn(lasts))?;
            println!("{report}");
            is_good &= report.is_good();
        }
    }
    Ok(is_good)
}
