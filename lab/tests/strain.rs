//! A machine that has made many connections, and that is busy.

use etcd3_lab::etcd::{self, Binary};
use etcd3_lab::{Cluster, Result, strain};

/// More than a whole run of the suite leaves.
const SOCKETS: usize = 30_000;
/// Clusters that start at the same time, as in the suite.
const CLUSTERS: usize = 4;

fn starts_and_is_cut(binary: &Binary) -> Result<()> {
    let cluster = Cluster::builder().version(binary).behind_peer_proxy().start()?;
    let old = cluster.wait_leader()?;
    cluster.partition(old)?;
    let new = cluster.wait_leader_other_than(old)?;
    cluster.member(new).put("a", "b")
}

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
