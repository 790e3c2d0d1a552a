//! The first login, those that fail, and authentication that is switched off.

use crate::rig::*;
use etcd3_core::auth::{Answer, Generation, Input, Settings, Source, TokenReason};
use etcd3_core::{Error, ErrorKind, Outcome, Secret, ServerError};

// R22, I-A1
#[test]
fn one_login_serves_all_who_wait() {
    let mut rig = Rig::new(settings());
    for _ in 0..100 {
        assert_eq!(rig.ask(None), Answer::Wait);
    }
    assert_eq!(rig.asked, [(ms(0), TokenReason::First)]);
    rig.rest_ms(70).obtain("one");
    assert_eq!(rig.changes, 1, "all are woken");
    for _ in 0..100 {
        assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
    }
    assert_eq!((rig.token(), rig.asked.len()), (Some("one"), 1));
}

// R23, I-A3
#[test]
fn while_authentication_is_off_no_token_is_needed() {
    let mut rig = Rig::new(settings());
    rig.ask(None);
    rig.feed(Input::NotEnabled);
    assert_eq!((rig.ask(None), rig.token()), (Answer::Take(Generation(1)), None));
    // It is switched on.
    rig.rest_ms(60_000);
    assert_eq!(rig.ask(stale(1, TokenReason::Missing)), Answer::Wait);
    rig.rest_ms(100).obtain("one");
    assert_eq!((rig.ask(None), rig.token()), (Answer::Take(Generation(2)), Some("one")));
    // And off again: servers that look at tokens all the same refuse this one.
    rig.rest_ms(60_000);
    assert_eq!(rig.ask(invalid(2)), Answer::Wait);
    rig.rest_ms(100).feed(Input::NotEnabled);
    assert_eq!((rig.ask(invalid(2)), rig.token()), (Answer::Take(Generation(3)), None));
    let reasons: Vec<_> = rig.asked.iter().map(|it| it.1).collect();
    assert_eq!(reasons, [TokenReason::First, TokenReason::Missing, TokenReason::Invalid]);
}

// I-A2, case 4
#[test]
fn wrong_credentials_end_what_waits_and_are_tried_again_later() {
    let mut rig = Rig::new(settings());
    assert_eq!(rig.ask(None), Answer::Wait);
    rig.feed(Input::Failed(wrong_password()));
    for _ in 0..1_000 {
        assert_eq!(rig.ask(None), Answer::None(Some(wrong_password())));
        rig.rest_ms(1);
    }
    assert_eq!(rig.asked.len(), 1, "nobody else is sent there");
    // Somebody asks without end.
    while rig.now < ms(30_000) {
        if rig.ask(None) == Answer::Wait {
            rig.feed(Input::Failed(wrong_password()));
        }
        rig.rest_ms(10);
    }
    assert!((3..=5).contains(&rig.asked.len()), "{:?}", rig.asked);
    while rig.now < ms(600_000) {
        if rig.ask(None) == Answer::Wait {
            rig.feed(Input::Failed(wrong_password()));
        }
        rig.rest_ms(10);
    }
    let last = rig.asked.len();
    assert!((15..=35).contains(&last), "30 seconds from one to the next in the end: {last}");
    // They become right.
    while rig.ask(None) != Answer::Wait {
        rig.rest_ms(1_000);
    }
    rig.obtain("one");
    assert_eq!(rig.ask(None), Answer::Take(Generation(1)));
    assert_eq!(rig.auth.last_error(), None);
}

#[test]
fn nobody_who_asks_is_needed_to_forget_that_the_credentials_were_wrong() {
    let mut rig = Rig::new(settings());
    rig.ask(None);
    rig.feed(Input::Failed(wrong_password()));
    assert_eq!(rig.drain(), None, "nothing is planned");
    rig.rest_ms(600_000);
    assert_eq!(rig.asked.len(), 1);
}

//
#[test]
fn a_login_that_fails_is_made_again_as_long_as_somebody_waits() {
    let mut rig = Rig::new(settings());
    for n in 1..=10 {
        assert_eq!(rig.ask(None), Answer::Wait);
        rig.rest_ms(7_000);
        assert_eq!(rig.asked.len(), n, "5 seconds and jitter at most");
        rig.feed(Input::Failed(unavailable()));
        assert_eq!(rig.changes, u32::try_from(n).unwrap(), "who waits hears of it");
        assert_eq!(rig.auth.last_error(), Some(&unavailable()));
    }
    // All have given up.
    rig.rest_ms(600_000);
    assert_eq!(rig.asked.len(), 10);
    assert_eq!(rig.ask(None), Answer::Wait);
    rig.drain();
    assert_eq!(rig.asked.len(), 11);
}

#[test]
fn failures_are_judged_by_whether_they_may_pass() {
    let is_final = |error: Error| {
        let mut rig = Rig::new(settings());
        rig.ask(None);
        rig.feed(Input::Failed(error));
        match rig.ask(None) {
            Answer::None(Some(_)) => true,
            Answer::Wait => false,
            other => panic!("{other:?}"),
        }
    };
    for (error, expected) in [
        (wrong_password(), true),
        (answered(ServerError::PermissionDenied, Outcome::Rejected), true),
        (answered(ServerError::TooManyRequests, Outcome::Rejected), false),
        (answered(ServerError::LeaderChanged, Outcome::Unknown), false),
        (unavailable(), false),
        (Error::new(ErrorKind::PlaintextPassword), true),
        (Error::new(ErrorKind::ConnectionLost), false),
        (Error::new(ErrorKind::NoToken), false),
        (Error::protocol("the server gave no token"), false),
    ] {
        let shown = error.to_string();
        assert_eq!(is_final(error), expected, "{shown}");
    }
}

// A9
#[test]
fn a_token_that_the_user_gave_is_never_asked_for() {
    let mut rig = Rig::new(Settings::new(Source::Fixed(Secret::new("mine")), 7));
    assert_eq!((rig.ask(None), rig.token()), (Answer::Take(Generation(1)), Some("mine")));
    for _ in 0..3 {
        assert_eq!(rig.ask(invalid(1)), Answer::None(None), "what was refused stays refused");
        rig.feed(Input::Asked(invalid(1)));
        rig.rest_ms(60_000);
        assert_eq!(rig.ask(None), Answer::Take(Generation(1)), "another member may take it");
    }
    assert_eq!(rig.asked, []);
}

#[test]
fn nothing_secret_is_printed() {
    let mut rig = Rig::new(Settings::new(Source::Fixed(Secret::new("canary")), 7));
    let given = Input::Obtained { token: Secret::new("canary"), unix_time: None };
    assert!(!format!("{:?} {given:?}", rig.auth).contains("canary"));
    rig.feed(given);
    assert_eq!(rig.auth.ignored(), 1, "nobody asked");
}
