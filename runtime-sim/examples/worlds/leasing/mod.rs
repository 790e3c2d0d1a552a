//! Leases that are kept alive beside the calls of a world: by one client or by two, dropped,
//! revoked, orphaned, with keys attached, checked against the clock of the leader.

mod holder;
mod tally;

use etcd3::runtime::Instant;
use etcd3::{Client, Lease, LossReason};
use etcd3_core::rng::Rng;
use etcd3_sim::faults::{Fault, Planned, is_one_at_a_time};
use etcd3_sim::history::lease::{Demands, Record, Recorder, check};
use etcd3_sim::model::LeaseEnd;
use etcd3_sim::{Etcd, Host, World};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
pub(crate) use tally::Leased;

/// How many leases each client holds at a time.
const HOLDERS: u64 = 2;
/// The times to live, in seconds.
const TTL: std::ops::RangeInclusive<u64> = 2..=20;
/// How long after the end of all faults every lease is renewed in time again: an election, and
/// connections that turn out to be dead.
const SETTLE: Duration = Duration::from_secs(8);
/// How long the end of all faults may be over when everybody has seen their last lease renewed.
const LIMIT: Duration = Duration::from_secs(120);
/// How many ids of leases are known to all clients.
const SHARED: usize = 12;

/// What is known of the faults of a world.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    is_gentle: bool,
    /// The clients whose machine is suspended, a bit each.
    suspended: u64,
}

impl Nature {
    pub(crate) fn of(faults: &[Planned]) -> Self {
        let suspended = faults.iter().filter_map(|planned| match planned.fault {
            Fault::Suspend { client } => Some(1 << client),
            _ => None,
        });
        Self {
            is_gentle: is_one_at_a_time(faults),
            suspended: suspended.fold(0, |all, client| all | client),
        }
    }

    const fn is_suspended(self, client: u32) -> bool {
        self.suspended & 1 << client != 0
    }
}

/// All leases that are kept alive in a world.
#[derive(Clone)]
pub(crate) struct Leasing {
    world: World,
    etcd: Etcd,
    nature: Nature,
    found: Arc<Mutex<Found>>,
}

/// A handle, and what it said.
#[derive(Clone)]
struct Handle {
    client: u32,
    recorder: Arc<Mutex<Recorder>>,
}

#[derive(Default)]
struct Found {
    /// Since when nothing goes wrong any more.
    healed: Option<Instant>,
    /// How many hold leases yet.
    at_work: usize,
    handles: Vec<Handle>,
    /// Leases that are held until their clients are closed.
    kept: Vec<Lease>,
    /// For which reasons a client may have lost a lease: it let go of it through a handle.
    given_up: BTreeMap<(u32, i64), Vec<LossReason>>,
    /// Ids of leases that somebody was granted, for others to use.
    shared: VecDeque<i64>,
    problems: Vec<String>,
    tally: Leased,
}

impl Leasing {
    pub(crate) fn new(world: &World, etcd: &Etcd, nature: Nature) -> Self {
        Self { world: world.clone(), etcd: etcd.clone(), nature, found: Arc::default() }
    }

    /// Begins to hold leases with a client.
    pub(crate) fn begin(&self, host: &Host, client: &Client, number: u32) {
        let mut rng = Rng::new(self.world.seed() ^ 0x1ea5_0000 ^ u64::from(number));
        for at in 0..HOLDERS {
            self.found().at_work += 1;
            let holder = holder::Holder {
                all: self.clone(),
                host: host.clone(),
                // A lane of its own, where it is drawn.
                lane: self.world.host().named(format!("lease {number}.{at}")),
                client: client.clone(),
                number,
                name: format!("lease {number}.{at}"),
                rng: Rng::new(rng.next_u64()),
            };
            let all = self.clone();
            host.spawn(async move {
                let result = holder.run().await;
                let mut found = all.found();
                found.at_work -= 1;
                found.problems.extend(result.err());
            });
        }
    }

    /// Notes that nothing goes wrong from now on.
    pub(crate) fn calm(&self) {
        self.found().healed = Some(self.world.now());
    }

    /// Waits until the last leases have been renewed a few times since all is well.
    pub(crate) async fn complete(&self) -> Result<(), String> {
        let end = self.world.now() + LIMIT;
        while self.found().at_work > 0 {
            if self.world.now() >= end {
                return Err(format!("{} hold leases without an end", self.found().at_work));
            }
            self.world.sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Checks what the handles said, and that nobody renews a lease any more: all clients are
    /// closed.
    pub(crate) async fn check(&self) -> Result<Leased, String> {
        self.world.sleep(Duration::from_secs(TTL.end() + 5)).await;
        let left = self.found().shared.iter().find_map(|id| self.etcd.lease_expiry(*id));
        if let Some(expiry) = left {
            return Err(format!("a lease lives until {expiry:?} that nobody can have"));
        }
        let ends = self.etcd.lease_ends();
        let mut found = std::mem::take(&mut *self.found());
        if let Some(problem) = found.problems.first() {
            return Err(problem.clone());
        }
        for handle in &found.handles {
            let mut record = locked(&handle.recorder).clone().finish();
            let given_up = found.given_up.get(&(handle.client, record.lease));
            record.given_up.extend(given_up.into_iter().flatten());
            record.given_up.push(LossReason::Closed);
            let demands = Demands {
                calm_from: found.healed.map(|healed| healed + SETTLE),
                is_gentle: self.nature.is_gentle,
                is_suspended: self.nature.is_suspended(handle.client),
            };
            self.judge(&record, &ends, &demands)?;
            found.tally.count(&record, &demands);
        }
        Ok(found.tally)
    }

    fn judge(&self, record: &Record, ends: &[LeaseEnd], demands: &Demands) -> Result<(), String> {
        if let Some(violation) = check(record, ends, demands) {
            self.world.mark_at(violation.at, &violation);
            return Err(violation.to_string());
        }
        if !record.is_over {
            return Err(format!("{}: its changes do not end", record.name));
        }
        Ok(())
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        locked(&self.found)
    }

    /// Returns since when nothing goes wrong any more.
    fn healed(&self) -> Option<Instant> {
        self.found().healed
    }

    /// Draws a lease that somebody was granted.
    fn any_shared(&self, rng: &mut Rng) -> Option<i64> {
        let found = self.found();
        let at = rng.below(u64::try_from(found.shared.len()).unwrap_or(0).max(1));
        found.shared.get(usize::try_from(at).unwrap_or(0)).copied()
    }

    fn share(&self, lease: i64) {
        let mut found = self.found();
        if !found.shared.contains(&lease) {
            found.shared.push_back(lease);
        }
        if found.shared.len() > SHARED {
            found.shared.pop_front();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
