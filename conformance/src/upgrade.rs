//! A cluster goes from one minor version of etcd to the next under 500 calls a second, one member
//! at a time, and back where etcd can: `cargo xtask upgrade`.
//!
//! As in [`rolling`], no read may fail, and no write with another outcome than *unknown*, which
//! only those may have that were in flight while a member ended.

use crate::load::{self, BlockingRuntime, Error, Load};
use crate::rolling::{self, CALM_LIMIT, PLAN, Run};
use etcd3_lab::etcd::{Binary, Version};
use etcd3_lab::{Cluster, Member, until};
use std::time::{Duration, Instant};

/// The oldest minor version that a cluster starts with.
const FIRST: Version = Version::minor(3, 5);

/// The oldest minor version that a cluster can go back from.
const REVERSIBLE: Version = Version::minor(3, 6);

/// The minor version that cannot read the log of the one two before it, since that holds requests
/// of the store of version 2: it ends with "unmarshal should never fail".
const FORGETS_V2: Version = Version::minor(3, 7);

/// How many entries members apply between snapshots, so that a load of some seconds makes one.
const SNAPSHOT_COUNT: &str = "500";

/// Counts the snapshots that a process has taken.
const SNAPSHOTS: &str = "etcd_debugging_snap_save_total_duration_seconds_count ";

/// How long a cluster may take to agree on a version, and to rewrite what it stored.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(60);

/// Returns the newest patch of each minor version from 3.5 on, the oldest first.
///
/// # Errors
///
/// When there is none. What is missing is printed.
pub fn ladder() -> Result<Vec<Binary>, Error> {
    let mut rungs: Vec<Binary> = Vec::new();
    for binary in load::versions(None)?.into_iter().filter(|it| it.version >= FIRST) {
        // They come in the order of their versions.
        rungs.retain(|rung| minor(rung) != minor(&binary));
        rungs.push(binary);
    }
    Ok(rungs)
}

/// Says which binaries a cluster that starts with the first of the ladder runs one after the other.
///
/// With `and_back` it goes down and up again where it can, before it goes on.
#[must_use]
pub fn journey(rungs: &[Binary], and_back: bool) -> Vec<Binary> {
    let mut journey = Vec::new();
    for pair in rungs.windows(2) {
        let [from, to] = pair else { continue };
        journey.push(to.clone());
        if and_back && minor(to) == REVERSIBLE {
            journey.extend([from.clone(), to.clone()]);
        }
    }
    journey
}

fn minor(binary: &Binary) -> Version {
    Version::minor(binary.version.major, binary.version.minor)
}

/// Runs it on one runtime and prints the table; tells whether all limits held.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, start: &Binary, journey: &[Binary]) -> Result<bool, Error> {
    let names: Vec<_> = journey.iter().map(|it| it.version.to_string()).collect();
    println!("upgrade on {} from etcd {} to {}", runtime.name, start.version, names.join(", "));
    let cluster = load::three_members_with(start, &[("--snapshot-count", SNAPSHOT_COUNT)])?;
    let client = runtime.connect(cluster.client_urls())?;
    let load = Load::start(runtime, &client, PLAN);
    let begin = Instant::now();
    load.wait_calm(begin, CALM_LIMIT)?;
    let (mut restarts, mut broken) = (Vec::new(), Vec::new());
    let mut last = start;
    for next in journey {
        if next.version < last.version {
            allow_downgrade(&cluster, minor(next))?;
        }
        if minor(next) >= FORGETS_V2 {
            new_snapshots(&cluster)?;
        }
        for member in load::leader_last(&cluster, cluster.wait_leader()?) {
            let restart = rolling::restart(&cluster, member, next)?;
            let calm = load.wait_calm(restart.healthy, CALM_LIMIT);
            broken.extend(calm.err().map(|it| it.to_string()));
            restarts.push(restart);
        }
        agreed(&cluster, minor(next))?;
        if next.version < last.version {
            downgrade_over(&cluster, minor(next))?;
        }
        last = next;
    }
    let calls = load.finish();
    let fresh = runtime.connect(cluster.client_urls())?;
    let stored = load::read_all(runtime, &fresh)?;
    Ok(Run { begin, restarts, calls, broken }.tell(&stored))
}

/// Lets a cluster prepare for older members, and waits until it has.
fn allow_downgrade(cluster: &Cluster, to: Version) -> Result<(), Error> {
    let leader = cluster.member(cluster.wait_leader()?);
    let order = format!(r#"{{"action":"ENABLE","version":"{to}"}}"#);
    leader.http_post("/v3/maintenance/downgrade", &order)?;
    for member in cluster.members() {
        says(&member, "storage", to)?;
    }
    Ok(())
}

/// Waits until the cluster has noticed that all of its members are of the older version: as long as
/// it has not, it would not take newer ones for an upgrade. A cluster says so when it is asked
/// whether it could go down one more.
fn downgrade_over(cluster: &Cluster, from: Version) -> Result<(), Error> {
    let below = Version::minor(from.major, from.minor - 1);
    let question = format!(r#"{{"action":"VALIDATE","version":"{below}"}}"#);
    until(AGREEMENT_LIMIT, "the end of the downgrade", || {
        let Some(leader) = cluster.leader() else { return Ok(None) };
        let answer = cluster.member(leader).http_post("/v3/maintenance/downgrade", &question);
        Ok(answer.ok().map(drop))
    })?;
    Ok(())
}

/// Waits until all members have taken a snapshot since they started, so that the next version need
/// not read what older ones left in the log.
fn new_snapshots(cluster: &Cluster) -> Result<(), Error> {
    let taken = |metrics: &str| {
        let count = metrics.lines().find_map(|line| line.strip_prefix(SNAPSHOTS))?.parse::<u64>();
        count.ok().filter(|count| *count > 0)
    };
    for member in cluster.members() {
        let what = format!("a snapshot of {}", member.name());
        until(AGREEMENT_LIMIT, &what, || Ok(taken(&member.metrics()?)))?;
    }
    Ok(())
}

/// Waits until all members say that the cluster has this version.
fn agreed(cluster: &Cluster, version: Version) -> Result<(), Error> {
    for member in cluster.members() {
        says(&member, "etcdcluster", version)?;
    }
    Ok(())
}

/// Waits until a member says that something has this version.
fn says(member: &Member, what: &str, version: Version) -> Result<(), Error> {
    let expected = format!(r#""{what}":"{version}""#);
    let mut said = String::new();
    let waited = until(AGREEMENT_LIMIT, &expected, || {
        said = member.http_get("/version")?;
        Ok(said.contains(&expected).then_some(()))
    });
    waited.map_err(|error| format!("{}: {error}: {said}", member.name()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(binaries: &[Binary]) -> Vec<String> {
        binaries.iter().map(|it| it.version.to_string()).collect()
    }

    #[test]
    fn a_cluster_goes_up_step_by_step_and_back_where_it_can() {
        let rungs = ["3.5.30", "3.6.16", "3.7.3"].map(|version| Binary {
            version: version.parse().unwrap(),
            path: "etcd".into(),
            source: "a test".into(),
        });
        assert_eq!(versions(&journey(&rungs, false)), ["3.6.16", "3.7.3"]);
        let both_ways = versions(&journey(&rungs, true));
        assert_eq!(both_ways, ["3.6.16", "3.5.30", "3.6.16", "3.7.3"]);
        assert_eq!(versions(&journey(&rungs[..1], true)), Vec::<String>::new());
    }
}
