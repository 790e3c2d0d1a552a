//! Endpoints that come and go (B21–B24, I-C7).

use crate::rig::{Rig, endpoint, endpoints};
use etcd3_core::channel::{ConnectionId, EndpointId, HealthSignal, Input, Listed, Output, Want};
use etcd3_core::endpoint::Endpoint;

fn list(primary: &[&str], fallback: &[&str]) -> Input {
    let parse = |texts: &[&str]| texts.iter().map(|text| endpoint(text)).collect::<Vec<Endpoint>>();
    Input::Endpoints { primary: parse(primary), fallback: parse(fallback) }
}

fn listed(rig: &Rig) -> Vec<(String, Listed)> {
    let health = rig.channel.health();
    health.iter().map(|it| (it.endpoint.to_string(), it.listed)).collect()
}

#[test]
fn endpoints_that_stay_keep_their_connections() {
    let mut rig = Rig::connected(3);
    rig.feed(list(&["e1", "e9"], &[]));
    assert_eq!(rig.dials.last(), Some(&(0, 3, 4)), "only the new one is dialled");
    let closed = [ConnectionId(1), ConnectionId(3)].map(|id| (0, Output::Close(id)));
    assert_eq!(rig.take_orders(), closed);
    assert_eq!(rig.routes(2), [Some(1), Some(1)]);
    rig.feed(Input::Connected(ConnectionId(4)));
    assert!(rig.routes(2).contains(&Some(3)));
}

// B23: what is under way ends where it is; nothing new goes there.
#[test]
fn calls_on_an_endpoint_that_goes_may_end() {
    let mut rig = Rig::connected(2);
    rig.begin(1).feed(list(&["e1"], &[]));
    assert_eq!(rig.take_orders(), []);
    assert_eq!(rig.routes(2), [Some(1), Some(1)]);
    rig.finish(1, HealthSignal::Healthy);
    assert_eq!(rig.take_orders(), [(0, Output::Close(ConnectionId(1)))]);
}

#[test]
fn a_dial_to_an_endpoint_that_goes_is_given_up() {
    let mut rig = Rig::new(2, 1);
    rig.feed(Input::Wanted).feed(list(&["e0"], &[]));
    assert_eq!(rig.take_orders(), [(0, Output::Close(ConnectionId(2)))]);
    rig.feed_stale(Input::Connected(ConnectionId(2)));
}

// B22: an empty list would lock the client out.
#[test]
fn an_empty_list_is_ignored() {
    let mut rig = Rig::connected(2);
    rig.feed_stale(list(&[], &["e0"]));
    assert_eq!(rig.channel.choices(), 2);
}

// I-C7: the seeds are there when nothing else works.
#[test]
fn fallbacks_are_used_when_no_other_works() {
    let mut rig = Rig::connected(1);
    rig.feed(list(&["m0", "m1"], &["e0", "m1"]));
    let expected = [("e0", Listed::Fallback), ("m0", Listed::Primary), ("m1", Listed::Primary)];
    assert_eq!(listed(&rig), expected.map(|(text, listed)| (text.to_owned(), listed)));
    assert_eq!(rig.routes(2), [Some(0), Some(0)], "no member is connected yet");
    rig.feed(Input::Connected(ConnectionId(2)));
    assert_eq!(rig.routes(4), [Some(1); 4]);
    rig.feed(crate::rig::ended(ConnectionId(2)));
    assert_eq!(rig.routes(2), [Some(0), Some(0)]);
}

#[test]
fn a_pinned_endpoint_is_kept_for_those_who_name_it() {
    let mut rig = Rig::connected(1);
    rig.feed(Input::Pinned(endpoint("other"))).feed(Input::Pinned(endpoint("other")));
    let other = rig.channel.find(&endpoint("other")).unwrap();
    let want = Want { only: Some(other), avoid: Some(other), ..Want::default() };
    assert_eq!(rig.route(want), None, "not connected yet");
    rig.feed(Input::Connected(rig.last_dial()));
    let route = rig.route(want).unwrap();
    assert_eq!((route.endpoint, route.floor), (other, None), "it may be of another cluster");
    assert_eq!(rig.routes(4), [Some(0); 4]);
    rig.feed(Input::Unpinned(other));
    assert!(rig.route(want).is_some());
    rig.feed(Input::Unpinned(other));
    assert_eq!(rig.route(want), None);
    assert_eq!(rig.take_orders(), [(0, Output::Close(ConnectionId(2)))]);
    rig.feed_stale(Input::Unpinned(other));
    rig.feed_stale(Input::Unpinned(EndpointId(0)));
}

// B3: who asks one member again and again does not take the turns of the others.
#[test]
fn calls_that_name_an_endpoint_do_not_move_the_turn() {
    let mut rig = Rig::connected(3);
    let first = rig.routes(1)[0].unwrap();
    rig.feed(Input::Pinned(endpoint(&format!("e{first}"))));
    let want = Want { only: Some(EndpointId(first)), ..Want::default() };
    let mut picked = vec![];
    for _ in 0..6 {
        rig.route(want).unwrap();
        picked.extend(rig.routes(1));
    }
    assert!(picked.contains(&Some(first)), "{picked:?}");
}

#[test]
fn the_same_endpoint_twice_is_one() {
    let mut rig = Rig::connected(1);
    rig.feed(Input::Endpoints { primary: [endpoints(1), endpoints(1)].concat(), fallback: vec![] });
    assert_eq!(rig.channel.choices(), 1);
    assert_eq!(rig.dials.len(), 1);
}
