//! One lock, or election, and contenders of both kinds that hold it in turns.

use super::tool::Etcdctl;
use super::{Book, Contended, Contender, Holding, Kind, passed_over};
use crate::load::{BlockingRuntime, Error, Table, millis};
use crate::{BoxError, JoinHandle};
use etcd3::recipes::{Election, LeaderChange, LeaderChanges, Mutex};
use etcd3::{Client, prefix};
use etcd3_lab::Server;
use etcd3_lab::etcd::Binary;
use futures_lite::future::block_on;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time to live of all leases.
const TTL: Duration = Duration::from_secs(30);

/// The contenders, what for, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// What is contended for.
    pub contended: Contended,
    /// How many contenders there are of each kind.
    pub of_each: usize,
    /// How often each holds the lock.
    pub turns: usize,
}

/// Has all contenders hold what there is as often as planned, and prints what came of it; returns
/// whether nobody was passed over, and nothing is left.
///
/// # Errors
///
/// When two hold it at once, and when the server or a tool fails.
pub fn run(runtime: &BlockingRuntime, etcd: &Binary, plan: Plan) -> Result<bool, Error> {
    let server = Server::builder().version(etcd).start()?;
    let url = server.client_url();
    let client = runtime.connect([url.clone()])?;
    let book = Arc::new(Book::new(client.clone()));
    let etcdctl = Etcdctl::new(&url)?;
    let begin = Instant::now();
    let count = 2 * plan.of_each * plan.turns;
    let follower = runtime.spawn(follow(client.clone(), plan.contended, count));
    let mut tasks: Vec<JoinHandle<Result<(), BoxError>>> = Vec::new();
    for number in 0..plan.of_each {
        let (book, client) = (Arc::clone(&book), client.clone());
        tasks.push(runtime.spawn(async move { ours(client, &book, number, plan).await }));
    }
    let theirs: Vec<_> = (plan.of_each..2 * plan.of_each)
        .map(|number| {
            let (book, client, etcdctl) = (Arc::clone(&book), client.clone(), etcdctl.clone());
            std::thread::spawn(move || etcdctls(&etcdctl, &client, &book, (number, plan)))
        })
        .collect();
    for task in tasks {
        block_on(task)?;
    }
    for thread in theirs {
        thread.join().map_err(|_| "a contender has panicked")??;
    }
    let took = begin.elapsed();
    let left = runtime.run({
        let client = client.clone();
        async move { client.get(prefix(format!("{}/", plan.contended.name()))).await }
    })?;
    let holdings = book.holdings();
    let held: Vec<i64> = holdings.iter().map(|it| it.create_revision).collect();
    let seen = block_on(follower)?;
    if seen != held {
        println!("{seen:?} were seen to hold, in the order of their keys, and {held:?} did");
    }
    Ok(report(etcd, plan, &holdings, took) && left.count == 0 && seen == held)
}

/// Follows who leads, whatever it is that leads: returns the create revisions of so many keys.
// X28, I-S6
async fn follow(client: Client, what: Contended, count: usize) -> Result<Vec<i64>, BoxError> {
    let mut changes = LeaderChanges::new(&client, what.name());
    let mut seen = Vec::new();
    while seen.len() < count {
        if let LeaderChange::Elected(leader) = changes.next().await.ok_or("no end")?? {
            seen.push(leader.create_revision());
        }
    }
    Ok(seen)
}

/// Holds it so often by the recipe.
async fn ours(client: Client, book: &Book, number: usize, plan: Plan) -> Result<(), BoxError> {
    let contender = Contender { kind: Kind::Ours, number };
    let session = client.session(TTL).await?;
    let name = plan.contended.name();
    let (mutex, election) = (Mutex::new(&session, name), Election::new(&session, name));
    for _ in 0..plan.turns {
        match plan.contended {
            Contended::Lock => {
                let guard = mutex.lock().await?;
                book.hold(contender, guard.create_revision(), guard.fence()).await?;
                guard.unlock().await?;
            }
            Contended::Election => {
                let leadership = election.campaign(number.to_string()).await?;
                book.hold(contender, leadership.create_revision(), leadership.fence()).await?;
                leadership.resign().await?;
            }
        }
    }
    session.close().await?;
    Ok(())
}

/// Holds it so often by `etcdctl`, each time in the name of a process of its own.
fn etcdctls(
    etcdctl: &Etcdctl,
    client: &Client,
    book: &Book,
    (number, plan): (usize, Plan),
) -> Result<(), BoxError> {
    let contender = Contender { kind: Kind::Etcdctl, number };
    let ttl = TTL.as_secs().to_string();
    let (name, value) = (plan.contended.name(), number.to_string());
    let words = match plan.contended {
        Contended::Lock => ["lock", name, "--ttl", &ttl].to_vec(),
        Contended::Election => ["elect", name, &value].to_vec(),
    };
    for _ in 0..plan.turns {
        let held = etcdctl.hold(&words)?;
        let found = block_on(client.get(&held.key).into_future())?;
        let own = found.into_first().ok_or("the key of etcdctl is not there")?;
        let fence = etcd3::key(own.key).create_revision().eq(own.create_revision);
        block_on(book.hold(contender, own.create_revision, fence))?;
        held.release()?;
    }
    Ok(())
}

/// Prints who held how often; returns whether that is as planned, and in order.
fn report(etcd: &Binary, plan: Plan, holdings: &[Holding], took: Duration) -> bool {
    let mut counts = BTreeMap::new();
    for holding in holdings {
        let contender = holding.contender;
        *counts.entry((contender.kind == Kind::Etcdctl, contender.number)).or_insert(0_usize) += 1;
    }
    let early = passed_over(holdings);
    let changes = holdings.windows(2).filter(|it| it[0].contender.kind != it[1].contender.kind);
    let mut table = Table::new(["etcd", "of", "contenders", "held", "changes", "early", "took"]);
    table.row([
        etcd.version.to_string(),
        format!("{:?}", plan.contended),
        format!("{} and {} of etcdctl", plan.of_each, plan.of_each),
        holdings.len().to_string(),
        changes.count().to_string(),
        early.len().to_string(),
        millis(took),
    ]);
    println!("{table}");
    for holding in &early {
        println!("before its turn: {holding:?}");
    }
    let is_fair = counts.len() == 2 * plan.of_each && counts.values().all(|it| *it == plan.turns);
    if !is_fair {
        println!("not all had their turns: {counts:?}");
    }
    is_fair && early.is_empty()
}
