//! A steady load of reads and writes on one client, and what became of every call.
//!
//! The long runs (`cargo xtask failover`, `soak`, `rolling`) share it. Their faults are made from a
//! thread that may block; the calls run on the runtime under test.

mod args;
mod calls;
mod runtime;
mod table;
mod verify;
mod workers;

pub use args::{Args, TortureArgs};
pub use calls::{
    CALL_COLUMNS, CallFailure, CallKind, CallRecord, call_cells, count_failed, longest_gap,
    percentile,
};
pub use runtime::{BlockingRuntime, RUNTIMES};
pub(crate) use runtime::{pause, spawn};
pub use table::{Table, millis, offset};
pub use verify::{Stored, Verification, check_calls, read_all};
pub use workers::{Load, PREFIX, Plan};

use crate::BoxError;
use etcd3_lab::etcd::{self, Binary};
use etcd3_lab::{Cluster, Member, until};
use std::process::ExitCode;
use std::time::Duration;

/// What ends a long run early: a sentence.
pub type Error = BoxError;

/// How long a cluster may take to be healthy again after a fault has ended.
const HEALTHY_LIMIT: Duration = Duration::from_secs(60);

/// How long a client may take to use a member that was away, and how many reads make a use.
const USE_LIMIT: Duration = Duration::from_secs(10);
const USES: f64 = 8.0;

/// Returns the versions to run against: all there are, or one of them.
///
/// # Errors
///
/// When there is none.
pub fn versions(wanted: Option<&str>) -> Result<Vec<Binary>, Error> {
    let fetched = etcd::fetch();
    for missing in &fetched.missing {
        println!("!!! {missing}");
    }
    let mut binaries = fetched.binaries;
    if let Some(wanted) = wanted {
        binaries.retain(|binary| binary.version.to_string() == wanted);
    }
    if binaries.is_empty() {
        return Err("There is no etcd to run against.".into());
    }
    Ok(binaries)
}

/// Prints whether all limits held, or why that is not known, and makes it the exit code.
pub fn exit_code(result: Result<bool, Error>) -> ExitCode {
    let is_good = match result {
        Ok(is_good) => {
            println!(
                "{}",
                if is_good { "all limits held" } else { "limits are BROKEN, see above" }
            );
            is_good
        }
        Err(error) => {
            eprintln!("{error}");
            false
        }
    };
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Starts three members with the timing that etcd has by default, behind proxies between them.
///
/// # Errors
///
/// When a member does not start.
pub fn three_members(etcd: &Binary) -> Result<Cluster, Error> {
    three_members_with(etcd, &[])
}

/// Starts three members like [`three_members`], with more flags.
///
/// # Errors
///
/// When a member does not start.
pub fn three_members_with(etcd: &Binary, flags: &[(&str, &str)]) -> Result<Cluster, Error> {
    let builder = Cluster::builder().version(etcd).heartbeat(100).election(1000);
    let builder = flags.iter().fold(builder, |builder, (name, value)| builder.flag(name, value));
    let cluster = builder.behind_peer_proxy().start()?;
    wait_healthy(&cluster)?;
    Ok(cluster)
}

/// Waits until every member answers a linearizable read, and returns the leader's index.
///
/// # Errors
///
/// When one does not within a minute.
pub fn wait_healthy(cluster: &Cluster) -> Result<usize, Error> {
    for member in cluster.members() {
        let what = format!("{} to answer a linearizable read", member.name());
        until(HEALTHY_LIMIT, &what, || Ok(member.range("healthy").is_ok().then_some(())))?;
    }
    Ok(cluster.wait_leader()?)
}

/// Returns the members in the order in which faults hit them: the leader last, so that hitting the
/// others does not change who leads.
pub fn leader_last(cluster: &Cluster, leader: usize) -> Vec<usize> {
    (0..cluster.len()).filter(|&member| member != leader).chain([leader]).collect()
}

/// Waits until the load reads from a member, and tells whether it does: a fault of another one
/// would not be noticed.
pub fn is_used(member: &Member) -> bool {
    let reads = || member.metrics().ok().map(|metrics| reads_in(&metrics));
    let Some(before) = reads() else { return false };
    let rise = || Ok(reads().filter(|now| *now >= before + USES));
    until(USE_LIMIT, "reads from a member", rise).is_ok()
}

/// Returns the reads that a member has been asked for.
fn reads_in(metrics: &str) -> f64 {
    let rows = metrics.lines().filter(|row| row.starts_with("grpc_server_started_total"));
    let rows = rows.filter(|row| row.contains("\"Range\""));
    rows.filter_map(|row| row.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
