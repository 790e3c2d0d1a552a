//! Streams come and go; leases stay.

use crate::rig::{Rig, ms, secs};
use etcd3_core::auth::{Generation, StaleToken, TokenReason};
use etcd3_core::call::SentToken;
use etcd3_core::channel::{Denied, EndpointId, HealthSignal};
use etcd3_core::lease::{Input, Output};
use etcd3_core::transport::Event;
use etcd3_core::{Instant, LeaseId, ServerError};

// L20: no stream without leases, and one for all of them.
#[test]
fn all_leases_share_one_stream() {
    let mut rig = Rig::new();
    rig.rest(secs(10)).nothing();
    rig.grant(1, 60).grant(2, 60).open();
    rig.grant(3, 60).rest(secs(17));
    rig.nothing();
    assert_eq!(rig.serve(secs(3), 60).len(), 3);
}

// L5, L-05, I-L5: the requests that were lost with the stream are sent again.
#[test]
fn what_was_asked_for_on_a_stream_that_broke_is_asked_again() {
    let mut rig = Rig::with_leases(3, 60);
    rig.rest(secs(20));
    let mut asked = rig.asked();
    rig.lose().reopen();
    let mut again = rig.asked();
    asked.sort_unstable();
    again.sort_unstable();
    assert_eq!(again, asked);
}

// L29, L31, L-06, I-L5
#[test]
fn an_election_ends_no_lease() {
    for error in [
        ServerError::NoLeader,
        ServerError::LeaderChanged,
        ServerError::Timeout,
        ServerError::Unhealthy,
    ] {
        let mut rig = Rig::with_leases(5, 60);
        rig.rest(secs(20)).asked();
        for _ in 0..4 {
            rig.end_with(error).reopen();
        }
        assert_eq!(rig.lost(), []);
        rig.serve(secs(5), 60);
        for (single, _) in rig.singles() {
            rig.answer_single(single, rig.now, Ok(60));
        }
        let mut renewed: Vec<i64> = rig.renewed().into_iter().map(|it| it.0).collect();
        renewed.sort_unstable();
        assert_eq!(renewed, [1, 2, 3, 4, 5], "{error:?}");
    }
}

// L14, I-L3: the member may be cut off, or frozen.
#[test]
fn a_stream_whose_oldest_request_is_unanswered_is_left_for_another_endpoint() {
    let mut rig = Rig::with_leases(2, 60);
    rig.rest(secs(16)).nothing();
    let sent = rig.rest_until(|rig| rig.has_request().then_some(rig.now));
    let attempt = rig.rest_until(Rig::take_attempt);
    assert_eq!(rig.now.saturating_since(sent), secs(2));
    assert_eq!(attempt.want.avoid, Some(EndpointId(1)));
    assert_eq!(rig.leases.signal(), HealthSignal::Unhealthy);
    let mut asked = rig.asked();
    asked.sort_unstable();
    rig.open_at(2);
    let mut again = rig.asked();
    again.sort_unstable();
    assert_eq!(again, asked);
}

// L10: a server that is slow with all of them is not left again and again.
#[test]
fn a_stream_is_given_more_time_if_the_one_before_was_silent_too() {
    let mut rig = Rig::with_leases(1, 600);
    rig.rest_until_asked();
    let mut waits = vec![];
    for _ in 0..5 {
        let sent = rig.now;
        rig.rest_until(Rig::take_attempt);
        waits.push(rig.now.saturating_since(sent).as_secs());
        rig.open_at(1);
        rig.asked();
    }
    assert!(waits.is_sorted() && waits[0] == 2 && waits[3] >= 8, "{waits:?}");
}

// I-W12: also a server that is of use each time.
#[test]
fn a_server_that_ends_each_stream_is_not_stormed() {
    let mut rig = Rig::with_leases(50, 6);
    let mut opened: Vec<Instant> = vec![];
    let end = rig.now + secs(120);
    while rig.now < end {
        if rig.take_attempt().is_some() {
            opened.push(rig.now);
            rig.open_at(1);
            if let Some(id) = rig.asked().first() {
                rig.answer(*id, 6);
            }
            rig.end_with(ServerError::NoLeader);
        }
        for (single, _) in rig.singles() {
            rig.answer_single(single, rig.now, Ok(6));
        }
        rig.rest(ms(20));
    }
    for group in opened.windows(11) {
        let within = group[10].saturating_since(group[0]);
        assert!(within >= secs(10), "11 streams within {within:?}");
    }
    assert_eq!(rig.lost(), []);
}

#[test]
fn a_stream_that_is_to_move_is_opened_at_once() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.feed(Input::Migrate).open();
    assert_eq!(rig.asked(), [1]);
}

#[test]
fn a_stream_that_is_not_admitted_is_wanted_again() {
    let mut rig = Rig::new();
    rig.grant(1, 60);
    for _ in 0..3 {
        rig.rest_until(Rig::take_attempt);
        rig.feed(Input::Denied(Denied::Throttled));
    }
    rig.rest_until(Rig::take_attempt);
    rig.feed(Input::Denied(Denied::NoConnection));
    assert_eq!(rig.take_attempt().map(|_| ()), None, "it waits for a connection");
    rig.open_at(1);
    assert_eq!(rig.rest_until_asked(), [1]);
}

#[test]
fn a_stream_without_leases_is_given_back_after_a_while() {
    let mut rig = Rig::with_leases(1, 60);
    rig.remove(1).rest(ms(999));
    rig.nothing();
    rig.rest(ms(1));
    assert!(rig.is_closed());
    rig.rest(secs(100)).nothing();
    rig.grant(2, 60).open();
    assert_eq!(rig.rest_until_asked(), [2]);
}

#[test]
fn a_lease_that_comes_in_time_keeps_the_stream() {
    let mut rig = Rig::with_leases(1, 60);
    rig.remove(1).rest(ms(500)).grant(2, 60).rest(secs(10)).nothing();
    assert!(rig.leases.is_streaming());
}

#[test]
fn a_message_that_cannot_be_read_ends_the_stream_and_no_lease() {
    let mut rig = Rig::with_leases(1, 60);
    rig.rest_until_asked();
    rig.feed(Input::Stream(Event::Data(vec![0, 0, 0, 0, 2, 0xff, 0xff].into())));
    rig.reopen();
    assert_eq!(rig.asked(), [1]);
    assert_eq!(rig.lost(), []);
}

// What does not fit is ignored: nothing comes of it.
#[test]
fn inputs_that_do_not_fit_are_ignored() {
    let mut rig = Rig::new();
    rig.feed(Input::Migrate).lose().remove(1);
    rig.feed(Input::Denied(Denied::Throttled)).confirm(1, Ok(true));
    rig.open_at(1);
    rig.nothing();
    assert!(rig.leases.ignored() >= 6);
    rig.grant(1, 60).open().grant(1, 5);
    assert_eq!(rig.until(1), Some(rig.now + secs(60)), "the first one counts");
    assert!(rig.take(|it| matches!(it, Output::Send(_)).then_some(())).is_empty());
    assert_eq!(rig.leases.valid_until(LeaseId(2)), None);
}

// A9: one member refuses the only token that there is, and another may take it.
#[test]
fn a_token_of_which_there_is_no_newer_one_is_sent_again() {
    let mut rig = Rig::with_leases(1, 60);
    rig.lose();
    rig.rest_until(Rig::take_attempt);
    let token = SentToken { generation: Generation(1), since: rig.now };
    rig.open_with(2, Some(token));
    rig.end_with(ServerError::InvalidAuthToken);
    let attempt = rig.rest_until(Rig::take_attempt);
    let reason = TokenReason::Invalid;
    let stale = StaleToken { generation: Generation(1), reason };
    assert_eq!(attempt.stale_token, Some(stale), "a newer one is asked for first");
    rig.feed(Input::NoToken(None));
    let attempt = rig.rest_until(Rig::take_attempt);
    assert_eq!(attempt.stale_token, None);
}
