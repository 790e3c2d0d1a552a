//! Renewals that are late are told, and nothing else is.

use crate::rig::{Rig, ms, secs};
use etcd3_core::ServerError;

// L43: within a twentieth of the time to live.
#[test]
fn a_renewal_that_is_not_answered_is_told_soon() {
    for (ttl, within) in [(60, 3_000), (5, 250), (2, 200)] {
        let mut rig = Rig::with_leases(1, ttl);
        rig.rest_until_asked();
        let asked = rig.now;
        let late = rig.rest_until(|rig| rig.late().pop());
        assert!(rig.now.saturating_since(asked) <= ms(within), "TTL {ttl}");
        assert!(late.1 <= asked && late.1 + ms(within) >= asked, "TTL {ttl}");
        rig.rest(secs(ttl / 2));
        assert_eq!(rig.late(), [], "once");
    }
}

#[test]
fn without_a_stream_a_renewal_is_late_as_soon() {
    let mut rig = Rig::with_leases(1, 60);
    rig.end_with(ServerError::NoLeader);
    let (_, since, cause) = rig.rest_until(|rig| rig.late().pop());
    assert_eq!(rig.now.saturating_since(since), secs(3));
    assert_eq!(cause.and_then(|it| it.server_error()), Some(ServerError::NoLeader));
}

// The next lateness is told, too, and not for the reason of the one before.
#[test]
fn a_renewal_ends_the_lateness_and_its_cause() {
    let mut rig = Rig::with_leases(1, 20);
    rig.end_with(ServerError::NoLeader);
    rig.rest_until(|rig| rig.late().pop());
    rig.reopen();
    rig.serve(secs(5), 20);
    assert_eq!((rig.late(), rig.renewed().len()), (vec![], 1));
    rig.rest_until_asked();
    let (_, _, cause) = rig.rest_until(|rig| rig.late().pop());
    assert_eq!(cause, None, "nothing went wrong since");
}

// I-L4: members say that they do not know it, again and again.
#[test]
fn a_new_lease_that_is_confirmed_without_end_is_late_in_time() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    let asked = rig.now;
    let mut confirmed = 0;
    let (_, since, _) = rig.rest_until(|rig| {
        if !rig.asked().is_empty() || rig.now == asked {
            rig.answer(1, 0);
        }
        for id in rig.confirms() {
            confirmed += 1;
            rig.confirm(id, Ok(true));
        }
        rig.late().pop()
    });
    assert!(confirmed > 3, "{confirmed}");
    assert_eq!(since, asked);
    assert!(rig.now.saturating_since(asked) <= secs(3));
}
