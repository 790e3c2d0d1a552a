//! The laws of the machine, and what it promises whatever a server says.

use crate::judge::Judge;
use crate::rig::{CLUSTER, answer, end, granted, head, lost, secs};
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::{Denied, EndpointId};
use etcd3_core::lease::{Input, KeepAlive, Known, Settings, SingleRenewal};
use etcd3_core::rng::Rng;
use etcd3_core::transport::Event;
use etcd3_core::{Error, ErrorKind, Instant, LeaseId, ServerError, laws};
use std::time::Duration;

const TTLS: [u64; 6] = [1, 2, 3, 5, 9, 30];
const ERRORS: [ServerError; 4] = [
    ServerError::NoLeader,
    ServerError::PermissionDenied,
    ServerError::InvalidAuthToken,
    ServerError::LeaderChanged,
];

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[usize::try_from(rng.below(all.len() as u64)).unwrap_or_default()]
}

fn random_ms(rng: &mut Rng, below: u64) -> Duration {
    Duration::from_millis(rng.below(below))
}

fn random_settings(rng: &mut Rng) -> Settings {
    Settings {
        backoff: Backoff { first: random_ms(rng, 300), cap: random_ms(rng, 2_000) },
        max_message_bytes: 1 << 20,
        require_leader: rng.below(2) == 0,
        only: None,
        linger: random_ms(rng, 3_000),
        seed: rng.next_u64(),
    }
}

fn random_ttl(rng: &mut Rng) -> i64 {
    match rng.below(12) {
        0 => 0,
        1 => -1,
        2 => i64::MAX,
        _ => i64::try_from(pick(rng, &TTLS)).unwrap_or_default(),
    }
}

fn random_error(rng: &mut Rng) -> Error {
    Error::new(ErrorKind::Server(pick(rng, &ERRORS)))
}

fn random_event(rng: &mut Rng) -> Event {
    let id = i64::try_from(rng.below(6)).unwrap_or_default();
    match rng.below(40) {
        0..=2 => lost(),
        3 => end(pick(rng, &ERRORS)),
        4 => Event::Data(vec![0, 0, 0, 0, 2, 0xff, 0xff].into()),
        5 => Event::Data(answer(CLUSTER + 1, id, 0)),
        6..=9 => head(),
        _ => Event::Data(answer(CLUSTER, id, random_ttl(rng))),
    }
}

fn random_sent(rng: &mut Rng) -> Input {
    let endpoint = EndpointId(u32::try_from(rng.below(3)).unwrap_or_default());
    Input::Sent(Sent { endpoint, has_choice: true, token: None, seen: 0 })
}

fn random_input(rng: &mut Rng, now: Instant) -> Input {
    let id = LeaseId(i64::try_from(rng.below(6)).unwrap_or_default());
    let ttl = pick(rng, &TTLS);
    match rng.below(40) {
        0..=4 => {
            let mut known = granted(now - random_ms(rng, 1_500), ttl);
            known.is_new = rng.below(2) == 0;
            Input::Add(id, known)
        }
        5 => Input::Add(id, Known::default()),
        6 if rng.below(3) == 0 => Input::Revoked(id),
        6 => Input::Remove(id),
        7 => Input::Renew(id),
        8..=11 => {
            let round = u32::try_from(rng.below(12)).unwrap_or_default();
            let result = if rng.below(3) == 0 {
                Err(random_error(rng))
            } else {
                Ok(secs(ttl * rng.below(3)))
            };
            Input::Single(SingleRenewal { lease: id, round }, now, result)
        }
        12 => Input::Confirmed(id, Ok(rng.below(2) == 0)),
        13 => Input::Confirmed(id, Err(random_error(rng))),
        14 if rng.below(3) == 0 => Input::Suspended(random_ms(rng, 4_000)),
        15 if rng.below(2) == 0 => Input::Denied(Denied::Throttled),
        15 if rng.below(3) == 0 => Input::NoToken(None),
        15 => Input::Denied(Denied::NoConnection),
        16 if rng.below(4) == 0 => Input::Migrate,
        17 if rng.below(60) == 0 => Input::Closed(ErrorKind::Closed),
        18..=21 => random_sent(rng),
        _ => Input::Stream(random_event(rng)),
    }
}

// The laws of every machine, whatever comes.
#[test]
fn leases_obey_the_laws() {
    let mut outputs = 0;
    for seed in 0..1_500 {
        let mut rng = Rng::new(seed);
        let leases = KeepAlive::new(random_settings(&mut rng));
        let mut now = Instant::ORIGIN;
        let script = (0..100)
            .map(|_| {
                now = now + random_ms(&mut rng, 500);
                (now, random_input(&mut rng, now))
            })
            .collect();
        outputs += laws::check_machine(&leases, &script).len();
    }
    assert!(outputs > 20_000, "too tame: {outputs} outputs");
}

/// Returns what comes next of what is under way, as a server or a call that keeps the rules says.
fn proper(judge: &Judge, rng: &mut Rng) -> Option<Input> {
    let ttl = |id| judge.ttl(id).unwrap_or(secs(5));
    if rng.below(2) == 0
        && let Some(id) = judge.next_asked()
        && judge.leases.is_streaming()
    {
        let ttl = i64::try_from(ttl(id).as_secs()).unwrap_or(i64::MAX);
        return Some(Input::Stream(Event::Data(answer(CLUSTER, id.0, ttl))));
    }
    if let Some((single, since)) = judge.next_single() {
        let sent = since + judge.now.saturating_since(since).mul_f32(0.5);
        return Some(Input::Single(single, sent, Ok(ttl(single.lease))));
    }
    judge.next_confirmation().map(|id| Input::Confirmed(id, Ok(true)))
}

/// Puts what is under way in place of what was drawn at random.
fn of_what_is_under_way(judge: &Judge, rng: &mut Rng, input: Input) -> Option<Input> {
    match input {
        Input::Single(_, _, result) => {
            let (single, since) = judge.next_single()?;
            let sent = since + random_ms(rng, 3_000);
            Some(Input::Single(single, sent, result))
        }
        Input::Confirmed(_, result) => Some(Input::Confirmed(judge.next_confirmation()?, result)),
        // They come with their heads.
        Input::Sent(_) | Input::Stream(Event::Head { .. }) => None,
        input => Some(input),
    }
}

fn open_if_wanted(judge: &mut Judge, rng: &mut Rng) {
    if judge.is_wanted {
        let sent = random_sent(rng);
        judge.open(&sent);
    }
}

/// Lets all go well for a minute: what is kept alive stays so, and nothing is late in the end.
fn settle(judge: &mut Judge, rng: &mut Rng) {
    let end = judge.now + secs(60);
    while judge.now < end {
        open_if_wanted(judge, rng);
        while let Some(input) = proper(judge, rng) {
            judge.feed(&input);
        }
        judge.advance(judge.now + Duration::from_millis(20));
    }
    assert_eq!(judge.late(), 0, "late, and all is well");
}

// I-L1, I-L2, I-L4, I-L5, I-L7, I-L8, I-W12, L46: whatever the server says.
#[test]
fn leases_keep_their_promises_whatever_the_server_says() {
    let (mut renewals, mut losses, mut kept) = (0, 0, 0);
    for seed in 0..1_000 {
        let mut rng = Rng::new(seed);
        let mut judge = Judge::new(KeepAlive::new(random_settings(&mut rng)));
        judge.feed(&Input::Add(LeaseId(9), granted(Instant::ORIGIN, 30)));
        for _ in 0..150 {
            judge.advance(judge.now + random_ms(&mut rng, 400));
            let input = random_input(&mut rng, judge.now);
            // In some runs hardly ever, in others mostly: what nobody asked for.
            let drawn = if rng.below(8) < seed % 8 {
                proper(&judge, &mut rng)
            } else {
                of_what_is_under_way(&judge, &mut rng, input)
            };
            if let Some(input) = drawn {
                judge.feed(&input);
            }
            if rng.below(3) > 0 {
                open_if_wanted(&mut judge, &mut rng);
            }
        }
        if seed % 10 == 0 {
            settle(&mut judge, &mut rng);
        }
        renewals += judge.renewals;
        losses += judge.losses;
        kept += judge.len();
    }
    assert!(renewals > 10_000 && losses > 1_000, "too tame: {renewals} renewals, {losses} losses");
    assert!(kept > 100, "too tame: {kept} are kept alive in the end");
}
