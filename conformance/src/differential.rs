//! The model etcd against real servers: the same operations, the same answers.
//!
//! A list of random operations comes from a seed. It runs on a model alone first, and then on a
//! fresh server; each answer has to be equal in code, text and content. What is different on every
//! server is left out: the ids of cluster and member, the raft term, the order of leases and their
//! keys, and up to a second of what remains of a lease.

use crate::BoxError;
use etcd3::proto::etcdserverpb::ResponseHeader;
use etcd3::runtime::Instant;
use etcd3::{Client, Code, Config, Status};
use etcd3_core::UnaryRequest;
use etcd3_lab::Server;
use etcd3_lab::command::tail;
use etcd3_lab::etcd::{Binary, Version};
use etcd3_sim::Personality;
use etcd3_sim::generate::{Counts, Generator, Position};
use etcd3_sim::model::{
    Call, Cluster, ClusterConfig, Delays, Output, Request, Response, RpcResult,
};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Number of operations in a list.
pub const LIST_LEN: usize = 200;
/// Servers at a time: while one starts, another works.
const WORKERS: usize = 3;
/// The election timeout of the server and of the model; the shortest lease follows from it.
const ELECTION_MS: u32 = 100;
/// The limit of an operation: servers answer in milliseconds, or not at all.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// What is told of the log of a server that ended, in lines.
const LOG_LINES: usize = 30;
/// How often a list that differed runs again to see whether it always does.
const CONFIRMATIONS: u32 = 3;
/// The largest number of runs for making a list shorter.
const MAX_TRIES: u32 = 400;

/// Why a comparison ended early.
pub type Error = BoxError;

/// An operation and what the model makes of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// The operation.
    pub request: Request,
    /// Where the store was before it.
    pub at: Position,
    /// The model's answer.
    pub answer: RpcResult,
}

/// An operation to which the model and a server gave different answers.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The seed of the list.
    pub seed: u64,
    /// The place of the operation in the list, from 0.
    pub index: usize,
    /// The list up to and with this operation.
    pub list: Vec<Request>,
    /// The model's answer.
    pub model: RpcResult,
    /// The server's answer.
    pub server: RpcResult,
    /// The end of the server's log, if its process ended.
    pub log: Option<String>,
}

/// How a comparison ended.
#[derive(Debug, Clone, Default)]
pub struct DifferentialReport {
    /// What ran, and agreed but for the differences.
    pub counts: Counts,
    /// What differed each time that it ran; the search ends at the first.
    pub difference: Option<Difference>,
    /// Seeds of lists that differed once and not again.
    pub unsteady: Vec<u64>,
}

/// Runs the lists of these seeds on the model and on servers of this version.
///
/// # Errors
///
/// When a server does not start.
pub fn compare(etcd: &Binary, seeds: Range<u64>) -> Result<DifferentialReport, Error> {
    let (next, is_over) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let report = Mutex::new(DifferentialReport::default());
    let work = || -> Result<(), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        while !is_over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let one = runtime.block_on(one_list(etcd, seed)).inspect_err(|_| {
                is_over.store(true, Ordering::Relaxed);
            })?;
            is_over.fetch_or(one.difference.is_some(), Ordering::Relaxed);
            let mut all = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.counts.merge(&one.counts);
            all.unsteady.extend(one.unsteady);
            all.difference = all.difference.take().or(one.difference);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker panicked")?)
    })?;
    Ok(report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Drops operations of a list for as long as it still differs.
///
/// # Errors
///
/// When a server does not start.
pub fn shrink(etcd: &Binary, found: Difference) -> Result<Difference, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let seed = found.seed;
    shorten(found, |requests| {
        let steps = steps(etcd.version, requests);
        runtime.block_on(first_difference(etcd, seed, &steps))
    })
}

/// Drops halves, quarters and so on of a list for as long as a run of the rest finds a difference.
fn shorten(
    found: Difference,
    mut run: impl FnMut(Vec<Request>) -> Result<Option<Difference>, Error>,
) -> Result<Difference, Error> {
    let mut best = found;
    let mut tries = 0;
    let mut chunk = best.list.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start < best.list.len() && tries < MAX_TRIES {
            tries += 1;
            let end = best.list.len().min(start + chunk);
            let kept = best.list[..start].iter().chain(&best.list[end..]).cloned().collect();
            match run(kept)? {
                Some(shorter) => best = shorter,
                None => start = end,
            }
        }
        chunk /= 2;
    }
    Ok(best)
}

/// Returns the list of a seed, with the answers of a model of this version.
#[must_use]
pub fn list(version: Version, seed: u64) -> Vec<Step> {
    let mut generator = Generator::new(seed);
    let mut model = Model::new(version);
    let mut steps = Vec::new();
    while steps.len() < LIST_LEN {
        let request = generator.next(model.position());
        steps.extend(model.step(request));
    }
    steps
}

/// These operations, with the answers of a model of this version.
fn steps(version: Version, requests: impl IntoIterator<Item = Request>) -> Vec<Step> {
    let mut model = Model::new(version);
    requests.into_iter().filter_map(|request| model.step(request)).collect()
}

async fn one_list(etcd: &Binary, seed: u64) -> Result<DifferentialReport, Error> {
    let steps = list(etcd.version, seed);
    let mut report = DifferentialReport::default();
    for step in &steps {
        report.counts.add(&step.request, step.at);
        if let Err(status) = &step.answer {
            report.counts.add_error(&status.message);
        }
    }
    if first_difference(etcd, seed, &steps).await?.is_none() {
        return Ok(report);
    }
    for _ in 0..CONFIRMATIONS {
        report.difference = first_difference(etcd, seed, &steps).await?;
        if report.difference.is_some() {
            return Ok(report);
        }
    }
    report.unsteady.push(seed);
    Ok(report)
}

/// Runs a list on a fresh server up to the first answer that is not the model's.
async fn first_difference(
    etcd: &Binary,
    seed: u64,
    steps: &[Step],
) -> Result<Option<Difference>, Error> {
    let server = Server::builder().version(etcd).election(ELECTION_MS).start()?;
    let started = std::time::Instant::now();
    let config = Config::new([server.client_url()]).max_attempts(1).request_timeout(REQUEST_LIMIT);
    let client = etcd3_tokio::connect(config).await?;
    for (index, step) in steps.iter().enumerate() {
        let mut answer = ask(&client, step.request.clone()).await;
        let mut expected = step.answer.clone();
        normalise(&mut answer);
        normalise(&mut expected);
        allow_for_time(&expected, &mut answer, started.elapsed());
        if answer != expected {
            let log = (!server.is_running()).then(|| tail(&server.log(), LOG_LINES));
            let list = steps[..=index].iter().map(|step| step.request.clone()).collect();
            return Ok(Some(Difference {
                seed,
                index,
                list,
                model: expected,
                server: answer,
                log,
            }));
        }
    }
    Ok(None)
}

/// A model of one member, which answers at once.
struct Model {
    cluster: Cluster,
    member: u64,
}

impl Model {
    fn new(version: Version) -> Self {
        let part = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
        let personality =
            Personality::of(part(version.major), part(version.minor), part(version.patch));
        let mut config = ClusterConfig::new(1, personality, 1);
        config.delays = Delays::NONE;
        config.election_timeout = Duration::from_millis(ELECTION_MS.into());
        let cluster = Cluster::with_config(config);
        let member = cluster.member_ids().first().copied().unwrap_or_default();
        Self { cluster, member }
    }

    fn position(&self) -> Position {
        self.cluster.replica(self.member).map_or_else(Position::default, |replica| Position {
            revision: replica.store().revision(),
            compacted: replica.store().compacted(),
        })
    }

    /// Carries an operation out; `None` for one that would end the process of a server.
    fn step(&mut self, request: Request) -> Option<Step> {
        let at = self.position();
        let now = Instant::ORIGIN;
        let ticket = self.cluster.submit(now, Call::new(self.member, request.clone()));
        let answer = self.cluster.poll(now).into_iter().find_map(|output| match output {
            Output::Answer(answered, answer) if answered == ticket => Some(answer),
            _ => None,
        })?;
        let is_crash = answer.as_ref().is_err_and(|status| status.message.starts_with("model: "));
        (!is_crash).then_some(Step { request, at, answer })
    }
}

/// Sends any of the operations that a generator makes.
async fn ask(client: &Client, request: Request) -> RpcResult {
    macro_rules! ask_as {
        ($($kind:ident)*) => {
            match request {
                $(Request::$kind(message) => {
                    send(client, message).await.map(Response::$kind)
                })*
                other => Err(Status::new(Code::Unimplemented, other.path())),
            }
        };
    }
    ask_as!(Range Put DeleteRange Txn Compact LeaseGrant LeaseRevoke LeaseTimeToLive LeaseLeases)
}

async fn send<Q>(client: &Client, message: Q) -> Result<Q::Response, Status>
where
    Q: UnaryRequest + Send + Sync + 'static,
    Q::Response: Send,
{
    match client.rpc(message).await {
        Ok(response) => Ok(response),
        // No answer at all, as from a server whose process ended, is a difference as well.
        Err(error) => Err(error
            .status()
            .cloned()
            .unwrap_or_else(|| Status::new(Code::Unavailable, error.report().to_string()))),
    }
}

/// Drops what is different on every server.
fn normalise(answer: &mut RpcResult) {
    let Ok(response) = answer else { return };
    let header = match response {
        Response::Range(message) => &mut message.header,
        Response::Put(message) => &mut message.header,
        Response::DeleteRange(message) => &mut message.header,
        Response::Txn(message) => &mut message.header,
        Response::Compact(message) => &mut message.header,
        Response::LeaseGrant(message) => &mut message.header,
        Response::LeaseRevoke(message) => &mut message.header,
        Response::LeaseTimeToLive(message) => {
            message.keys.sort();
            &mut message.header
        }
        Response::LeaseLeases(message) => {
            message.leases.sort_by_key(|lease| lease.id);
            &mut message.header
        }
        _ => return,
    };
    if let Some(header) = header {
        *header = ResponseHeader { revision: header.revision, ..ResponseHeader::default() };
    }
}

/// Takes what remains of a lease for equal when the time that passed explains the difference.
fn allow_for_time(expected: &RpcResult, answer: &mut RpcResult, elapsed: Duration) {
    let (Ok(Response::LeaseTimeToLive(model)), Ok(Response::LeaseTimeToLive(server))) =
        (expected, answer)
    else {
        return;
    };
    let most = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX).saturating_add(1);
    if server.ttl >= 0 && (0..=most).contains(&model.ttl.saturating_sub(server.ttl)) {
        server.ttl = model.ttl;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3::proto::etcdserverpb as pb;
    use etcd3_lab::etcd;

    fn put(value: u8) -> Request {
        let (key, value) = ("k".into(), vec![value].into());
        pb::PutRequest { key, value, ..pb::PutRequest::default() }.into()
    }

    fn difference(list: Vec<Request>) -> Difference {
        let answer = || Err(Status::new(Code::Unknown, ""));
        Difference {
            seed: 0,
            index: list.len() - 1,
            list,
            model: answer(),
            server: answer(),
            log: None,
        }
    }

    #[test]
    fn a_list_is_shortened_to_what_matters() {
        let needed = [put(30), put(80)];
        let list: Vec<_> = (0..100).map(put).collect();
        let short = shorten(difference(list), |list| {
            let differs = needed.iter().all(|request| list.contains(request));
            Ok(differs.then(|| difference(list)))
        });
        assert_eq!(short.unwrap().list, needed);
    }

    #[test]
    fn the_same_seed_gives_the_same_list() {
        let version: Version = "3.5.30".parse().unwrap();
        let requests =
            |seed| list(version, seed).into_iter().map(|step| step.request).collect::<Vec<_>>();
        assert_eq!(requests(5), requests(5));
        assert_ne!(requests(5), requests(6));
        assert_eq!(requests(5).len(), LIST_LEN);
    }

    #[test]
    fn a_wrong_answer_is_found_in_its_code_its_text_and_its_content() {
        let etcd = etcd::any().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let first = |steps: &[Step]| {
            let found = runtime.block_on(first_difference(&etcd, 3, steps)).unwrap();
            found.map(|found| found.index)
        };
        let right = list(etcd.version, 3);
        assert_eq!(first(&right), None);
        for (index, step) in right.iter().enumerate().skip(20).step_by(37) {
            let mut wrong = right.clone();
            wrong[index].answer = match &step.answer {
                Err(status) if index % 2 == 0 => {
                    Err(Status::new(Code::Unknown, status.message.as_str()))
                }
                Err(status) => Err(Status::new(status.code, "in other words")),
                Ok(Response::Put(put)) => {
                    let mut put = put.clone();
                    put.header.as_mut().unwrap().revision += 1;
                    Ok(Response::Put(put))
                }
                Ok(_) => Err(Status::new(Code::Unknown, "")),
            };
            assert_eq!(first(&wrong), Some(index));
        }
    }
}
