//! Time and faults: what is answered when, and what becomes of a request that is not.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::{DeadlineExceeded, FailedPrecondition, Unavailable, Unknown};
use etcd3::Status;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;
use etcd3_sim::model::{
    Call, Cluster, ClusterConfig, Delays, Output, Request, Response, StreamOptions, Ticket,
};
use model_support::*;
use std::time::Duration;

const TIMED_OUT: &str = "etcdserver: request timed out";
const NO_LEADER: &str = "etcdserver: no leader";

/// Three members: the leader first.
struct Three {
    cluster: Cluster,
    ids: [u64; 3],
    now: Instant,
    /// Answers that came while another was waited for.
    backlog: Vec<Output>,
}

impl Three {
    fn new(seed: u64) -> Self {
        let mut config = ClusterConfig::new(3, personality(NEW), seed);
        let step = (ms(1), ms(1));
        config.delays = Delays { commit: step, apply: step, read: step, ..Delays::NONE };
        let cluster = Cluster::with_config(config);
        let leader = cluster.leader().unwrap();
        let others: Vec<_> = cluster.member_ids().into_iter().filter(|id| *id != leader).collect();
        Self {
            cluster,
            ids: [leader, others[0], others[1]],
            now: Instant::ORIGIN,
            backlog: Vec::new(),
        }
    }

    fn submit(&mut self, member: usize, request: impl Into<Request>) -> Ticket {
        self.cluster.submit(self.now, Call::new(self.ids[member], request))
    }

    fn wait(&mut self, time: Duration) -> Vec<Output> {
        self.now = self.now + time;
        self.cluster.poll(self.now)
    }

    /// Waits for an answer, event by event, and says how long it took.
    fn answer(&mut self, ticket: Ticket) -> (Result<Response, Status>, Duration) {
        let began = self.now;
        for _ in 0..1000 {
            let outputs = self.wait(Duration::ZERO);
            self.backlog.extend(outputs);
            if let Some(result) = answer(&mut self.backlog, ticket) {
                return (result, self.now.saturating_since(began));
            }
            self.now = self.cluster.next_deadline().expect("something to come").max(self.now);
        }
        panic!("no answer");
    }

    fn value(&self, member: usize, key: &str) -> Option<String> {
        let mut cluster = self.cluster.clone();
        let read = pb::RangeRequest { serializable: true, ..get(key) };
        let ticket = cluster.submit(self.now, Call::new(self.ids[member], read));
        let result = answer(&mut cluster.poll(self.now), ticket)?.unwrap();
        let kv = pb::RangeResponse::try_from(result).unwrap().kvs.pop()?;
        Some(String::from_utf8(kv.value.to_vec()).unwrap())
    }
}

#[test]
fn a_write_is_answered_when_the_member_has_applied_it() {
    let three = &mut Three::new(1);
    for member in 0..3 {
        let ticket = three.submit(member, put("a", "1"));
        let (result, time) = three.answer(ticket);
        assert_eq!(result.unwrap().header().unwrap().member_id, three.ids[member]);
        assert_eq!(time, ms(2));
    }
}

#[test]
fn a_linearizable_read_waits_for_what_was_committed() {
    let three = &mut Three::new(1);
    three.cluster.hold_applying(three.now, three.ids[1], true);
    let write = three.submit(0, put("a", "1"));
    three.answer(write).0.unwrap();
    let stale = pb::RangeRequest { serializable: true, ..get("a") };
    let stale = three.submit(1, stale);
    let (stale, _) = three.answer(stale);
    assert_eq!(stale.unwrap().header().unwrap().revision, 1, "serializable is old");
    let read = three.submit(1, get("a"));
    assert!(answer(&mut three.wait(ms(6000)), read).is_none());
    three.cluster.hold_applying(three.now, three.ids[1], false);
    let (read, _) = three.answer(read);
    assert_eq!(read.unwrap().header().unwrap().revision, 2);
}

#[test]
fn a_linearizable_read_of_a_member_that_stays_behind_times_out() {
    let three = &mut Three::new(1);
    three.cluster.hold_applying(three.now, three.ids[1], true);
    let write = three.submit(0, put("a", "1"));
    three.answer(write).0.unwrap();
    let read = three.submit(1, get("a"));
    let (result, time) = three.answer(read);
    refused(result, Unavailable, TIMED_OUT);
    assert_eq!(time, ms(7000));
}

// B14: everything at a member in the minority times out after 7 s, and never happens.
#[test]
fn a_minority_times_out() {
    let three = &mut Three::new(1);
    let minority = three.ids[1];
    three.cluster.isolate(three.now, minority);
    let write = three.submit(1, put("a", "1"));
    let read = three.submit(1, get("a"));
    let grant = three.submit(1, pb::LeaseGrantRequest { id: 1, ttl: 60 });
    for ticket in [write, read, grant] {
        let (result, _) = three.answer(ticket);
        refused(result, Unavailable, TIMED_OUT);
    }
    assert_eq!(three.now, Instant::ORIGIN + ms(7000));
    three.cluster.heal(three.now);
    three.wait(ms(20_000));
    assert!((0..3).all(|member| three.value(member, "a").is_none()));
    let write = three.submit(1, put("a", "2"));
    three.answer(write).0.unwrap();
}

// The write is in the leader's log, its client is told that it timed out, and then it may be
// committed: whoever is elected decides.
#[test]
fn a_write_may_be_committed_after_its_timeout() {
    let ends: Vec<_> = (0..40)
        .map(|seed| {
            let three = &mut Three::new(seed);
            for member in [1, 2] {
                three.cluster.pause(three.now, three.ids[member]);
            }
            let write = three.submit(0, put("a", "1"));
            let (result, time) = three.answer(write);
            refused(result, Unavailable, TIMED_OUT);
            assert_eq!((time, three.value(0, "a")), (ms(7000), None));
            for member in [1, 2] {
                three.cluster.resume(three.now, three.ids[member]);
            }
            assert!(three.wait(ms(10_000)).is_empty(), "nobody is told");
            let values = [0, 1, 2].map(|member| three.value(member, "a"));
            assert!(values.iter().all(|value| *value == values[0]), "{values:?}");
            values[0].is_some()
        })
        .collect();
    assert!(ends.contains(&true) && ends.contains(&false), "{ends:?}");
}

// Its leader is killed: over the seeds both ends are seen.
#[test]
fn whether_a_write_survives_its_leader_depends_on_the_seed() {
    let ends: Vec<_> = (0..40)
        .map(|seed| {
            let three = &mut Three::new(seed);
            let write = three.submit(1, put("a", "1"));
            three.cluster.kill(three.now, three.ids[0]);
            let (result, _) = three.answer(write);
            three.wait(ms(10_000));
            (result.is_ok(), three.value(1, "a").is_some(), three.value(2, "a").is_some())
        })
        .collect();
    assert!(ends.iter().all(|(_, first, second)| first == second), "members agree");
    assert!(ends.iter().all(|(is_ok, first, _)| !is_ok || *first), "what is answered is done");
    assert!(ends.iter().any(|(_, first, _)| *first) && ends.iter().any(|(_, first, _)| !first));
}

// The answer is lost with the member, the write is not.
#[test]
fn a_write_is_applied_though_its_answer_is_lost() {
    let three = &mut Three::new(1);
    let write = three.submit(1, put("a", "1"));
    three.now = three.now + ms(1);
    assert!(three.wait(Duration::ZERO).is_empty(), "committed, and applied nowhere");
    three.cluster.kill(three.now, three.ids[1]);
    let outputs = three.wait(ms(20_000));
    assert!(outputs.is_empty());
    assert_eq!(three.cluster.pending_count(), 0);
    assert_eq!(three.value(0, "a").as_deref(), Some("1"));
    three.cluster.restart(three.now, three.ids[1]);
    three.wait(ms(10));
    assert_eq!(three.value(1, "a").as_deref(), Some("1"), "it catches up");
    let _ = write;
}

// The leader of a minority gives up; the others go on under a higher term.
#[test]
fn the_majority_elects_a_leader() {
    let three = &mut Three::new(1);
    let (old, term) = (three.ids[0], three.cluster.term());
    three.cluster.isolate(three.now, old);
    let doomed = three.submit(0, put("a", "doomed"));
    let blocked = three.submit(1, get("a"));
    let outputs = three.wait(ms(2100));
    three.backlog.extend(outputs);
    let new = three.cluster.leader().unwrap();
    assert!(new != old && three.cluster.term() == term + 1);
    let (blocked, _) = three.answer(blocked);
    refused(blocked, Unavailable, "etcdserver: leader changed");
    let write = three.submit(1, put("a", "1"));
    three.answer(write).0.unwrap();
    let (doomed, _) = three.answer(doomed);
    refused(doomed, Unavailable, TIMED_OUT);
    three.cluster.heal(three.now);
    three.wait(ms(100));
    let values: Vec<_> = (0..3).map(|member| three.value(member, "a").unwrap()).collect();
    assert_eq!(values, ["1", "1", "1"]);
}

// Measured with two of three members stopped: a write that never found a leader ends otherwise
// than one that was handed to a leader, a read does not.
#[test]
fn a_write_without_a_leader_ends_in_a_bare_deadline() {
    for (version, code) in [(OLD, Unknown), (NEW, DeadlineExceeded)] {
        let mut config = ClusterConfig::new(3, personality(version), 1);
        config.delays = Delays::NONE;
        let mut cluster = Cluster::with_config(config);
        let leader = cluster.leader().unwrap();
        let lost = Instant::ORIGIN;
        for id in cluster.member_ids().into_iter().filter(|id| *id != leader) {
            cluster.pause(lost, id);
        }
        let first = cluster.submit(lost, Call::new(leader, put("a", "1")));
        let later = lost + ms(8000);
        let mut outputs = cluster.poll(later);
        refused(answer(&mut outputs, first).unwrap(), Unavailable, TIMED_OUT);
        let write = cluster.submit(later, Call::new(leader, put("a", "2")));
        let read = cluster.submit(later, Call::new(leader, get("a")));
        assert!(cluster.poll(later + ms(6999)).is_empty());
        let mut outputs = cluster.poll(later + ms(7000));
        refused(answer(&mut outputs, write).unwrap(), code, "context deadline exceeded");
        refused(answer(&mut outputs, read).unwrap(), Unavailable, TIMED_OUT);
    }
}

#[test]
fn a_request_waits_for_an_election() {
    let three = &mut Three::new(1);
    three.cluster.kill(three.now, three.ids[0]);
    three.wait(ms(1000));
    let write = three.submit(1, put("a", "1"));
    let (result, time) = three.answer(write);
    result.unwrap();
    assert!(time < ms(1100), "{time:?}");
}

// W18, and unary calls.
#[test]
fn w18_whoever_requires_a_leader_is_told_that_there_is_none() {
    let three = &mut Three::new(1);
    let member = three.ids[1];
    let options = |requires_leader| StreamOptions { requires_leader, ..StreamOptions::new(member) };
    let open = three.cluster.open_watch(three.now, options(true));
    let patient = three.cluster.open_watch(three.now, options(false));
    three.cluster.isolate(three.now, member);
    assert!(three.wait(ms(3900)).is_empty());
    let outputs = three.wait(ms(200));
    let [Output::WatchEnd(ended, status)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!((*ended, status.code, status.message.as_str()), (open, Unavailable, NO_LEADER));
    let late = three.cluster.open_watch(three.now, options(true));
    assert!(matches!(three.wait(ms(0))[..], [Output::WatchEnd(id, _)] if id == late));
    let call = Call::new(member, get("a")).with_leader();
    let refusal = three.cluster.submit(three.now, call);
    refused(three.answer(refusal).0, Unavailable, NO_LEADER);
    // W19: a stream that does not ask stays open and silent, and takes new watchers.
    three.cluster.watch(three.now, patient, order(create("a")));
    assert_eq!(messages(&mut three.wait(ms(1)), patient).len(), 1);
    let write = three.submit(0, put("a", "1"));
    three.answer(write).0.unwrap();
    assert!(messages(&mut three.wait(ms(5000)), patient).is_empty());
    three.cluster.heal(three.now);
    assert_eq!(messages(&mut three.wait(ms(100)), patient)[0].events.len(), 1);
}

// W20, M13, KV-030
#[test]
fn w20_a_learner_serves_serializable_reads_and_status() {
    for (version, code) in [(OLD, Unavailable), (NEW, Unavailable), ((3, 6, 0), FailedPrecondition)]
    {
        let mut config = ClusterConfig::new(2, personality(version), 3);
        config.delays = Delays::NONE;
        config.members[1].is_learner = true;
        let etcd = &mut Alone::with(config);
        let voter = etcd.cluster.leader().unwrap();
        let learner = etcd.cluster.member_ids().into_iter().find(|id| *id != voter).unwrap();
        etcd.member = voter;
        etcd.put("a", "1");
        etcd.member = learner;
        let stale = pb::RangeRequest { serializable: true, ..get("a") };
        assert_eq!(etcd.call(stale).unwrap().kvs.len(), 1);
        assert!(etcd.call(pb::StatusRequest {}).unwrap().is_learner);
        let text = "etcdserver: rpc not supported for learner";
        let requests: Vec<Request> = vec![
            get("a").into(),
            put("a", "2").into(),
            txn(vec![], vec![], vec![]).into(),
            pb::LeaseGrantRequest { id: 1, ttl: 60 }.into(),
            pb::MemberListRequest { linearizable: false }.into(),
        ];
        for request in requests {
            refused(etcd.ask(request), code, text);
        }
        let stream = etcd.cluster.open_watch(etcd.now, StreamOptions::new(learner));
        let outputs = etcd.cluster.poll(etcd.now);
        let [Output::WatchEnd(ended, status)] = &outputs[..] else { panic!("{outputs:?}") };
        assert_eq!((*ended, status.code, status.message.as_str()), (stream, code, text));
    }
}

// K50, M24
#[test]
fn status_tells_how_a_member_sees_the_cluster() {
    let three = &mut Three::new(1);
    let status = |three: &mut Three, member| {
        let ticket = three.submit(member, pb::StatusRequest {});
        pb::StatusResponse::try_from(three.answer(ticket).0.unwrap()).unwrap()
    };
    let before = status(three, 1);
    assert_eq!((before.version.as_str(), before.leader), ("3.5.30", three.ids[0]));
    assert_eq!(before.header.unwrap().cluster_id, three.cluster.id());
    assert!(before.errors.is_empty());
    let write = three.submit(1, put("a", "1"));
    three.answer(write).0.unwrap();
    let after = status(three, 1);
    assert!(after.raft_index > before.raft_index && after.db_size > before.db_size);
    assert_eq!(after.raft_applied_index, after.raft_index);
    three.cluster.isolate(three.now, three.ids[1]);
    three.wait(ms(1000));
    let lost = status(three, 1);
    assert_eq!((lost.leader, &lost.errors[..]), (0, &[NO_LEADER.to_owned()][..]));
    let listed = three.submit(0, pb::MemberListRequest { linearizable: true });
    let listed = pb::MemberListResponse::try_from(three.answer(listed).0.unwrap()).unwrap();
    assert_eq!((listed.members.len(), listed.header.unwrap().revision), (3, 0));
}

#[test]
fn the_leadership_can_be_handed_over() {
    let three = &mut Three::new(1);
    let target_id = three.ids[2];
    let ask = |three: &mut Three, member, target_id| {
        let ticket = three.submit(member, pb::MoveLeaderRequest { target_id });
        three.answer(ticket).0
    };
    refused(ask(three, 1, target_id), FailedPrecondition, "etcdserver: not leader");
    refused(ask(three, 0, 5), FailedPrecondition, "etcdserver: bad leader transferee");
    assert_eq!(ask(three, 0, target_id).unwrap().header(), None);
    assert_eq!(three.cluster.leader(), Some(target_id));
}

// F2, F3: a paused member keeps its requests and says nothing until it goes on.
#[test]
fn a_paused_member_is_silent() {
    let three = &mut Three::new(1);
    three.cluster.pause(three.now, three.ids[1]);
    let read = three.submit(1, get("a"));
    assert!(three.wait(ms(20_000)).is_empty());
    three.cluster.resume(three.now, three.ids[1]);
    let (result, time) = three.answer(read);
    refused(result, Unavailable, TIMED_OUT);
    assert_eq!(time, ms(0), "its time is up at once");
}

#[test]
fn a_member_that_is_down_never_answers() {
    let three = &mut Three::new(1);
    three.cluster.kill(three.now, three.ids[1]);
    three.submit(1, get("a"));
    three.cluster.open_watch(three.now, StreamOptions::new(three.ids[1]));
    assert!(three.wait(ms(60_000)).is_empty());
    assert_eq!((three.cluster.pending_count(), three.cluster.watch_counts()), (0, (0, 0)));
}

// The gap is set low, so that a member that comes back gets a snapshot.
#[test]
fn a_member_far_behind_gets_a_snapshot() {
    let mut config = ClusterConfig::new(3, personality(NEW), 1);
    config.delays = Delays::NONE;
    config.snapshot_gap = 10;
    let etcd = &mut Alone::with(config);
    etcd.member = etcd.cluster.leader().unwrap();
    let far = etcd.cluster.member_ids().into_iter().find(|id| *id != etcd.member).unwrap();
    let stream = etcd.cluster.open_watch(etcd.now, StreamOptions::new(far));
    let all = pb::WatchCreateRequest { range_end: bytes("z"), ..create("a") };
    etcd.cluster.watch(etcd.now, stream, order(all));
    etcd.cluster.isolate(etcd.now, far);
    for n in 0..20 {
        etcd.put("a", &n.to_string());
    }
    etcd.compact(15).unwrap();
    etcd.cluster.heal(etcd.now);
    let messages = etcd.watch(stream, [], ms(200));
    let ended = messages.last().unwrap();
    assert_eq!((ended.canceled, ended.compact_revision), (true, 15), "its next is compacted");
}
