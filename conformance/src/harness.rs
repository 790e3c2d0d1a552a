//! Runs the suite on one runtime, against every etcd there is.

use crate::results::{self, Subject};
use crate::trial::{Encryption, caught, name_of, trial};
use crate::turns::Turn;
use crate::{Case, CaseFuture, CaseResult, Ctx, cases, simulated};
use etcd3::runtime::Runtime;
use etcd3_lab::etcd::{self, Binary};
use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;
use std::sync::Arc;

/// Servers and clients of a case use several processes, but hardly the CPU.
const THREADS: usize = 6;

/// A runtime that the suite can run on.
#[derive(Debug, Clone, Copy)]
pub struct SuiteRuntime {
    /// The name of the runtime, in results.
    pub name: &'static str,
    /// Where cases run.
    pub environment: Environment,
}

/// Where the cases of a suite run.
#[derive(Debug, Clone, Copy)]
pub enum Environment {
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
pub fn main(suite: SuiteRuntime) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let (trials, all) = match suite.environment {
        Environment::Simulation { seed } => {
            let trials = simulated::trials(suite.name, seed);
            let all = due(&trials).count();
            (trials, all)
        }
        Environment::Machine { runtime, block_on } => {
            arguments.test_threads.get_or_insert(THREADS);
            let fetched = etcd::fetch();
            for missing in &fetched.missing {
                eprintln!("{missing}");
            }
            if fetched.binaries.is_empty() {
                eprintln!("there is no etcd to test against");
                return ExitCode::FAILURE;
            }
            let run = move |case: Case, etcd: Binary, encryption| {
                block_on(Box::pin(async move {
                    let ctx = Ctx::new(runtime(), etcd.into(), suite.name);
                    let ctx = if encryption == Encryption::Tls { ctx.over_tls()? } else { ctx };
                    case.run_in(ctx).await
                }))
            };
            (machine(suite, &fetched.binaries, run), all_trials(&fetched.binaries))
        }
    };
    if arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list {
        results::plan(suite.name, due(&trials), all);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns the names of the trials that are to run.
fn due(trials: &[Trial]) -> impl Iterator<Item = &str> {
    trials.iter().filter(|trial| !trial.has_ignored_flag()).map(Trial::name)
}

/// All cases, against real servers.
fn machine(
    suite: SuiteRuntime,
    binaries: &[Binary],
    run: impl Fn(Case, Binary, Encryption) -> CaseResult + Copy + Send + 'static,
) -> Vec<Trial> {
    let turn = Turn::from_environment();
    let of_case = |case: &'static Case| {
        turn.servers(case, binaries, suite.name).iter().flat_map(move |etcd| {
            encryptions(case).map(move |encryption| {
                let (name, etcd) = (name_of(case, encryption), etcd.clone());
                let subject =
                    Subject { runtime: suite.name, case: *case, name, version: etcd.version };
                trial(subject, move || caught(|| run(*case, etcd, encryption)))
            })
        })
    };
    cases::all().flat_map(of_case).collect()
}

/// Counts the trials of all turns on one runtime.
fn all_trials(binaries: &[Binary]) -> usize {
    let of_case = |case| Turn::All.servers(case, binaries, "").len() * encryptions(case).count();
    cases::all().map(of_case).sum()
}

/// Returns in which ways, in plain text and over TLS, a case runs.
fn encryptions(case: &Case) -> impl Iterator<Item = Encryption> + use<> {
    let tls = case.needs.and_tls.then_some(Encryption::Tls);
    [Encryption::Plain].into_iter().chain(tls)
}
