//! Runs the suite on one runtime, against every etcd there is.

use crate::results::Subject;
use crate::trial::{Transport, caught, name_of, trial};
use crate::{Case, CaseFuture, CaseResult, Ctx, cases, simulated};
use etcd3_client::Runtime;
use etcd3_lab::etcd::{self, Binary};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// Names the variable that makes heavy cases run everywhere.
const ALL: &str = "ETCD3_ALL";
/// Names the variable that turns the rotation of heavy cases: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";
/// The runtimes among which heavy cases rotate.
const ROTATION: [&str; 3] = ["tokio", "smol", "async-std"];
/// Servers and clients of a case use several processes, but hardly the CPU.
const THREADS: usize = 4;

/// A runtime that the suite can run on.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The name of the runtime, in results.
    pub name: &'static str,
    /// Where cases run.
    pub place: Place,
}

/// Where the cases of a suite run.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// On this machine, against processes.
    Machine {
        /// Makes the runtime of a client; called within `block_on`.
        runtime: fn() -> Arc<dyn Runtime>,
        /// Runs a case to its end.
        block_on: fn(CaseFuture) -> CaseResult,
    },
    /// In simulations of their own, against the model.
    Simulation {
        /// The seed of each simulation.
        seed: u64,
    },
}

/// Runs the suite, as the `main` of a test binary.
pub fn main(host: Host) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let trials = match host.place {
        Place::Simulation { seed } => simulated::trials(host.name, seed),
        Place::Machine { runtime, block_on } => {
            arguments.test_threads.get_or_insert(THREADS);
            let fetched = etcd::fetch();
            for missing in &fetched.missing {
                eprintln!("{missing}");
            }
            if fetched.binaries.is_empty() {
                eprintln!("there is no etcd to test against");
                return ExitCode::FAILURE;
            }
            machine(host, &fetched.binaries, move |case, etcd, transport| {
                block_on(Box::pin(async move {
                    let ctx = Ctx::new(runtime(), etcd.into(), host.name);
                    let ctx = if transport == Transport::Tls { ctx.over_tls()? } else { ctx };
                    case.run_in(ctx).await
                }))
            })
        }
    };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// All cases, against real servers.
fn machine(
    host: Host,
    binaries: &[Binary],
    run: impl Fn(Case, Binary, Transport) -> CaseResult + Copy + Send + 'static,
) -> Vec<Trial> {
    let turn = turn();
    let of_case = |case: &'static Case| {
        versions(case, binaries, host.name, turn).into_iter().flat_map(move |etcd| {
            let tls = case.needs.and_tls.then_some(Transport::Tls);
            [Transport::Plain].into_iter().chain(tls).map(move |transport| {
                let (name, etcd) = (name_of(case, transport), etcd.clone());
                let subject =
                    Subject { runtime: host.name, case: *case, name, version: etcd.version };
                trial(subject, move || caught(|| run(*case, etcd, transport)))
            })
        })
    };
    cases::all().flat_map(of_case).collect()
}

/// The servers that a case runs against on this runtime. A heavy case runs in one of the cells of a
/// table of runtimes and versions, the next one with each turn.
fn versions<'a>(
    case: &Case,
    binaries: &'a [Binary],
    runtime: &str,
    turn: Option<usize>,
) -> Vec<&'a Binary> {
    let since = case.needs.since;
    let mut fitting: Vec<_> =
        binaries.iter().filter(|etcd| since.is_none_or(|since| etcd.version >= since)).collect();
    if case.needs.is_versionless {
        fitting.drain(..fitting.len().saturating_sub(1));
    }
    let Some(turn) = turn.filter(|_| case.needs.is_heavy && !fitting.is_empty()) else {
        return fitting;
    };
    let sum = case.name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    let cell = sum.wrapping_add(turn) % (ROTATION.len() * fitting.len());
    // A runtime of somebody else's stands in for the one whose turn it is.
    let is_mine = !ROTATION.contains(&runtime) || ROTATION[cell % ROTATION.len()] == runtime;
    if is_mine { vec![fitting[cell / ROTATION.len()]] } else { Vec::new() }
}

/// The turn of heavy cases; `None` when all of their cells are to run.
fn turn() -> Option<usize> {
    if std::env::var_os(ALL).is_some() {
        return None;
    }
    Some(std::env::var(TURN).ok().and_then(|turn| turn.parse().ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_lab::etcd::Version;
    use std::collections::BTreeSet;

    fn binaries() -> Vec<Binary> {
        let binary = |version: &str| Binary {
            version: version.parse().unwrap(),
            path: version.into(),
            source: "a test".into(),
        };
        ["3.4.23", "3.5.16", "3.5.30"].map(binary).to_vec()
    }

    /// The cells in which a case runs in a turn.
    fn cells(case: &Case, turn: Option<usize>) -> Vec<(&'static str, Version)> {
        let binaries = binaries();
        let of = |runtime| versions(case, &binaries, runtime, turn).into_iter();
        ROTATION.into_iter().flat_map(|name| of(name).map(move |it| (name, it.version))).collect()
    }

    #[test]
    fn nine_turns_bring_a_heavy_case_to_every_cell_once() {
        let mut cases = 0;
        for case in cases::all().filter(|case| case.needs.is_heavy) {
            for first in [0, 7, 1_000_000] {
                let turns = ROTATION.len() * binaries().len();
                let each: Vec<_> =
                    (first..first + turns).flat_map(|turn| cells(case, Some(turn))).collect();
                let distinct: BTreeSet<_> = each.iter().copied().collect();
                assert_eq!(each.len(), turns, "{}: one cell in each turn", case.name);
                let everywhere: BTreeSet<_> = cells(case, None).into_iter().collect();
                assert_eq!(distinct, everywhere, "{}", case.name);
            }
            cases += 1;
        }
        assert!(cases > 20);
    }

    #[test]
    fn other_cases_run_everywhere_in_every_turn_or_against_the_newest() {
        for case in cases::all().filter(|case| !case.needs.is_heavy) {
            assert_eq!(cells(case, Some(3)), cells(case, None), "{}", case.name);
            if case.needs.is_versionless {
                let newest = binaries().pop().unwrap().version;
                assert_eq!(cells(case, Some(3)), ROTATION.map(|name| (name, newest)));
            }
        }
    }

    #[test]
    fn cases_move_on_at_different_times() {
        let heavy = cases::all().filter(|case| case.needs.is_heavy);
        let busy: BTreeSet<_> = heavy.flat_map(|case| cells(case, Some(0))).collect();
        assert!(busy.len() >= 7, "{busy:?}");
    }
}
