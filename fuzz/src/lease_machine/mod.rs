//! The machine that keeps leases alive with a hostile server: the laws, and what it promises
//! whatever is said (I-L1, I-L2, I-L4, I-L5, I-L7, I-L8, I-W12, L46).

// The judge of core's own tests, and what it takes a server to say.
#[path = "../../../core/tests/lease/judge.rs"]
#[expect(dead_code, reason = "core's tests need more of it")]
mod judge;
#[path = "../../../core/tests/lease/server.rs"]
mod server;

use arbitrary::Arbitrary;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::{Denied, EndpointId};
use etcd3_core::lease::{Input, KeepAlive, Known, Settings};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Error, ErrorKind, Instant, LeaseId, Outcome, ServerError, laws};
use judge::Judge;
use server::{CLUSTER, answer, end, granted, lost};
use std::time::Duration;

#[derive(Debug, Arbitrary)]
struct Run {
    backoff_ms: (u8, u16),
    linger_ms: u16,
    seed: u64,
}

/// What happens next, some milliseconds after the step before, and whether all that is under way
/// is then answered well.
#[derive(Debug, Arbitrary)]
enum Step {
    Add { id: u8, ttl: u8, age: u8, is_new: bool },
    AddUnknown(u8),
    Remove(u8),
    Renew(u8),
    Single { after: u8, ttl: Option<u8> },
    Confirmed(Option<bool>),
    Suspended(u8),
    Throttled,
    Sent(u8),
    Answer { id: u8, ttl: i8 },
    Huge(u8),
    Foreign(u8),
    Malformed,
    End(u8),
    Lost(bool),
    Migrate,
    Closed,
}

/// Runs the machine with whatever a server may say.
///
/// # Panics
///
/// When it breaks a law or a promise.
pub fn lease_machine(data: &[u8]) {
    let Some((run, steps)) = crate::steps::<Run, (u8, bool, Step)>(data, 200) else { return };
    let leases = KeepAlive::new(settings(&run));
    let mut judge = Judge::new(leases.clone());
    let mut script = Vec::new();
    let mut feed = |judge: &mut Judge, input: Input| {
        script.push((judge.now, input.clone()));
        judge.feed(&input);
    };
    // From then on the cluster is known.
    feed(&mut judge, Input::Add(LeaseId(99), granted(Instant::ORIGIN, 30)));
    for (after, is_proper, step) in &steps {
        let now = judge.now + Duration::from_millis(u64::from(*after) * 16);
        judge.advance(now);
        if let Some(input) = input(&judge, step) {
            let is_sent = matches!(input, Input::Sent(_));
            feed(&mut judge, input);
            if is_sent {
                judge.is_wanted = false;
                feed(&mut judge, Input::Stream(server::head()));
            }
        }
        for _ in 0..if *is_proper { 20 } else { 0 } {
            let Some(input) = proper(&judge) else { break };
            feed(&mut judge, input);
        }
    }
    laws::check_machine(&leases, &script);
}

fn settings(run: &Run) -> Settings {
    let ms = |ms: u16| Duration::from_millis(ms.into());
    Settings {
        backoff: Backoff { first: ms(run.backoff_ms.0.into()), cap: ms(run.backoff_ms.1) },
        max_message_bytes: 1 << 20,
        require_leader: true,
        only: None,
        linger: ms(run.linger_ms),
        seed: run.seed,
    }
}

fn secs(secs: u8) -> Duration {
    Duration::from_secs((secs % 32).into())
}

/// Reads a step, as what is under way makes it; `None` if it needs what is not.
fn input(judge: &Judge, step: &Step) -> Option<Input> {
    let lease = |id: &u8| LeaseId(i64::from(id % 8));
    Some(match step {
        Step::Add { id, ttl, age, is_new } => {
            let sent = judge.now - Duration::from_millis(u64::from(*age) * 8);
            let known = granted(sent, 1 + u64::from(ttl % 32));
            Input::Add(lease(id), Known { is_new: *is_new, ..known })
        }
        Step::AddUnknown(id) => Input::Add(lease(id), Known::default()),
        Step::Remove(id) => Input::Remove(lease(id)),
        Step::Renew(id) => Input::Renew(lease(id)),
        Step::Single { after, ttl } => {
            let (single, since) = judge.next_single()?;
            let sent = since + Duration::from_millis(u64::from(*after) * 16);
            let failed = || Error::new(ErrorKind::Server(ServerError::PermissionDenied));
            Input::Single(single, sent, ttl.map(secs).ok_or_else(failed))
        }
        Step::Confirmed(result) => {
            let failed = || Error::new(ErrorKind::ConnectionLost);
            Input::Confirmed(judge.next_confirmation()?, result.ok_or_else(failed))
        }
        Step::Suspended(by) => Input::Suspended(Duration::from_millis(u64::from(*by) * 16)),
        Step::Throttled => Input::Denied(Denied::Throttled),
        Step::Sent(_) if !judge.is_wanted => return None,
        Step::Sent(endpoint) => sent(*endpoint),
        Step::Answer { id, ttl } => said(answer(CLUSTER, lease(id).0, i64::from(*ttl))),
        Step::Huge(id) => said(answer(CLUSTER, lease(id).0, i64::MAX)),
        Step::Foreign(id) => said(answer(CLUSTER + 1, lease(id).0, 0)),
        Step::Malformed => said(vec![0, 0, 0, 0, 2, 0xff, 0xff].into()),
        Step::End(code) => {
            let error = ServerError::ALL[usize::from(*code) % ServerError::ALL.len()];
            Input::Stream(end(error))
        }
        Step::Lost(false) => Input::Stream(lost()),
        Step::Lost(true) => {
            let lost = Lost { outcome: Outcome::NotSent, reset: None, cause: None };
            Input::Stream(Event::Lost(lost))
        }
        Step::Migrate => Input::Migrate,
        Step::Closed => Input::Closed(ErrorKind::Closed),
    })
}

fn said(frame: etcd3_core::Bytes) -> Input {
    Input::Stream(Event::Data(frame))
}

fn sent(endpoint: u8) -> Input {
    let endpoint = EndpointId(u32::from(endpoint % 3));
    Input::Sent(Sent { endpoint, has_choice: true, token: None, seen: 0 })
}

/// Returns what a server that keeps the rules, or a call to one, answers next.
fn proper(judge: &Judge) -> Option<Input> {
    let ttl = |id| judge.ttl(id).unwrap_or(Duration::from_secs(5));
    if let Some(id) = judge.next_asked().filter(|_| judge.leases.is_streaming()) {
        let ttl = i64::try_from(ttl(id).as_secs()).unwrap_or(i64::MAX);
        return Some(said(answer(CLUSTER, id.0, ttl)));
    }
    if let Some((single, since)) = judge.next_single() {
        return Some(Input::Single(single, since, Ok(ttl(single.lease))));
    }
    judge.next_confirmation().map(|id| Input::Confirmed(id, Ok(true)))
}
