//! Each member is killed, frozen and cut off in turn, and every call of one client is accounted
//! for: `cargo xtask failover`.
//!
//! Three real members with the timing that etcd has by default; one client with the defaults and
//! all endpoints; readers and writers at a steady rate. After each fault the cluster is healthy and
//! the client calm before the next one. In the end every write is looked up, and a client with one
//! living endpoint of three has to do without a failure, and one whose connections all fall silent
//! finds new ones.

mod dead;
mod fault;
mod limits;
mod prober;
mod report;
mod scene;
mod silent;

pub use fault::{MemberFault, Role};
pub use limits::FaultLimits;

use crate::load::{self, BlockingRuntime, Error, Load, Plan};
use etcd3_lab::Cluster;
use etcd3_lab::etcd::Binary;
use report::Row;
use scene::Scene;
use std::time::Instant;

/// 400 calls a second in all.
const PLAN: Plan = Plan { readers: 16, writers: 4, rate: 20 };

/// The faults of the short form: who is hit by what.
const SHORT: [(MemberFault, Role); 3] = [
    (MemberFault::Kill, Role::Leader),
    (MemberFault::Stop, Role::Leader),
    (MemberFault::Partition, Role::Follower),
];

/// Runs all faults on one runtime against one version and prints the table; tells whether all
/// limits held.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, short: bool) -> Result<bool, Error> {
    println!("failover on {} against etcd {}", runtime.name, etcd.version);
    let started = Instant::now();
    let cluster = load::three_members(etcd)?;
    let client = runtime.connect(cluster.client_urls())?;
    let load = Load::start(runtime, &client, PLAN);
    let scene = Scene::new(runtime, &cluster, &load);
    let mut rows = Vec::new();
    if short {
        for (fault, role) in SHORT {
            rows.push(scene.play(fault, scene.member_with(role)?)?);
        }
    } else {
        for fault in MemberFault::ALL {
            for member in load::leader_last(&cluster, load::wait_healthy(&cluster)?) {
                rows.push(scene.play(fault, member)?);
            }
        }
    }
    let held = told(&rows);
    let calls = load.finish();
    let verified = verified(runtime, &cluster, &calls)?;
    drop(client);
    let survived = dead::run(runtime, &cluster)? & silent::run(runtime, &cluster)?;
    println!("{:.0} s\n", started.elapsed().as_secs_f64());
    Ok(held && verified && survived)
}

/// Prints the table and every limit that did not hold.
fn told(rows: &[Row]) -> bool {
    print!("{}", report::table(rows));
    println!("{}", report::LEGEND);
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    for limit in &broken {
        println!("BROKEN {limit}");
    }
    broken.is_empty()
}

/// Looks every write up.
fn verified(
    runtime: &BlockingRuntime,
    cluster: &Cluster,
    calls: &[load::CallRecord],
) -> Result<bool, Error> {
    load::wait_healthy(cluster)?;
    // Another client than the one under test.
    let client = runtime.connect(cluster.client_urls())?;
    let checked = load::check_calls(calls, &load::read_all(runtime, &client)?);
    let writes = calls.iter().filter(|call| call.is_write()).count();
    println!(
        "{} reads, {} of them stale; {writes} writes: {} acknowledged and there, {} of unknown \
         outcome ({} there once, {} not)",
        calls.len() - writes,
        checked.stale,
        checked.acknowledged,
        checked.applied + checked.lost,
        checked.applied,
        checked.lost,
    );
    for problem in &checked.problems {
        println!("BROKEN {problem}");
    }
    Ok(checked.problems.is_empty())
}
