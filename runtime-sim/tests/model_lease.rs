//! Leases in time (L1–L14, C52, M21).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use etcd3::Code::Unavailable;
use etcd3::Status;
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb::event::EventType;
use etcd3_sim::model::{Call, ClusterConfig, Delays};
use model_support::*;
use std::time::Duration;

fn leased(key: &str, lease: i64) -> pb::PutRequest {
    pb::PutRequest { lease, ..put(key, "v") }
}

fn renew(etcd: &mut Alone, id: i64) -> i64 {
    let answer = etcd.ask(pb::LeaseKeepAliveRequest { id }).unwrap();
    pb::LeaseKeepAliveResponse::try_from(answer).unwrap().ttl
}

fn time_to_live(etcd: &mut Alone, id: i64) -> pb::LeaseTimeToLiveResponse {
    etcd.call(pb::LeaseTimeToLiveRequest { id, keys: true }).unwrap()
}

fn cluster(version: (u16, u16, u16), members: usize) -> Alone {
    let mut config = ClusterConfig::new(members, personality(version), 5);
    config.delays = Delays::NONE;
    let mut etcd = Alone::with(config);
    etcd.member = etcd.cluster.leader().unwrap();
    etcd
}

// L1
#[test]
fn the_server_chooses_a_positive_id() {
    let etcd = &mut Alone::new(NEW);
    let granted = etcd.call(pb::LeaseGrantRequest { id: 0, ttl: 60 }).unwrap();
    assert!(granted.id > 0);
    assert_eq!((granted.ttl, granted.error.as_str()), (60, ""));
    assert_eq!(etcd.grant(-5, 60), Ok(60), "the client may choose any");
    let listed = etcd.call(pb::LeaseLeasesRequest {}).unwrap();
    assert_eq!(listed.leases.len(), 2);
}

// L2
#[test]
fn revoking_deletes_the_keys_in_order_and_in_one_revision() {
    let etcd = &mut Alone::new(NEW);
    etcd.grant(1, 60).unwrap();
    for key in ["c", "a", "b"] {
        etcd.call(leased(key, 1)).unwrap();
    }
    let stream = etcd.open();
    let all = pb::WatchCreateRequest { range_end: bytes("z"), ..create("a") };
    etcd.watch(stream, [order(all)], Duration::ZERO);
    etcd.call(pb::LeaseRevokeRequest { id: 1 }).unwrap();
    let messages = etcd.watch(stream, [], Duration::ZERO);
    assert_eq!(messages.len(), 1);
    let seen: Vec<_> = messages[0].events.iter().map(|e| e.kv.clone().unwrap()).collect();
    let keys: Vec<_> = seen.iter().map(|kv| kv.key.clone()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(seen.iter().all(|kv| kv.mod_revision == 5));
    assert!(messages[0].events.iter().all(|e| e.r#type() == EventType::Delete));
}

// L3: whole seconds, cut.
#[test]
fn the_time_to_live_counts_down_in_whole_seconds() {
    let etcd = &mut Alone::new(NEW);
    etcd.grant(1, 60).unwrap();
    etcd.call(leased("a", 1)).unwrap();
    assert_eq!(time_to_live(etcd, 1).ttl, 60);
    etcd.wait(ms(100));
    let left = time_to_live(etcd, 1);
    assert_eq!((left.ttl, left.granted_ttl, left.keys), (59, 60, vec![bytes("a")]));
    etcd.wait(ms(10_000));
    assert_eq!(renew(etcd, 1), 60);
    assert_eq!(time_to_live(etcd, 1).ttl, 60);
}

// L6: on the next tick of half a second after the end.
#[test]
fn a_lease_ends_within_a_second_of_its_time() {
    for offset in [0, 1, 300, 499] {
        let etcd = &mut Alone::new(NEW);
        etcd.wait(ms(offset));
        etcd.grant(1, 3).unwrap();
        etcd.call(leased("a", 1)).unwrap();
        etcd.wait(ms(2999));
        assert!(etcd.get("a").is_some(), "{offset}");
        etcd.wait(ms(501));
        assert!(etcd.get("a").is_none(), "{offset}");
        assert_eq!(time_to_live(etcd, 1).ttl, -1);
        assert_eq!(renew(etcd, 1), 0);
        assert_eq!(etcd.revision(), 3);
    }
}

#[test]
fn renewing_keeps_a_lease_alive() {
    let etcd = &mut Alone::new(NEW);
    etcd.grant(1, 3).unwrap();
    etcd.call(leased("a", 1)).unwrap();
    for _ in 0..20 {
        etcd.wait(ms(1000));
        assert_eq!(renew(etcd, 1), 3);
    }
    assert!(etcd.get("a").is_some());
}

// Between its time and its end a lease is neither renewed nor said to be gone.
#[test]
fn renewing_a_lease_that_has_run_out_waits_for_its_end() {
    let etcd = &mut Alone::new(NEW);
    etcd.wait(ms(100));
    etcd.grant(1, 3).unwrap();
    etcd.wait(ms(3001));
    let call = Call::new(etcd.member, pb::LeaseKeepAliveRequest { id: 1 });
    let ticket = etcd.cluster.submit(etcd.now, call);
    assert!(answer(&mut etcd.cluster.poll(etcd.now), ticket).is_none());
    let late = answer(&mut etcd.cluster.poll(etcd.now + ms(500)), ticket).unwrap().unwrap();
    assert_eq!(pb::LeaseKeepAliveResponse::try_from(late).unwrap().ttl, 0);
}

// A put moves a key from lease to lease.
#[test]
fn a_key_hangs_on_its_last_lease() {
    let etcd = &mut Alone::new(NEW);
    etcd.grant(1, 60).unwrap();
    etcd.grant(2, 60).unwrap();
    etcd.call(leased("a", 1)).unwrap();
    etcd.call(leased("a", 2)).unwrap();
    etcd.call(pb::LeaseRevokeRequest { id: 1 }).unwrap();
    assert_eq!(etcd.get("a").unwrap().lease, 2);
    etcd.delete("a");
    assert!(time_to_live(etcd, 2).keys.is_empty());
}

// L5: a new leader gives every lease its full time, and an election timeout.
#[test]
fn a_new_leader_starts_all_leases_anew() {
    let etcd = &mut cluster(NEW, 3);
    etcd.grant(1, 10).unwrap();
    etcd.wait(ms(9000));
    let follower = etcd.cluster.member_ids().into_iter().find(|id| *id != etcd.member).unwrap();
    assert!(etcd.cluster.transfer_leadership(etcd.now, follower));
    assert_eq!(time_to_live(etcd, 1).ttl, 11);
    etcd.wait(ms(10_900));
    assert_eq!(time_to_live(etcd, 1).ttl, 0);
    etcd.wait(ms(600));
    assert_eq!(time_to_live(etcd, 1).ttl, -1);
}

// Any member answers for the leader.
#[test]
fn a_follower_passes_lease_calls_on() {
    let etcd = &mut cluster(NEW, 3);
    etcd.grant(1, 10).unwrap();
    etcd.wait(ms(4000));
    for member in etcd.cluster.member_ids() {
        etcd.member = member;
        assert_eq!(time_to_live(etcd, 1).ttl, 6);
    }
    assert_eq!(renew(etcd, 1), 10);
}

fn follower(etcd: &Alone) -> u64 {
    etcd.cluster.member_ids().into_iter().find(|id| *id != etcd.member).unwrap()
}

/// How a renewal ends that takes seven seconds.
fn fate(etcd: &mut Alone, member: u64) -> Status {
    let call = Call::new(member, pb::LeaseKeepAliveRequest { id: 1 });
    let ticket = etcd.cluster.submit(etcd.now, call);
    assert!(answer(&mut etcd.cluster.poll(etcd.now + ms(6999)), ticket).is_none());
    let late = answer(&mut etcd.cluster.poll(etcd.now + ms(7000)), ticket).unwrap();
    late.unwrap_err()
}

// L12: a renewal ends the stream after 7 s; how depends on what became of the leader.
#[test]
fn renewals_time_out_where_no_leader_is_reached() {
    let no_leader = "etcdserver: no leader";
    let cut_off = &mut cluster(NEW, 3);
    let member = follower(cut_off);
    cut_off.cluster.isolate(cut_off.now, member);
    assert_eq!(fate(cut_off, member).message, "etcdserver: request timed out");
    cut_off.wait(ms(8000));
    assert_eq!(fate(cut_off, member).message, no_leader, "it knows none any more");

    let orphaned = &mut cluster(NEW, 3);
    let member = follower(orphaned);
    for id in orphaned.cluster.member_ids().into_iter().filter(|id| *id != member) {
        orphaned.cluster.kill(orphaned.now, id);
    }
    let status = fate(orphaned, member);
    assert_eq!((status.code, status.message.as_str()), (Unavailable, no_leader));
}

// A leader that is cut off renews until it gives up.
#[test]
fn a_leader_without_a_quorum_renews_for_an_election_timeout() {
    for version in VERSIONS {
        let etcd = &mut cluster(version, 3);
        etcd.grant(1, 60).unwrap();
        etcd.cluster.isolate(etcd.now, etcd.member);
        assert_eq!(renew(etcd, 1), 60);
        etcd.wait(ms(1000));
        assert_eq!(fate(etcd, etcd.member).message, "etcdserver: no leader");
    }
}

// L13
#[test]
fn a_renewal_tells_the_revision_of_its_arrival() {
    let mut config = ClusterConfig::new(1, personality(NEW), 5);
    config.delays = Delays { read: (ms(5), ms(5)), ..Delays::NONE };
    let etcd = &mut Alone::with(config);
    etcd.grant(1, 60).unwrap();
    let call = Call::new(etcd.member, pb::LeaseKeepAliveRequest { id: 1 });
    let ticket = etcd.cluster.submit(etcd.now, call);
    etcd.put("a", "1");
    let renewed = answer(&mut etcd.cluster.poll(etcd.now + ms(5)), ticket).unwrap().unwrap();
    let renewed = pb::LeaseKeepAliveResponse::try_from(renewed).unwrap();
    assert_eq!(renewed.header.unwrap().revision, 1);
}

// H6, M21: a write that finds the quota used up when it is applied is applied all the same.
#[test]
fn a_write_over_the_quota_is_applied_and_refused() {
    let mut config = ClusterConfig::new(1, personality(NEW), 5);
    config.delays = Delays::NONE;
    config.delays.commit = (ms(1), ms(1));
    config.quota_bytes = Some(1000);
    let etcd = &mut Alone::with(config);
    let writes = ["a", "b", "c"].map(|key| {
        etcd.cluster.submit(etcd.now, Call::new(etcd.member, put(key, &"x".repeat(400))))
    });
    etcd.now = etcd.now + ms(1);
    let mut outputs = etcd.cluster.poll(etcd.now);
    let text = "etcdserver: mvcc: database space exceeded";
    let results = writes.map(|ticket| answer(&mut outputs, ticket).unwrap());
    assert!(results[0].is_ok());
    let [_, second, _] = results;
    refused(second, etcd3::Code::ResourceExhausted, text);
    let stored = etcd.cluster.replica(etcd.member).unwrap().store().revision();
    assert_eq!(stored, 4, "all three were applied");
    let call = Call::new(etcd.member, put("d", &"x".repeat(400)));
    let fourth = etcd.cluster.submit(etcd.now, call);
    let fourth = answer(&mut etcd.cluster.poll(etcd.now), fourth).unwrap();
    refused(fourth, etcd3::Code::ResourceExhausted, text);
    etcd.wait(ms(10));
    let alarms = etcd.cluster.replica(etcd.member).unwrap().alarms().count();
    assert_eq!(alarms, 1, "and the alarm is raised");
}
