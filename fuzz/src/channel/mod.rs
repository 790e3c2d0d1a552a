//! The `Channel` machine under any sequence of events, watched from outside.

mod attempts;
mod watched;

use arbitrary::Arbitrary;
use etcd3_core::backoff::Backoff;
use etcd3_core::channel::{
    Admission, AttemptKind, Channel, ConnectionError, ConnectionId, EndpointId, HealthSignal,
    Input, PingSettings, Retirement, Settings, Want,
};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::ConnectFailure;
use etcd3_core::proto::etcdserverpb as pb;
use etcd3_core::{Instant, laws};
use std::time::Duration;
use watched::Watched;

/// More steps than this show nothing new and take long.
const MAX_STEPS: usize = 300;

/// The endpoints that there can be: `e0`, `e1`, ….
const ENDPOINTS: u8 = 8;

#[derive(Debug, Arbitrary)]
struct Run {
    endpoints: u8,
    backoff_ms: (u8, u16),
    suspect_ms: (u8, u16),
    keepalive_ms: (u16, u16),
    slow_ms: u16,
    seed: u64,
    steps: Vec<(u8, Step)>,
}

/// What happens next, some milliseconds after the step before. A connection is named by how many
/// were dialled after it.
#[derive(Debug, Arbitrary)]
enum Step {
    Wanted,
    /// Both lists, as sets of endpoints.
    Endpoints(u8, u8),
    Pinned(u8),
    Unpinned(u8),
    Connected(u8),
    Failed(u8),
    Retired(u8),
    Ended(u8),
    TooManyPings,
    /// A byte came so many times ten milliseconds ago.
    Heard(u8, u8),
    /// A call, or a stream if the highest bit is set.
    Began(u8),
    Finished(u8, Mood),
    Probed(u8, bool),
    ForgetFloor,
    /// A call asks for a connection; only those in the set have a permit.
    Route {
        avoid: Option<u8>,
        only: Option<u8>,
        permits: u16,
    },
    /// An answer of this cluster with this revision.
    Answered {
        connection: u8,
        cluster: bool,
        revision: u8,
        is_linearizable: bool,
    },
    Retry,
    /// Nothing but time, in hundredths of a second.
    Pass(u16),
}

#[derive(Debug, Arbitrary)]
enum Mood {
    None,
    Good,
    Bad,
}

/// No sequence of events makes a channel break its promises.
pub fn channel(data: &[u8]) {
    if let Some(run) = crate::input::<Run>(data) {
        channel_run(&run);
    }
}

fn channel_run(run: &Run) {
    let settings = settings(run);
    let endpoints: Vec<Endpoint> = (0..run.endpoints % 5).map(endpoint).collect();
    let channel = Channel::new(endpoints.clone(), settings, run.seed);
    let mut watched = Watched::new(channel.clone(), endpoints, settings);
    let (mut script, mut now) = (Vec::new(), Instant::ORIGIN);
    for (after_ms, step) in run.steps.iter().take(MAX_STEPS) {
        let pause =
            if let Step::Pass(it) = step { u64::from(*it) * 10 } else { (*after_ms).into() };
        now = now + Duration::from_millis(pause);
        watched.advance(now);
        if let Some(input) = input(&watched, now, step) {
            watched.feed(&input);
            script.push((now, input));
        } else {
            ask(&mut watched, now, step);
        }
        watched.ask(Want::default(), |_| true);
    }
    laws::check_machine(&channel, &script);
}

fn settings(run: &Run) -> Settings {
    let ms = |ms: u16| Duration::from_millis(ms.into());
    let backoff = |(first, cap): (u8, u16)| Backoff {
        first: Duration::from_millis(u64::from(first) + 1),
        cap: Duration::from_millis(u64::from(cap) + 1),
    };
    let (interval, timeout) = run.keepalive_ms;
    Settings {
        backoff: backoff(run.backoff_ms),
        ping: PingSettings { interval: ms(interval), timeout: ms(timeout.max(1)) },
        suspect: backoff(run.suspect_ms),
        slow_after: ms(run.slow_ms),
        stagger: Duration::ZERO,
        burst: u32::from(run.backoff_ms.0) % 4,
        stalled_after: ms(run.slow_ms).max(Duration::from_millis(1)) * 4,
    }
}

fn endpoint(number: u8) -> Endpoint {
    format!("e{}", number % ENDPOINTS).parse().expect("a valid endpoint")
}

/// The endpoints of a set.
fn set(bits: u8) -> Vec<Endpoint> {
    (0..ENDPOINTS).filter(|n| bits & (1 << n) != 0).map(endpoint).collect()
}

fn input(watched: &Watched, now: Instant, step: &Step) -> Option<Input> {
    let id = |ago: &u8| ConnectionId(watched.dialled().saturating_sub((ago % 16).into()));
    let broken = || ConnectionError { failure: ConnectFailure::ClosedByPeer, cause: None };
    Some(match step {
        Step::Wanted => Input::Wanted,
        Step::Endpoints(primary, fallback) => {
            Input::Endpoints { primary: set(*primary), fallback: set(*fallback) }
        }
        Step::Pinned(number) => Input::Pinned(endpoint(*number)),
        Step::Unpinned(number) => Input::Unpinned(number_of(watched, *number)),
        Step::Connected(ago) => Input::Connected(id(ago)),
        Step::Failed(ago) => Input::Failed(id(ago), broken()),
        // By its highest bit, which the number of a connection has no use for.
        Step::Retired(ago @ 128..) => Input::Retired(id(ago), Retirement::NoError),
        Step::Retired(ago) => Input::Retired(id(ago), Retirement::Other),
        Step::Ended(ago) => Input::Ended(id(ago), broken()),
        Step::TooManyPings => Input::TooManyPings,
        Step::Heard(ago, late) => {
            let late = Duration::from_millis(u64::from(*late) * 10);
            let nanos = now.saturating_since(Instant::ORIGIN).saturating_sub(late);
            Input::Heard(id(ago), Instant::from_origin(nanos))
        }
        Step::Probed(ago, is_well) => Input::Probed(id(ago), *is_well),
        Step::ForgetFloor => Input::ForgetFloor,
        Step::Began(_)
        | Step::Finished(..)
        | Step::Route { .. }
        | Step::Answered { .. }
        | Step::Retry
        | Step::Pass(_) => return None,
    })
}

/// The number of an endpoint; one that nothing has, if it is not known.
fn number_of(watched: &Watched, number: u8) -> EndpointId {
    watched.find(&endpoint(number)).unwrap_or(EndpointId(u32::MAX))
}

/// What is no input: attempts.
fn ask(watched: &mut Watched, now: Instant, step: &Step) {
    let dialled = watched.dialled();
    let id = |ago: &u8| ConnectionId(dialled.saturating_sub((ago % 16).into()));
    let kind = |ago: &u8| if *ago >= 128 { AttemptKind::Stream } else { AttemptKind::Call };
    match step {
        Step::Began(ago) => watched.begin(id(ago), kind(ago)),
        Step::Finished(ago, mood) => {
            let signal = match mood {
                Mood::None => HealthSignal::None,
                Mood::Good => HealthSignal::Healthy,
                Mood::Bad => HealthSignal::Unhealthy,
            };
            // Some began earlier than they did.
            let before = Duration::from_millis(10) * u32::from(ago / 16 % 8);
            let since = now.saturating_since(Instant::ORIGIN).saturating_sub(before);
            let forged = Admission {
                kind: kind(ago),
                endpoint: EndpointId(0),
                connection: id(ago),
                since: Instant::from_origin(since),
                floor: None,
                has_choice: false,
            };
            watched.finish(&forged, signal);
        }
        Step::Route { avoid, only, permits } => {
            let number = |it: &Option<u8>| it.map(|it| number_of(watched, it));
            let want = Want { avoid: number(avoid), only: number(only), ..Want::default() };
            watched.pass(want, |id| permits & (1 << (id.0 % 16)) != 0);
        }
        Step::Answered { connection, cluster, revision, is_linearizable } => {
            let cluster_id = if *cluster { 1 } else { 2 };
            let revision = (*revision).into();
            let header = pb::ResponseHeader { cluster_id, member_id: 1, revision, raft_term: 1 };
            watched.answer(id(connection), &header.into(), *is_linearizable);
        }
        Step::Retry => watched.retry(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_core::rng::Rng;

    /// A step of a client that is in use: connections come up, carry calls, and fall silent.
    fn step(rng: &mut Rng) -> Step {
        let ago = u8::try_from(rng.below(6)).expect("a small number");
        let stream = u8::from(rng.below(3) == 0) << 7;
        match rng.below(24) {
            0..=4 => Step::Connected(ago),
            5 => Step::Failed(ago),
            6 => Step::Retired(ago | (u8::from(rng.below(2) == 0) << 7)),
            7 => Step::Ended(ago),
            8 | 9 => Step::Heard(ago, u8::try_from(rng.below(4)).expect("a small number") * 60),
            10..=13 => Step::Began(ago | stream),
            14 => Step::Finished(ago | stream, Mood::Good),
            15 => Step::Finished(ago | stream, Mood::None),
            16 => Step::Probed(ago, rng.below(2) == 0),
            17 if rng.below(8) == 0 => Step::Endpoints(7, 8),
            17 if rng.below(8) == 0 => Step::Pinned(ago),
            18..=20 => Step::Pass(u16::try_from(rng.below(600)).expect("a small number")),
            _ => Step::Route { avoid: None, only: None, permits: u16::MAX },
        }
    }

    // What coverage-guided runs find, random bytes do not: this keeps near to what clients do.
    #[test]
    fn likely_runs() {
        for seed in 0..10_000 {
            let mut rng = Rng::new(seed);
            let mut steps = vec![(0, Step::Wanted)];
            steps.extend((0..rng.below(120)).map(|_| {
                let after_ms = u8::try_from(rng.below(20)).expect("a small number");
                (after_ms, step(&mut rng))
            }));
            let run = Run {
                endpoints: 3,
                backoff_ms: (100, 5_000),
                suspect_ms: (255, 10_000),
                keepalive_ms: (10_000, 5_000),
                slow_ms: 750,
                seed,
                steps,
            };
            channel_run(&run);
        }
    }
}
