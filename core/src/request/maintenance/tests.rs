use super::*;
use crate::ErrorKind;
use crate::Version;
use crate::method::Effect;
use crate::request::{Limits, Operation};
use crate::rpc::UnaryRequest;
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::health::{HealthCheckResponse, health_check_response::ServingStatus};
use prost::Message;

fn decoded<T: Operation>(operation: T, answer: &impl Message) -> T::Response {
    operation.decode(answer.encode_to_vec().into(), None).unwrap()
}

// R15, R16: what only looks may be repeated, whatever its method may do.
#[test]
fn what_may_be_made_again() {
    let alarm = Alarm::new(7, AlarmKind::NoSpace);
    for (effect, expected) in [
        (status().rpc().effect, Effect::Read),
        (hash().rpc().effect, Effect::Read),
        (hash_kv(0).rpc().effect, Effect::Read),
        (health_check().rpc().effect, Effect::Read),
        (alarms().rpc().effect, Effect::Read),
        (arm(alarm).rpc().effect, Effect::IdempotentWrite),
        (disarm(alarm).rpc().effect, Effect::IdempotentWrite),
        (validate_downgrade((3, 5)).rpc().effect, Effect::Read),
        (enable_downgrade((3, 5)).rpc().effect, Effect::Write),
        (cancel_downgrade().rpc().effect, Effect::Write),
        (move_leader(7).rpc().effect, Effect::Write),
        (defragment().rpc().effect, Effect::Write),
    ] {
        assert_eq!(effect, expected);
    }
    // An action that this side does not know may do anything.
    let unknown = pb::AlarmRequest { action: 9, ..Default::default() };
    assert_eq!(unknown.rpc().effect, Effect::IdempotentWrite);
    let unknown = pb::DowngradeRequest { action: 9, ..Default::default() };
    assert_eq!(unknown.rpc().effect, Effect::Write);
}

// M20
#[test]
fn alarms_are_named_by_member_and_kind() {
    let sent = |mut request: Alarms| *request.request(&Limits::default()).unwrap();
    let list = sent(alarms());
    assert_eq!((list.action, list.member_id, list.alarm), (0, 0, 0));
    let armed = sent(arm(Alarm::new(7, AlarmKind::Corrupt)));
    assert_eq!((armed.action, armed.member_id, armed.alarm), (1, 7, 2));
    let disarmed = sent(disarm(Alarm::new(u64::MAX, AlarmKind::NoSpace)));
    assert_eq!((disarmed.action, disarmed.member_id, disarmed.alarm), (2, u64::MAX, 1));

    let told = [(1, 7), (2, 8), (9, 9)];
    let told = told.map(|(alarm, member_id)| pb::AlarmMember { member_id, alarm });
    let answer = pb::AlarmResponse { header: None, alarms: told.into() };
    let kinds = [AlarmKind::NoSpace, AlarmKind::Corrupt, AlarmKind::Other(9)];
    let expected: Vec<_> = (7..).zip(kinds).map(|(id, kind)| Alarm::new(id, kind)).collect();
    assert_eq!(decoded(alarms(), &answer).alarms, expected);
    // Also one of a kind that is not known can be disarmed.
    assert_eq!(sent(disarm(expected[2])).alarm, 9);
}

// M25
#[test]
fn a_hash_begins_at_a_compaction_or_at_the_beginning() {
    let error = hash_kv(-1).request(&Limits::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert_eq!(hash_kv(9).request(&Limits::default()).unwrap().revision, 9);
    for (compact_revision, hash_revision, expected) in
        [(-1, 0, (None, None)), (0, 0, (None, None)), (5, 9, (Some(5), Some(9)))]
    {
        let answer = pb::HashKvResponse { header: None, hash: 1, compact_revision, hash_revision };
        let told = decoded(hash_kv(0), &answer);
        assert_eq!((told.compact_revision, told.hash_revision), expected);
    }
}

// M26
#[test]
fn a_version_to_go_down_to_is_written_as_servers_read_it() {
    let sent = |mut request: Downgrade| request.request(&Limits::default()).unwrap().clone();
    let validate = sent(validate_downgrade(Version::new(3, 5)));
    assert_eq!((validate.action, &*validate.version), (0, "3.5.0"));
    assert_eq!(sent(enable_downgrade((3, 10))).version, "3.10.0");
    let cancel = sent(cancel_downgrade());
    assert_eq!((cancel.action, &*cancel.version), (2, ""));
    assert_eq!(enable_downgrade((3, 5)).target(), Some(Version::new(3, 5)));
    assert_eq!(cancel_downgrade().target(), None);

    let answer = |version: &str| pb::DowngradeResponse { header: None, version: version.into() };
    let told = |version| decoded(cancel_downgrade(), &answer(version)).cluster_version;
    assert_eq!((told("3.6.0"), told("")), (Some(Version::new(3, 6)), None));
}

#[test]
fn what_a_server_says_of_itself_is_one_of_three() {
    for (status, expected) in [
        (ServingStatus::Serving.into(), Serving::Yes),
        (ServingStatus::NotServing.into(), Serving::No),
        (ServingStatus::Unknown.into(), Serving::Unknown),
        (ServingStatus::ServiceUnknown.into(), Serving::Unknown),
        (9, Serving::Unknown),
    ] {
        assert_eq!(decoded(health_check(), &HealthCheckResponse { status }), expected);
    }
}
