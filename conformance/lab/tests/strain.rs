//! A machine that has made many connections, and that is busy.

use etcd3_lab::etcd::{self, Binary};
use etcd3_lab::strain::Busy;
use etcd3_lab::{Cluster, Result, load, strain, until};
use std::time::Duration;

/// More than a whole run of the suite leaves.
const SOCKETS: usize = 30_000;
/// Enough for anything that happens at all.
const LIMIT: Duration = Duration::from_secs(20);
/// Clusters that start at the same time, as in the suite.
const CLUSTERS: usize = 4;

fn starts_and_is_cut(binary: &Binary) -> Result<()> {
    let cluster = Cluster::builder().version(binary).behind_peer_proxy().start()?;
    let old = cluster.wait_leader()?;
    cluster.partition(old)?;
    let new = cluster.wait_leader_other_than(old)?;
    cluster.member(new).put("a", "b")
}

#[cfg(target_os = "linux")]
#[test]
fn clusters_behind_proxies_work_beside_many_sockets_in_time_wait() {
    let binaries = etcd::fetch().binaries;
    strain::time_wait(SOCKETS).expect("sockets in TIME_WAIT");
    let results: Vec<Result<()>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CLUSTERS)
            .map(|number| {
                let binary = &binaries[number % binaries.len()];
                scope.spawn(move || starts_and_is_cut(binary))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    for result in results {
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn busy_threads_are_seen_and_end() {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let busy = Busy::start((3 * processors).min(strain::MAX_BUSY)).expect("busy threads");
    if cfg!(target_os = "linux") {
        until(LIMIT, "the load", || Ok((load::slack() > 2.0).then_some(()))).expect("a load");
        let stretched = load::stretched(LIMIT);
        assert!(stretched > 2 * LIMIT && stretched <= LIMIT.mul_f64(load::MAX_SLACK));
    }
    drop(busy);
    let names = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    assert!(threads.filter_map(|it| names(it).ok()).all(|name| name.trim() != "busy"));
    assert!(Busy::start(strain::MAX_BUSY + 1).is_err());
    assert!(strain::time_wait(strain::MAX_TIME_WAIT + 1).is_err());
}
