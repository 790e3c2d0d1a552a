//! The cluster that a channel belongs to, and the revision that it has seen (I-R8, B26).

use crate::rig::{Rig, ended};
use etcd3_core::channel::{Checked, ConnectionId, Floor, Input, Want};
use etcd3_core::header::Header;

/// An answer of this cluster at this revision, to a request that is sent now.
fn answer(rig: &mut Rig, connection: u64, cluster_id: u64, revision: i64) -> Checked {
    let floor = rig.channel.floor();
    check(rig, connection, (cluster_id, revision), Some(floor))
}

fn check(rig: &mut Rig, id: u64, (cluster_id, revision): (u64, i64), at: Option<Floor>) -> Checked {
    rig.channel.check(ConnectionId(id), &Header { cluster_id, member_id: 1, revision }, at)
}

#[test]
fn an_answer_below_the_floor_is_stale() {
    let mut rig = Rig::connected(3);
    assert_eq!(answer(&mut rig, 1, 7, 100), Checked::Fresh);
    assert_eq!(answer(&mut rig, 2, 7, 99), Checked::Stale { floor: 100 });
    assert_eq!(answer(&mut rig, 2, 7, 100), Checked::Fresh);
    assert_eq!(check(&mut rig, 2, (7, 1), None), Checked::Fresh, "serializable, or a write");
    assert_eq!(rig.channel.floor().revision, 100);
}

// What was completed after a request was sent is no measure for its answer.
#[test]
fn the_floor_is_that_of_the_moment_of_sending() {
    let mut rig = Rig::connected(3);
    answer(&mut rig, 1, 7, 100);
    let sent = rig.route(Want::default()).unwrap().floor;
    answer(&mut rig, 2, 7, 200);
    assert_eq!(check(&mut rig, 1, (7, 150), sent), Checked::Fresh);
    assert_eq!(check(&mut rig, 1, (7, 99), sent), Checked::Stale { floor: 100 });
}

// I-R8: all endpoints have become another cluster: said once.
#[test]
fn a_new_cluster_resets_the_floor_once() {
    let mut rig = Rig::connected(2);
    answer(&mut rig, 1, 7, 100);
    answer(&mut rig, 2, 7, 100);
    for (old, new) in [(1, 3), (2, 4)] {
        rig.feed(ended(ConnectionId(old))).rest(10_000).feed(Input::Connected(ConnectionId(new)));
    }
    assert_eq!(answer(&mut rig, 3, 8, 5), Checked::Changed { expected: 7 });
    assert_eq!(answer(&mut rig, 3, 8, 5), Checked::Fresh);
    assert_eq!(answer(&mut rig, 4, 8, 6), Checked::Fresh);
}

// B26: one endpoint of another cluster among ours does not make us change sides.
#[test]
fn a_foreign_endpoint_is_refused_while_another_shows_our_cluster() {
    let mut rig = Rig::connected(2);
    answer(&mut rig, 1, 7, 100);
    for _ in 0..3 {
        assert_eq!(answer(&mut rig, 2, 8, 5), Checked::Foreign { expected: 7 });
    }
    assert_eq!(answer(&mut rig, 1, 7, 101), Checked::Fresh);
    rig.feed(ended(ConnectionId(1)));
    assert_eq!(answer(&mut rig, 2, 8, 5), Checked::Changed { expected: 7 }, "no witness is left");
}

// B26: what was foreign before does not win by answering first when all have to connect again.
#[test]
fn a_foreign_endpoint_stays_foreign_over_its_connections() {
    let mut rig = Rig::connected(3);
    answer(&mut rig, 1, 7, 100);
    answer(&mut rig, 2, 7, 100);
    assert_eq!(answer(&mut rig, 3, 8, 5), Checked::Foreign { expected: 7 });
    for n in 1..=3 {
        rig.feed(ended(ConnectionId(n)));
    }
    rig.rest(10_000);
    for n in 4..=6 {
        rig.feed(Input::Connected(ConnectionId(n)));
    }
    let of_third = rig.dials.iter().rev().find(|(_, endpoint, _)| *endpoint == 2);
    let of_third = of_third.map_or(0, |(.., id)| *id);
    let of_first = if of_third == 4 { 5 } else { 4 };
    assert_eq!(answer(&mut rig, of_third, 8, 5), Checked::Foreign { expected: 7 });
    assert_eq!(answer(&mut rig, of_first, 7, 100), Checked::Fresh);
}

// F10: a cluster that was restored under its old id answers from the past until that is accepted.
#[test]
fn the_floor_can_be_forgotten() {
    let mut rig = Rig::connected(1);
    answer(&mut rig, 1, 7, 100);
    assert_eq!(answer(&mut rig, 1, 7, 50), Checked::Stale { floor: 100 });
    rig.feed(Input::ForgetFloor);
    assert_eq!(answer(&mut rig, 1, 7, 50), Checked::Fresh);
    assert_eq!(answer(&mut rig, 1, 7, 49), Checked::Stale { floor: 50 });
}

// I-R5: a tenth of the calls may be retries, and a thousand at once.
#[test]
fn retries_are_bounded() {
    let mut rig = Rig::connected(1);
    let spent = (0..9_000).filter(|_| rig.channel.spend_retry()).count();
    assert_eq!(spent, 1_000);
    for _ in 0..50 {
        rig.begin(1);
    }
    assert_eq!((0..1_000).filter(|_| rig.channel.spend_retry()).count(), 5);
}
