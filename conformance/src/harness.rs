//! Runs the suite on one runtime, against every etcd there is.

use crate::{Case, CaseFuture, CaseResult, Ctx, cases, results};
use etcd3_client::Runtime;
use etcd3_lab::etcd::{self, Binary};
use libtest_mimic::{Arguments, Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// No case may take longer.
const CASE_LIMIT: Duration = Duration::from_secs(150);
/// The runtimes among which heavy cases rotate.
const ROTATION: [&str; 3] = ["tokio", "smol", "async-std"];
/// Servers and clients of a case use several processes, but hardly the CPU.
const THREADS: usize = 4;

/// A runtime that the suite can run on.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The name of the runtime, in results.
    pub name: &'static str,
    /// Makes the runtime of a client; called within `block_on`.
    pub runtime: fn() -> Arc<dyn Runtime>,
    /// Runs a case to its end.
    pub block_on: fn(CaseFuture) -> CaseResult,
}

/// Runs the suite, as the `main` of a test binary.
pub fn main(host: Host) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let fetched = etcd::fetch();
    for missing in &fetched.missing {
        eprintln!("{missing}");
    }
    if fetched.binaries.is_empty() {
        eprintln!("there is no etcd to test against");
        return ExitCode::FAILURE;
    }
    let all = std::env::var_os("ETCD3_ALL").is_some();
    let mut trials = Vec::new();
    for case in cases::all() {
        for etcd in versions(case, &fetched.binaries, host.name, all) {
            trials.push(trial(host, *case, etcd.clone()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The servers that a case runs against on this runtime.
fn versions<'a>(
    case: &Case,
    binaries: &'a [Binary],
    runtime: &str,
    all: bool,
) -> impl Iterator<Item = &'a Binary> {
    let since = case.needs.since;
    let fitting: Vec<_> =
        binaries.iter().filter(|etcd| since.is_none_or(|since| etcd.version >= since)).collect();
    let sum = case.name.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
    let turn = ROTATION.iter().position(|name| *name == runtime).unwrap_or(sum % ROTATION.len());
    let is_one_of_many = case.needs.is_heavy && !all;
    let mine = !is_one_of_many || sum % ROTATION.len() == turn;
    let newest = fitting.len().saturating_sub(1);
    let only = match (case.needs.is_versionless, is_one_of_many) {
        (true, _) => Some(newest),
        (false, true) => Some((sum / ROTATION.len()) % fitting.len().max(1)),
        (false, false) => None,
    };
    fitting
        .into_iter()
        .enumerate()
        .filter(move |(index, _)| mine && only.is_none_or(|only| only == *index))
        .map(|(_, etcd)| etcd)
}

fn trial(host: Host, case: Case, etcd: Binary) -> Trial {
    let short = case.name.rsplit("cases::").next().unwrap_or(case.name);
    let name = format!("{short}::etcd_{}", etcd.version);
    Trial::test(name, move || {
        let version = etcd.version.to_string();
        let started = std::time::Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(host, case, etcd)));
        let passed = matches!(outcome, Ok(Ok(())));
        results::record(&case, host.name, &version, passed, started.elapsed());
        match outcome {
            Ok(result) => result.map_err(|error| Failed::from(error.to_string())),
            Err(panic) => Err(Failed::from(message(&*panic))),
        }
    })
}

fn run(host: Host, case: Case, etcd: Binary) -> CaseResult {
    (host.block_on)(Box::pin(async move {
        let ctx = Ctx { rt: (host.runtime)(), etcd, runtime: host.name };
        let body = (case.run)(ctx.clone());
        match ctx.within(CASE_LIMIT, body).await {
            Some(result) => result,
            None => Err(format!("took longer than {CASE_LIMIT:?}").into()),
        }
    }))
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panicked".to_owned())
}
