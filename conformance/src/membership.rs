//! A cluster that is built, changed and maintained by the client's own calls under 500 others a
//! second: `cargo xtask membership`.
//!
//! One member becomes three, each by way of a learner; the leadership moves, the first member goes,
//! the others are defragmented, and a snapshot is saved. No read may fail, and no write with
//! another outcome than *unknown*, which only those may have that were in flight while the
//! leadership moved: what became of them is found out from what is stored.

use crate::load::{
    self, BlockingRuntime, CALL_COLUMNS, CallRecord, Error, Load, Table, call_cells, millis,
};
use crate::rolling::{CALM_LIMIT, PLAN};
use etcd3::{Client, MemberId, Outcome};
use etcd3_lab::Cluster;
use etcd3_lab::etcd::Binary;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long servers may take to accept a change, and a learner to be in sync.
const BUDGET: Duration = Duration::from_secs(60);

/// How long the process of a removed member may go on.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Failures that are told one by one.
const MAX_TOLD: usize = 5;

/// Runs it on one runtime against one version and prints the table; tells whether all limits held.
///
/// # Errors
///
/// When servers fail, or a call of the operator does.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary) -> Result<bool, Error> {
    println!("membership on {} against etcd {}", runtime.name, etcd.version);
    let cluster = Cluster::builder().version(etcd).members(1).heartbeat(100).election(1000);
    let cluster = cluster.start()?;
    load::wait_healthy(&cluster)?;
    let client = runtime.connect(cluster.client_urls())?;
    let operator = Operator { runtime, cluster: &cluster, client: client.clone() };
    let load = Load::start(runtime, &client, PLAN);
    load.wait_calm(Instant::now(), CALM_LIMIT)?;

    let mut steps = Steps { load: &load, steps: Vec::new() };
    for number in [2, 3] {
        steps.take(&format!("member {number} added"), || operator.grow())?;
    }
    steps.take("leadership moved", || operator.move_leader())?;
    steps.take("first member left", || operator.leave_first())?;
    steps.take("first member removed", || operator.remove_first())?;
    steps.take("each defragmented", || operator.defragment_each())?;
    steps.take("snapshot saved", || operator.snapshot())?;
    let view = runtime.run(client.cluster().view().send())?;
    let steps = steps.steps;
    let calls = load.finish();
    let fresh = runtime.connect(cluster.client_urls().split_off(1))?;
    let stored = load::read_all(runtime, &fresh)?;

    print!("{}", table(&steps, &calls));
    let mut broken = failures(&steps, &calls);
    if view.members.len() != 2 || !view.disagreements.is_empty() {
        broken.push(format!("two members that agree are left, not {view:?}"));
    }
    let checked = load::check_calls(&calls, &stored);
    println!(
        "{} calls; half within {}, 99 % within {}, all within {}; {} writes acknowledged and \
         there, {} of unknown outcome there once, {} not; {} stale reads",
        calls.len(),
        millis(load::percentile(&calls, 50)),
        millis(load::percentile(&calls, 99)),
        millis(load::percentile(&calls, 100)),
        checked.acknowledged,
        checked.applied,
        checked.lost,
        checked.stale,
    );
    broken.extend(checked.problems);
    let unknown = calls.iter().filter(|call| call.failed_as(Outcome::Unknown));
    let texts: BTreeMap<&str, usize> = unknown.filter_map(|call| call.result.as_ref().err()).fold(
        BTreeMap::new(),
        |mut texts, failure| {
            *texts.entry(failure.text.as_str()).or_default() += 1;
            texts
        },
    );
    for (text, count) in texts {
        println!("{count} times: {text}");
    }
    for limit in &broken {
        println!("BROKEN {limit}");
    }
    println!();
    Ok(broken.is_empty())
}

/// One change, and when it was made.
struct Step {
    name: String,
    begun: Instant,
    ended: Instant,
}

struct Steps<'a> {
    load: &'a Load,
    steps: Vec<Step>,
}

impl Steps<'_> {
    /// Makes a change under load, and waits until all workers succeed again.
    fn take(&mut self, name: &str, act: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let begun = Instant::now();
        act().map_err(|error| format!("{name}: {error}"))?;
        let ended = Instant::now();
        self.load.wait_calm(ended, CALM_LIMIT).map_err(|error| format!("{name}: {error}"))?;
        self.steps.push(Step { name: name.to_owned(), begun, ended });
        Ok(())
    }
}

/// The one who changes the cluster: by the client alone, but for starting processes.
struct Operator<'a> {
    runtime: &'a BlockingRuntime,
    cluster: &'a Cluster,
    client: Client,
}

impl Operator<'_> {
    /// Adds a learner, starts it, waits until it is in sync, promotes it, and uses it.
    fn grow(&self) -> Result<(), Error> {
        let newcomer = self.cluster.newcomer()?;
        let members = self.client.cluster();
        let add = members.member_add([newcomer.peer_url()]).learner().wait_until_accepted(BUDGET);
        let added = self.runtime.run(add.send())?;
        let urls = added.members.iter().flat_map(|member| member.peer_urls.clone());
        self.cluster.join(newcomer, &urls.collect::<Vec<_>>())?;
        let promote = members.member_promote(added.member.id).wait_until_in_sync(BUDGET);
        self.runtime.run(promote.send())?;
        self.client.set_endpoints(self.cluster.client_urls())?;
        Ok(())
    }

    fn move_leader(&self) -> Result<(), Error> {
        let target = self.id_of(1)?;
        self.runtime.run(self.client.maintenance().move_leader(target.0).send())?;
        let view = self.runtime.run(self.client.cluster().view().send())?;
        if view.leader == Some(target) {
            return Ok(());
        }
        Err(format!("{target} was to lead: {view:?}").into())
    }

    /// Has new calls go to the others, so that none is under way when the process ends.
    fn leave_first(&self) -> Result<(), Error> {
        Ok(self.client.set_endpoints(self.cluster.client_urls().split_off(1))?)
    }

    /// Removes the member; its process ends by itself.
    fn remove_first(&self) -> Result<(), Error> {
        let first = self.id_of(0)?;
        let remove = self.client.cluster().member_remove(first).wait_until_accepted(BUDGET);
        let left = self.runtime.run(remove.send())?.members;
        if left.len() != 2 || left.iter().any(|member| member.id == first) {
            return Err(format!("{first} was to go: {left:?}").into());
        }
        Ok(self.cluster.member(0).wait_end(END_LIMIT)?)
    }

    fn defragment_each(&self) -> Result<(), Error> {
        for endpoint in self.client.endpoints() {
            self.runtime.run(self.client.maintenance().defragment(endpoint).send())?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<(), Error> {
        let path = std::env::temp_dir().join(format!("etcd3-membership-{}", std::process::id()));
        let (client, to) = (self.client.clone(), path.clone());
        self.runtime.run(async move { client.maintenance().snapshot().save(to).await })?;
        let size = std::fs::metadata(&path)?.len();
        std::fs::remove_file(&path)?;
        if size == 0 { Err("an empty snapshot".into()) } else { Ok(()) }
    }

    /// Returns the id of a member, by another way than the client.
    fn id_of(&self, member: usize) -> Result<MemberId, Error> {
        Ok(MemberId(self.cluster.member(member).status()?.member_id))
    }
}

fn table(steps: &[Step], calls: &[CallRecord]) -> Table {
    let mut table = Table::new(["step", "took"].into_iter().chain(CALL_COLUMNS));
    for (index, step) in steps.iter().enumerate() {
        let next = steps.get(index + 1).map(|next| next.begun);
        let of_step = [step.name.clone(), millis(step.ended - step.begun)];
        table.row(of_step.into_iter().chain(call_cells(calls, step.begun, next)));
    }
    table
}

/// Returns the failures that no caller may see, in words.
fn failures(steps: &[Step], calls: &[CallRecord]) -> Vec<String> {
    let in_flight = |call: &CallRecord| {
        let moves = steps.iter().filter(|step| step.name == "leadership moved");
        moves.into_iter().any(|step| call.begun <= step.ended && call.ended >= step.begun)
    };
    let is_allowed =
        |call: &&CallRecord| call.is_write() && call.failed_as(Outcome::Unknown) && in_flight(call);
    let failed = calls.iter().filter(|call| call.failed() && !is_allowed(call));
    let texts: Vec<String> = failed
        .filter_map(|call| {
            let what = if call.is_write() { "a write" } else { "a read" };
            let failure = call.result.as_ref().err()?;
            Some(format!("{what} failed within {}: {}", millis(call.took()), failure.text))
        })
        .collect();
    let more = texts.len().saturating_sub(MAX_TOLD);
    let mut told: Vec<String> = texts.into_iter().take(MAX_TOLD).collect();
    told.extend((more > 0).then(|| format!("and {more} more failures")));
    told
}
