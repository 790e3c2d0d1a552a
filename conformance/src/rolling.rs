//! All members are restarted one by one under 500 calls a second: `cargo xtask rolling`.
//!
//! No read may fail, and no write with another outcome than *unknown*, which only those may have
//! that were in flight while a member ended.

use crate::load::{
    self, BlockingRuntime, CALL_COLUMNS, CallRecord, Error, Load, Plan, Stored, Table, call_cells,
    millis,
};
use etcd3::Outcome;
use etcd3_lab::Cluster;
use etcd3_lab::etcd::{Binary, Version};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// 500 calls a second in all.
pub(crate) const PLAN: Plan = Plan { readers: 10, writers: 10, rate: 25 };

/// How often every member is restarted.
const ROUNDS: usize = 3;

/// The time within which 99 of 100 calls have to be answered.
const SLOWEST: Duration = Duration::from_millis(1500);

/// How long the client may take to be calm.
pub(crate) const CALM_LIMIT: Duration = Duration::from_secs(30);

/// Failures that are told one by one.
const MAX_TOLD: usize = 5;

/// One restart of one member.
#[derive(Debug)]
pub(crate) struct Restart {
    member: usize,
    /// What it ran afterwards.
    version: Version,
    leads: bool,
    /// Whether the client read from it right before.
    used: bool,
    /// When the member was asked to end, when it had, and when all was well again.
    asked: Instant,
    gone: Instant,
    pub(crate) healthy: Instant,
}

/// Runs it on one runtime against one version and prints the table; tells whether all limits held.
///
/// # Errors
///
/// When the servers fail, so that nothing can be said about the client.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary) -> Result<bool, Error> {
    println!("rolling restart on {} against etcd {}", runtime.name, etcd.version);
    let cluster = load::three_members(etcd)?;
    let client = runtime.connect(cluster.client_urls())?;
    let load = Load::start(runtime, &client, PLAN);
    let begin = Instant::now();
    load.wait_calm(begin, CALM_LIMIT)?;
    let mut restarts = Vec::new();
    let mut broken = Vec::new();
    for _ in 0..ROUNDS {
        for member in load::leader_last(&cluster, cluster.wait_leader()?) {
            let restart = restart(&cluster, member, etcd)?;
            let calm = load.wait_calm(restart.healthy, CALM_LIMIT);
            broken.extend(calm.err().map(|it| it.to_string()));
            restarts.push(restart);
        }
    }
    let calls = load.finish();
    let fresh = runtime.connect(cluster.client_urls())?;
    let stored = load::read_all(runtime, &fresh)?;
    Ok(Run { begin, restarts, calls, broken }.tell(&stored))
}

/// What was done to a cluster, and what became of the calls meanwhile.
pub(crate) struct Run {
    pub(crate) begin: Instant,
    pub(crate) restarts: Vec<Restart>,
    pub(crate) calls: Vec<CallRecord>,
    /// The limits that did not hold so far, in words.
    pub(crate) broken: Vec<String>,
}

impl Run {
    /// Prints the table, and compares the calls with what is stored afterwards; tells whether all
    /// limits held.
    pub(crate) fn tell(self, stored: &BTreeMap<String, Stored>) -> bool {
        let Self { begin, restarts, calls, mut broken } = self;
        let ended = calls.iter().map(|call| call.ended).max().unwrap_or(begin);
        let seconds = (ended - begin).as_secs_f64();
        print!("{}", table(&restarts, &calls));
        broken.extend(failures(&restarts, &calls));
        let slow = load::percentile(&calls, 99);
        if slow > SLOWEST {
            broken.push(format!("99 % within {}, {} allowed", millis(slow), millis(SLOWEST)));
        }
        let checked = load::check_calls(&calls, stored);
        let unknown = checked.applied + checked.lost;
        println!(
            "{} calls in {seconds:.1} s; half within {}, 99 % within {}, all within {}; {} writes \
             acknowledged and there, {unknown} of unknown outcome ({} there once); {} stale reads",
            calls.len(),
            millis(load::percentile(&calls, 50)),
            millis(slow),
            millis(load::percentile(&calls, 100)),
            checked.acknowledged,
            checked.applied,
            checked.stale,
        );
        broken.extend(checked.problems);
        for limit in &broken {
            println!("BROKEN {limit}");
        }
        println!();
        broken.is_empty()
    }
}

/// Ends a member in an orderly way and starts this binary in its place.
pub(crate) fn restart(cluster: &Cluster, member: usize, etcd: &Binary) -> Result<Restart, Error> {
    let leads = load::wait_healthy(cluster)? == member;
    let it = cluster.member(member);
    let used = load::is_used(&it);
    let asked = Instant::now();
    it.terminate()?;
    let gone = Instant::now();
    it.replace_binary(etcd);
    it.restart()?;
    load::wait_healthy(cluster)?;
    let version = etcd.version;
    Ok(Restart { member, version, leads, used, asked, gone, healthy: Instant::now() })
}

impl Restart {
    /// Tells whether a call was in flight while the member ended.
    fn met(&self, call: &CallRecord) -> bool {
        call.begun <= self.gone && call.ended >= self.asked
    }
}

fn table(restarts: &[Restart], calls: &[CallRecord]) -> Table {
    let columns = ["restart", "used"].into_iter().chain(CALL_COLUMNS);
    let mut table = Table::new(columns.chain(["down after", "healthy after"]));
    for (index, restart) in restarts.iter().enumerate() {
        let next = restarts.get(index + 1).map(|next| next.asked);
        let role = if restart.leads { "leader" } else { "follower" };
        let of_restart = [
            format!("member {} ({role}), {}", restart.member, restart.version),
            if restart.used { "yes" } else { "no" }.to_owned(),
        ];
        let took = [restart.gone, restart.healthy].map(|end| millis(end - restart.asked));
        let row = of_restart.into_iter().chain(call_cells(calls, restart.asked, next));
        table.row(row.chain(took));
    }
    table
}

/// Returns the failures that no caller may see, in words.
fn failures(restarts: &[Restart], calls: &[CallRecord]) -> Vec<String> {
    let mut told = Vec::new();
    let mut more = 0;
    for call in calls {
        let Err(failure) = &call.result else { continue };
        let in_flight = restarts.iter().any(|restart| restart.met(call));
        let what = match (call.is_write(), failure.outcome) {
            (true, Outcome::Unknown) if in_flight => continue,
            (true, Outcome::Unknown) => "a write that met no stop",
            (true, _) => "a write, and not as unknown",
            (false, _) => "a read",
        };
        let asked = restarts.iter().rev().find(|restart| restart.asked <= call.begun);
        let since = asked.map_or(Duration::ZERO, |restart| call.begun - restart.asked);
        if told.len() == MAX_TOLD {
            more += 1;
            continue;
        }
        let (since, took) = (millis(since), millis(call.took()));
        let text = &failure.text;
        told.push(format!("{what} failed, made {since} after a stop, within {took}: {text}"));
    }
    told.extend((more > 0).then(|| format!("and {more} more failures")));
    told
}
