//! One fault on one member, from a healthy cluster to a healthy cluster.

use super::fault::{Hit, MemberFault, Role};
use super::limits::FaultLimits;
use super::prober::Prober;
use super::report::Row;
use crate::load::{BlockingRuntime, Error, Load, is_used, wait_healthy};
use etcd3_lab::Cluster;
use std::time::{Duration, Instant};

/// How long a killed member stays dead at least: longer than a reader may wait.
const DEATH: Duration = Duration::from_secs(6);

/// How long a frozen or cut off member stays so: longer than a reader may wait, so that a client
/// that only waits for the end is found out.
const SILENCE: Duration = Duration::from_secs(14);

/// How long a client may take to be calm, by itself or after the end of a fault.
const CALM_LIMIT: Duration = Duration::from_secs(30);

/// A cluster under load.
pub(super) struct Scene<'a> {
    runtime: &'a BlockingRuntime,
    cluster: &'a Cluster,
    load: &'a Load,
}

impl<'a> Scene<'a> {
    pub(super) fn new(runtime: &'a BlockingRuntime, cluster: &'a Cluster, load: &'a Load) -> Self {
        Self { runtime, cluster, load }
    }

    /// A member that has that role now.
    pub(super) fn member_with(&self, role: Role) -> Result<usize, Error> {
        Ok(role.member(self.cluster, wait_healthy(self.cluster)?))
    }

    /// Makes one fault, ends it, and tells what came of it.
    pub(super) fn play(&self, fault: MemberFault, member: usize) -> Result<Row, Error> {
        let leader = wait_healthy(self.cluster)?;
        let mut trouble = self.calm(Instant::now(), "before the fault");
        let used = is_used(&self.cluster.member(member));
        // New ones: those of the last fault may be waiting to connect again.
        let writers = Prober::new(self.runtime, self.cluster.client_urls())?;
        let role = if leader == member { Role::Leader } else { Role::Follower };
        let begin = Instant::now();
        fault.begin(self.cluster, member)?;
        let probes = writers.start(self.runtime, member);
        match fault {
            MemberFault::Kill => {
                trouble.extend(self.calm(begin, "while the member was dead"));
                std::thread::sleep(DEATH.saturating_sub(begin.elapsed()));
            }
            // The time is what the fault is about.
            MemberFault::Stop | MemberFault::Partition => {
                std::thread::sleep(SILENCE.saturating_sub(begin.elapsed()));
            }
        }
        let majority = probes.majority();
        let healed = Instant::now();
        fault.end(self.cluster, member)?;
        wait_healthy(self.cluster)?;
        trouble.extend(self.calm(healed, "after the fault"));
        let calls = self.load.calls();
        let hit = Hit { fault, member, role, used, url: self.cluster.member(member).client_url() };
        let limits = FaultLimits::of(fault, role);
        Ok(Row { hit, limits, begin, majority, trouble, calls }.sifted())
    }

    /// Waits until all workers succeed, or tells that they do not.
    fn calm(&self, since: Instant, when: &str) -> Vec<String> {
        let calm = self.load.wait_calm(since, CALM_LIMIT);
        calm.err().map(|error| format!("not calm {when}: {error}")).into_iter().collect()
    }
}
