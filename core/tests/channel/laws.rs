//! The laws of the machines, with every input in every state.

use crate::rig::{Rig, ended, endpoint, endpoints, failed, settings};
use etcd3_core::Instant;
use etcd3_core::channel::{
    Channel, ConnectionId, EndpointId, Goodbye, Impression, Input, Settings, Want,
};
use etcd3_core::laws;
use etcd3_core::rng::Rng;
use std::time::Duration;

fn random_input(rng: &mut Rng) -> Input {
    let connection = ConnectionId(rng.below(12));
    let id = EndpointId(u32::try_from(rng.below(8)).expect("a small number"));
    let some = |rng: &mut Rng| {
        let all = endpoints(6);
        let from = usize::try_from(rng.below(6)).expect("a small number");
        let count = usize::try_from(rng.below(4)).expect("a small number");
        all[from..(from + count).min(6)].to_vec()
    };
    let at = Instant::from_nanos(rng.below(1 << 36));
    match rng.below(25) {
        0 => Input::Wanted,
        1..=5 => Input::Connected(connection),
        6 => failed(connection),
        7 if rng.below(2) == 0 => Input::Retired(connection, Goodbye::Orderly),
        7 => Input::Retired(connection, Goodbye::Other),
        8 | 9 => ended(connection),
        10 => Input::Endpoints { primary: some(rng), fallback: some(rng) },
        11 => Input::Pinned(endpoint(&format!("e{}", rng.below(8)))),
        12 => Input::Unpinned(id),
        13 => Input::TooManyPings,
        14 | 15 => Input::Heard(connection, at),
        16..=18 => Input::Began(connection),
        19 => Input::Finished(connection, at, Impression::Good),
        20 => Input::Finished(connection, at, Impression::Bad),
        21 => Input::Finished(connection, at, Impression::None),
        22 => Input::Finished(connection, at, Impression::Answered),
        23 => Input::Probed(connection, rng.below(2) == 0),
        _ => Input::ForgetFloor,
    }
}

// `route` obeys them, too, and changes nothing but the turn.
#[test]
fn a_channel_obeys_the_laws() {
    for seed in 0..5_000 {
        let count = u32::try_from(seed % 5).expect("a small number");
        let mute_after = Duration::from_secs(3);
        let stagger = Duration::from_millis(50);
        let settings = Settings { mute_after, stagger, ..settings() };
        let channel = Channel::new(endpoints(count), settings, seed);
        let spread = Duration::from_millis(1 << (seed % 14));
        let script = laws::script(seed, 60, spread, random_input);
        laws::check(&channel, &script);

        let mut rig = Rig::new(count, seed);
        for (at, input) in script {
            rig.until(at.as_nanos() / 1_000_000);
            rig.handle(input);
            let (before, ready) = (rig.wake, rig.channel.is_ready());
            let picked = rig.route(Want::default());
            assert!(picked.is_none() || ready);
            assert!(!ready || rig.channel.broken().is_none());
            rig.drain();
            assert_eq!(rig.wake, before, "route changed more than the turn");
        }
    }
}

// A channel without endpoints has nothing to do and nothing to say.
#[test]
fn no_endpoints() {
    let mut rig = Rig::new(0, 1);
    rig.feed(Input::Wanted).until(60_000);
    assert_eq!(rig.route(Want::default()), None);
    assert_eq!(rig.channel.broken(), None);
}
