//! Tokens that are refused.

use crate::rig::*;
use etcd3_core::auth::{Answer, Generation, Input, TokenReason};
use etcd3_core::rng::Rng;
use std::time::Duration;

// I-A1, I-A2, case 1
#[test]
fn a_thousand_that_are_refused_with_the_same_token_ask_for_one() {
    let mut rig = Rig::with_token();
    rig.rest_ms(60_000);
    for _ in 0..1_000 {
        assert_eq!(rig.ask(stale(1, TokenReason::OldRevision)), Answer::Wait);
    }
    assert_eq!(rig.ask(None), Answer::Wait, "and so do those that begin now");
    rig.rest_ms(50);
    assert_eq!(rig.asked.len(), 1);
    assert_eq!(rig.asked[0].1, TokenReason::OldRevision);
    assert_eq!(rig.ask(stale(1, TokenReason::OldRevision)), Answer::Wait, "it is on its way");
    rig.obtain("two");
    assert_eq!(rig.ask(invalid(1)), Answer::Take(Generation(2)));
    // Those that were under way all the time.
    assert_eq!(rig.ask(invalid(1)), Answer::Take(Generation(2)));
    rig.rest_ms(60_000);
    assert_eq!((rig.asked.len(), rig.token()), (1, Some("two")));
}

// I-A1, A-04
#[test]
fn logins_of_many_clients_are_spread() {
    let mut moments = Vec::new();
    for seed in 0..100 {
        let mut rig = Rig::new(etcd3_core::auth::Settings { seed, ..settings() });
        rig.ask(None);
        rig.obtain("one").rest_ms(60_000).ask(invalid(1));
        rig.rest_ms(1_000);
        moments.push(rig.asked[1].0.saturating_since(ms(60_000)));
    }
    moments.sort();
    assert!(moments[0] < Duration::from_millis(5), "{moments:?}");
    assert!(moments[99] > Duration::from_millis(40), "{moments:?}");
    assert!(moments[99] <= Duration::from_millis(50), "{moments:?}");
}

// R24: whatever is refused at once is not replaced without end.
#[test]
fn tokens_that_do_not_last_are_replaced_at_the_pace_of_a_backoff() {
    let mut rig = Rig::with_token();
    while rig.now < ms(60_000) {
        let generation = rig.generation().0;
        if rig.ask(invalid(generation)) == Answer::Wait {
            let asked = rig.asked.len();
            while rig.asked.len() == asked {
                rig.rest_ms(1);
            }
            rig.obtain(&format!("token-{generation}"));
        }
    }
    assert!((12..=25).contains(&rig.asked.len()), "{}", rig.asked.len());
    // One that lasts begins anew.
    rig.rest_ms(10_000);
    let before = rig.now;
    rig.ask(invalid(rig.generation().0));
    rig.rest_ms(1_000);
    let at = rig.asked.last().unwrap().0;
    assert!(at.saturating_since(before) <= Duration::from_millis(50));
}

// Case 2
#[test]
fn a_token_that_is_made_again_does_not_help() {
    let mut rig = Rig::with_token();
    rig.rest_ms(60_000);
    let refused = stale(1, TokenReason::OldRevision);
    for _ in 0..110 {
        assert_eq!(rig.ask(refused), Answer::Wait);
    }
    rig.rest_ms(100).obtain("one");
    for _ in 0..110 {
        assert_eq!(rig.ask(refused), Answer::None(None), "each ends in its own refusal");
        assert_eq!(rig.ask(None), Answer::None(None));
    }
    assert_eq!(rig.asked.len(), 1);
    // Later it is asked for again.
    rig.rest_ms(3_000);
    assert_eq!(rig.ask(None), Answer::Wait);
    rig.obtain("two");
    assert_eq!(rig.ask(refused), Answer::Take(Generation(2)));
}

// A-02, H8
#[test]
fn a_denial_asks_for_a_token_and_the_others_go_on() {
    let mut rig = Rig::with_token();
    rig.rest_ms(60_000);
    let denied = stale(1, TokenReason::Denied);
    assert_eq!(rig.ask(denied), Answer::Wait);
    assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
    assert_eq!(rig.asked, [(ms(60_000), TokenReason::Denied)]);
    rig.obtain("two");
    assert_eq!(rig.ask(denied), Answer::Take(Generation(2)));
}

#[test]
fn a_refusal_of_the_past_asks_for_nothing() {
    let mut rig = Rig::with_token();
    rig.rest_ms(60_000).ask(invalid(1));
    rig.rest_ms(60).obtain("two").feed(Input::Asked(invalid(1)));
    rig.rest_ms(60_000);
    assert_eq!(rig.asked.len(), 1);
    assert_eq!(rig.ask(None), Answer::Take(Generation(2)));
}

// A caller that was cancelled does not keep others from asking, nor does it make logins.
#[test]
fn a_login_under_way_goes_on_without_its_callers() {
    let mut rng = Rng::new(3);
    for _ in 0..100 {
        let mut rig = Rig::with_token();
        rig.rest_ms(60_000).ask(invalid(1));
        rig.rest_ms(rng.below(100)).rest_ms(60);
        assert_eq!(rig.asked.len(), 1);
        rig.obtain("two");
        assert_eq!(rig.ask(None), Answer::Take(Generation(2)));
    }
}
