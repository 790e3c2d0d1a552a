//! Leases while everything goes wrong: `cargo xtask lease-torture`.
//!
//! ```text
//!  48 leases of 5 s, 4 clients ── a bridge each ──► 3 members ◄── an observer each
//!
//!  one endpoint after the other: kill, stop, partition, black hole, …   none is lost
//!  a quorum, or all endpoints, for longer than 5 s                      all are, and are told so
//! ```
//!
//! While one endpoint of three fails, whichever way, no lease may be lost. When nothing can renew
//! them, each has to be told lost within a second of the end of its validity, which must not be
//! after the moment at which any member lets another client see its key gone.
//!
//! One thing no client can prevent: a leader that was frozen and goes on may revoke the leases that
//! it thinks are due, although another member leads and has renewed them. Servers look whether they
//! still lead only when their clock has not ticked for a while, and it ticks as soon as they go on.
//! Such losses are counted apart, and have to be told.

mod fault;
mod holder;
mod observer;
mod report;

pub use fault::EndpointFault;
pub use report::Report;

use crate::failover::{MemberFault, Role};
use crate::load::{self, BlockingRuntime, Error};
use etcd3::Client;
use etcd3_lab::etcd::Binary;
use etcd3_lab::load::Limit;
use etcd3_lab::{Bridge, Cluster};
use fault::Draw;
use holder::Holder;
use observer::Observer;
use std::time::{Duration, Instant};

const CLIENTS: usize = 4;
const LEASES: u64 = 48;
/// How long one endpoint fails: longer than a lease lives without a renewal.
const FAULT: Duration = Duration::from_secs(7);
/// How long nothing is renewed in an outage: members that do not lead any more may not have noticed
/// for two seconds.
const OUTAGE: Duration = Duration::from_secs(9);
/// From the end of a fault to the beginning of the next: more than from one renewal to the next.
const SETTLED: Duration = Duration::from_secs(2);
/// How long leases may be late once all is well.
const CALM_LIMIT: Duration = Duration::from_secs(5);
/// How long the keys of lost leases may stay: a new leader gives leases their whole time again.
const GONE_LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);

/// How long leases are tortured, and how.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// How long one endpoint after the other fails.
    pub lasts: Duration,
    /// Whether each fault is made at least once, and each outage.
    pub is_whole: bool,
    /// What the order is drawn from.
    pub seed: u64,
}

/// A cluster with all there is to break.
struct Site<'a> {
    cluster: &'a Cluster,
    bridges: &'a [Bridge],
}

/// What keeps all renewals from a quorum.
#[derive(Debug, Clone, Copy)]
enum Outage {
    /// Two members of three are hit.
    Quorum(MemberFault),
    /// Clients reach no member, all of which are well.
    Unreachable,
}

impl Outage {
    const ALL: [Self; 4] = [
        Self::Unreachable,
        Self::Quorum(MemberFault::Kill),
        Self::Quorum(MemberFault::Stop),
        Self::Quorum(MemberFault::Partition),
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Quorum(MemberFault::Kill) => "two members killed",
            Self::Quorum(MemberFault::Stop) => "two members stopped",
            Self::Quorum(MemberFault::Partition) => "members cut off from each other",
            Self::Unreachable => "no member reached",
        }
    }

    fn begin(self, site: &Site<'_>, members: [usize; 2]) -> Result<(), Error> {
        match self {
            Self::Quorum(fault) => {
                members.into_iter().try_for_each(|it| fault.begin(site.cluster, it))?;
            }
            Self::Unreachable => site.bridges.iter().for_each(Bridge::blackhole),
        }
        Ok(())
    }

    fn end(self, site: &Site<'_>, members: [usize; 2]) -> Result<(), Error> {
        match self {
            Self::Quorum(MemberFault::Kill) => {
                // Neither is ready without the other.
                let [a, b] = members.map(|it| site.cluster.member(it));
                a.launch(&[])?;
                b.launch(&[])?;
                a.wait_ready()?;
                b.wait_ready()?;
            }
            Self::Quorum(fault) => {
                members.into_iter().try_for_each(|it| fault.end(site.cluster, it))?;
            }
            Self::Unreachable => site.bridges.iter().for_each(Bridge::unblackhole),
        }
        Ok(())
    }
}

/// Runs a scene on one runtime against one version.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, scene: &Scene) -> Result<Report, Error> {
    let cluster = load::three_members(etcd)?;
    let bridges: Vec<Bridge> = cluster
        .members()
        .iter()
        .map(|member| Bridge::new(member.addr()))
        .collect::<Result<_, _>>()?;
    let urls: Vec<String> = bridges.iter().map(Bridge::url).collect();
    let clients = (0..CLIENTS).map(|_| runtime.connect(urls.clone())).collect::<Result<_, _>>()?;
    let observer = Observer::start(runtime, &cluster)?;
    let site = Site { cluster: &cluster, bridges: &bridges };
    let report = Report::default();
    let mut run = Run { runtime, site, clients, observer, report, next: 0 };
    run.fail_one_by_one(scene)?;
    let first = usize::try_from(scene.seed)? % Outage::ALL.len();
    let count = if scene.is_whole { Outage::ALL.len() } else { 1 };
    for number in 0..count {
        run.fail_all(Outage::ALL[(first + number) % Outage::ALL.len()])?;
    }
    run.observer.end();
    run.report.reads = run.observer.reads();
    Ok(run.report)
}

struct Run<'a> {
    runtime: &'a BlockingRuntime,
    site: Site<'a>,
    clients: Vec<Client>,
    observer: Observer,
    report: Report,
    /// The number of the next lease.
    next: u64,
}

impl Run<'_> {
    fn begin_leases(&mut self, count: u64) -> Result<Vec<Holder>, Error> {
        let numbers = self.next..self.next + count;
        self.next = numbers.end;
        Holder::begin_all(self.runtime, &self.clients, &self.observer, numbers)
    }

    /// Has one endpoint after the other fail; no lease may be lost.
    fn fail_one_by_one(&mut self, scene: &Scene) -> Result<(), Error> {
        let mut holders = self.begin_leases(LEASES)?;
        let mut draw = Draw::new(scene.seed);
        let begin = Instant::now();
        while begin.elapsed() < scene.lasts || scene.is_whole && !draw.is_through() {
            let (fault, role) = draw.next();
            let leader = load::wait_healthy(self.site.cluster)?;
            self.calm(&holders, &format!("before {fault} of a {role}"));
            let member = role.member(self.site.cluster, leader);
            fault.begin(&self.site, member)?;
            // The time is what the fault is about.
            std::thread::sleep(FAULT);
            fault.end(&self.site, member)?;
            *self.report.faults.entry((fault, role)).or_default() += 1;
            self.report.during = format!("{fault} of a {role}");
            // One fault at a time: what the member does of its own accord when it is back belongs
            // to this one, and is noticed by the next renewal.
            load::wait_healthy(self.site.cluster)?;
            std::thread::sleep(SETTLED);
            let was_frozen = fault.is_frozen() && role == Role::Leader;
            holders =
                if was_frozen { self.replace_all(holders)? } else { self.replace_lost(holders)? };
        }
        load::wait_healthy(self.site.cluster)?;
        self.calm(&holders, "after all faults");
        self.report.during = "all faults of one endpoint".into();
        for holder in holders {
            let (key, told) = (holder.key.clone(), holder.end());
            self.report.judge_kept(&key, &told, self.observer.gone(&key));
        }
        Ok(())
    }

    /// Judges those that are lost, and begins others in their place.
    fn replace_lost(&mut self, holders: Vec<Holder>) -> Result<Vec<Holder>, Error> {
        let is_over = |it: &Holder| it.told().lost.is_some();
        let (lost, mut left): (Vec<_>, Vec<_>) = holders.into_iter().partition(is_over);
        let count = u64::try_from(lost.len())?;
        for holder in lost {
            let (key, told) = (holder.key.clone(), holder.end());
            self.report.judge_kept(&key, &told, self.observer.gone(&key));
        }
        left.extend(self.begin_leases(count)?);
        Ok(left)
    }

    /// Judges those that a leader which was frozen may revoke, and begins others that it does not
    /// know to be due. It revokes sixteen at once, and waits for seconds where that fails: it may
    /// come to the last of them much later.
    fn replace_all(&mut self, holders: Vec<Holder>) -> Result<Vec<Holder>, Error> {
        let is_told = |it: &Holder| {
            let is_gone = self.observer.gone(&it.key).is_some();
            is_gone == it.told().lost.is_some()
        };
        let limit = Limit::new(SETTLED);
        while !holders.iter().all(is_told) && !limit.left().is_zero() {
            std::thread::sleep(STEP);
        }
        for holder in holders {
            let (key, told) = (holder.key.clone(), holder.end());
            self.report.judge_excused(&key, &told, self.observer.gone(&key));
        }
        self.begin_leases(LEASES)
    }

    /// Keeps all renewals from a quorum for longer than leases live; all are to be told lost.
    fn fail_all(&mut self, outage: Outage) -> Result<(), Error> {
        let leader = load::wait_healthy(self.site.cluster)?;
        let holders = self.begin_leases(LEASES)?;
        self.calm(&holders, &format!("before {}", outage.name()));
        let members = [leader, (leader + 1) % self.site.cluster.len()];
        outage.begin(&self.site, members)?;
        // The time is what the outage is about.
        std::thread::sleep(OUTAGE);
        outage.end(&self.site, members)?;
        *self.report.outages.entry(outage.name()).or_default() += 1;
        self.report.during = outage.name().into();
        load::wait_healthy(self.site.cluster)?;
        let is_gone = |it: &Holder| self.observer.gone(&it.key).is_some();
        let limit = Limit::new(GONE_LIMIT);
        while !holders.iter().all(is_gone) && !limit.left().is_zero() {
            std::thread::sleep(STEP);
        }
        for holder in holders {
            let (key, told) = (holder.key.clone(), holder.end());
            self.report.judge_lost(&key, &told, self.observer.gone(&key));
        }
        Ok(())
    }

    /// Waits until no lease is late any more.
    fn calm(&mut self, holders: &[Holder], when: &str) {
        let late = || {
            let told = holders.iter().map(Holder::told);
            told.filter(|it| it.is_late && it.lost.is_none()).count()
        };
        let limit = Limit::new(CALM_LIMIT);
        while late() > 0 {
            if limit.left().is_zero() {
                let problem = format!("{} leases are late {when}", late());
                return self.report.problem(problem);
            }
            std::thread::sleep(STEP);
        }
    }
}
