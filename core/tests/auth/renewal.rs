//! JWTs, which say when they expire.

use crate::rig::*;
use etcd3_core::Secret;
use etcd3_core::auth::{Answer, Generation, Input, TokenReason};
use std::time::Duration;

/// The time since 1970 at the origin of the machine's clock.
const BEGINNING: u64 = 1_700_000_000;
/// `{"exp":1700000300}`
const OF_300_S: &str = "e30.eyJleHAiOjE3MDAwMDAzMDB9.c2ln";
/// `{"exp":1700000600}`
const OF_600_S: &str = "e30.eyJleHAiOjE3MDAwMDA2MDB9.c2ln";

fn obtain_at(rig: &mut Rig, token: &str, unix: u64) {
    let unix_time = Some(Duration::from_secs(unix));
    rig.feed(Input::Obtained { token: Secret::new(token), unix_time });
}

fn with_jwt() -> Rig {
    let mut rig = Rig::new(settings());
    rig.ask(None);
    obtain_at(&mut rig, OF_300_S, BEGINNING);
    rig.asked.clear();
    rig
}

// A17
#[test]
fn a_jwt_is_renewed_before_it_expires_by_whoever_asks_then() {
    let mut rig = with_jwt();
    rig.rest_ms(180_000);
    assert_eq!((rig.ask(None), rig.asked.len()), (Answer::Take(Generation(1)), 0), "too early");
    rig.rest_ms(46_000);
    assert_eq!(rig.asked, [], "nobody asks");
    for _ in 0..100 {
        assert_eq!(rig.ask(None), Answer::Take(Generation(1)), "nobody waits");
    }
    assert_eq!(rig.asked, [(ms(226_000), TokenReason::Expiring)]);
    obtain_at(&mut rig, OF_600_S, BEGINNING + 226);
    assert_eq!(rig.ask(None), Answer::Take(Generation(2)));
    rig.rest_ms(100_000);
    assert_eq!((rig.ask(None), rig.asked.len()), (Answer::Take(Generation(2)), 1));
}

#[test]
fn a_renewal_that_fails_leaves_the_token_and_is_made_again() {
    let mut rig = with_jwt();
    rig.rest_ms(226_000).ask(None);
    for n in 2..5 {
        rig.feed(Input::Failed(if n == 3 { wrong_password() } else { unavailable() }));
        assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
        assert_eq!(rig.asked.len(), n - 1, "not at once");
        rig.rest_ms(31_000);
        assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
        assert_eq!(rig.asked.len(), n);
    }
    // It expires.
    assert_eq!(rig.ask(invalid(1)), Answer::Wait);
    obtain_at(&mut rig, OF_600_S, BEGINNING + 320);
    assert_eq!(rig.ask(invalid(1)), Answer::Take(Generation(2)));
    assert_eq!(rig.asked.len(), 4, "the renewal under way serves those, too");
}

// A clock that is wrong does no harm.
#[test]
fn a_token_that_has_expired_when_it_comes_is_not_renewed_without_end() {
    for unix in [BEGINNING + 300, BEGINNING + 10_000, 0] {
        let mut rig = Rig::new(settings());
        rig.ask(None);
        obtain_at(&mut rig, OF_300_S, unix);
        for _ in 0..1_000 {
            assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
            rig.rest_ms(1_000);
        }
        assert_eq!(rig.asked.len(), 1, "at {unix}");
    }
}
