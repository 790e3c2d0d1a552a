//! One lease that breaks the stream, or holds it up, harms no other.

use crate::rig::{Rig, granted, ms, secs};
use etcd3_core::lease::{Input, LossReason, SingleRenewal};
use etcd3_core::{Error, ErrorKind, LeaseId, ServerError};

fn denied() -> Error {
    Error::new(ErrorKind::Server(ServerError::PermissionDenied))
}

/// Answers what is asked for as a server does that refuses one lease, for this time; returns how
/// many streams it took.
fn serve_all_but(rig: &mut Rig, forbidden: i64, time: std::time::Duration) -> usize {
    let end = rig.now + time;
    let mut streams = 0;
    while rig.now < end {
        'stream: loop {
            if rig.take_attempt().is_some() {
                streams += 1;
                rig.open_at(1);
            }
            let asked = rig.asked();
            if asked.is_empty() {
                break;
            }
            for id in asked {
                if id == forbidden {
                    rig.end_with(ServerError::PermissionDenied);
                    continue 'stream;
                }
                rig.answer(id, 60);
            }
        }
        for (single, _) in rig.singles() {
            let SingleRenewal { lease, .. } = single;
            let result = if lease == forbidden { Err(denied()) } else { Ok(60) };
            rig.answer_single(single, rig.now, result);
        }
        rig.rest(ms(20));
    }
    streams
}

// L12, L42, I-L5
#[test]
fn a_forbidden_lease_among_a_hundred_starves_none() {
    let mut rig = Rig::with_leases(100, 60);
    let streams = serve_all_but(&mut rig, 37, secs(240));
    assert!(streams <= 2, "{streams} streams");
    assert_eq!(rig.lost(), [(37, LossReason::PermissionDenied)]);
    let late: Vec<i64> = rig.late().into_iter().map(|it| it.0).collect();
    assert!(late.iter().all(|id| *id == 37), "{late:?}");
}

// L10, L42: the server works on them in their order, so it was the oldest.
#[test]
fn the_oldest_request_is_isolated_and_the_others_go_on() {
    let mut rig = Rig::with_leases(3, 60);
    rig.rest(secs(20));
    let asked = rig.asked();
    rig.end_with(ServerError::PermissionDenied);
    let singles: Vec<i64> = rig.singles().into_iter().map(|it| it.0.lease.0).collect();
    assert_eq!(singles, asked[..1]);
    rig.reopen();
    let mut again = rig.asked();
    again.sort_unstable();
    let mut rest = asked[1..].to_vec();
    rest.sort_unstable();
    assert_eq!(again, rest);
}

// I-L5: a lease that was in the way by chance goes back to the stream.
#[test]
fn two_acknowledgements_bring_a_lease_back_to_the_stream() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.end_with(ServerError::PermissionDenied);
    let single = rig.rest_until_single();
    rig.answer_single(single, rig.now, Ok(60));
    assert_eq!(rig.take_attempt().map(|_| ()), None, "for no lease");
    let single = rig.rest_until_single();
    assert_eq!(rig.asked(), []);
    rig.answer_single(single, rig.now, Ok(60));
    rig.reopen();
    assert_eq!(rig.rest_until_asked(), [1]);
}

// A token that is out of date says nothing of the lease.
#[test]
fn a_stale_token_isolates_none() {
    let mut rig = Rig::with_leases(2, 60);
    rig.rest(secs(20)).asked();
    rig.end_with(ServerError::InvalidAuthToken);
    assert_eq!(rig.singles(), []);
    rig.reopen();
    assert_eq!(rig.asked().len(), 2);
}

// L10: a renewal that hangs holds up all that are behind it, on whichever stream.
#[test]
fn a_lease_whose_renewals_hang_does_not_hold_up_the_stream() {
    let mut rig = Rig::with_leases(500, 6);
    // The one that hangs has more time than it takes to see what it does.
    rig.remove(250);
    rig.feed(Input::Add(LeaseId(250), granted(rig.now - secs(18), 60)));
    let end = rig.now + secs(30);
    let (mut streams, mut singles) = (0, 0);
    while rig.now < end {
        if rig.take_attempt().is_some() {
            streams += 1;
            rig.open_at(streams);
        }
        // The server stands still at the first one that hangs.
        for id in rig.asked() {
            if id == 250 {
                while rig.take_attempt().is_none() && rig.now < end {
                    rig.rest(ms(20));
                    rig.asked();
                    singles += answer_singles(&mut rig);
                }
                streams += 1;
                rig.open_at(streams);
                break;
            }
            rig.answer(id, 6);
        }
        singles += answer_singles(&mut rig);
        rig.rest(ms(20));
    }
    let lost: Vec<i64> = rig.lost().into_iter().map(|it| it.0).collect();
    assert_eq!(lost, []);
    assert!(streams <= 6, "{streams} streams");
    assert!(singles <= 500, "{singles} calls of their own");
}

/// Answers the calls of their own, of which one hangs, after a while.
fn answer_singles(rig: &mut Rig) -> usize {
    let mut singles = rig.singles();
    singles.retain(|it| it.0.lease != 250);
    for (single, _) in &singles {
        rig.answer_single(*single, rig.now, Ok(6));
    }
    singles.len()
}
