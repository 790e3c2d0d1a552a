//! The laws of the machines, with every input in every state.

use crate::rig::{Rig, admission, ended, endpoint, endpoints, failed, settings};
use etcd3_core::channel::{
    Admission, AttemptKind, Channel, ConnectionId, Denied, EndpointId, HealthSignal, Input, Output,
    Retirement, Settings, Want,
};
use etcd3_core::rng::Rng;
use etcd3_core::{Instant, Machine, Next, laws};
use std::collections::VecDeque;
use std::time::Duration;

/// A channel together with what is admitted to it, as one machine.
#[derive(Clone)]
struct Driven {
    channel: Channel,
    admitted: Vec<Admission>,
    answers: VecDeque<Result<Admission, Denied>>,
    wake: Option<Instant>,
}

impl Driven {
    /// A driver that sleeps until the last wake-up is told if something is due sooner.
    fn assert_awake(&mut self) {
        let told = self.channel.due_sooner();
        self.wake = self.wake.into_iter().chain(told).min();
        let due = self.channel.next_due();
        let is_awake = due.is_none_or(|due| self.wake.is_some_and(|wake| wake <= due));
        assert!(is_awake, "due at {due:?} without a sound");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Input(Input),
    Admit(Want),
    /// Ends the attempt with this number, if there is one.
    Release(usize, HealthSignal),
    /// Ends what was never admitted.
    Forged(Admission, HealthSignal),
}

#[derive(Debug, PartialEq)]
enum Told {
    Output(Output),
    Answer(Result<Admission, Denied>),
}

impl Machine for Driven {
    type Input = Step;
    type Output = Told;

    fn handle(&mut self, now: Instant, step: Step) {
        match step {
            Step::Input(input) => self.channel.handle(now, input),
            Step::Admit(want) => {
                let answer = self.channel.admit(now, want, |id| id.0 % 7 != 6);
                self.admitted.extend(answer.clone());
                self.answers.push_back(answer);
            }
            Step::Release(..) if self.admitted.is_empty() => {}
            Step::Release(number, signal) => {
                let admission = self.admitted.swap_remove(number % self.admitted.len());
                let ignored = self.channel.ignored();
                self.channel.release(now, &admission, signal);
                assert_eq!(self.channel.ignored(), ignored, "{admission:?} was forgotten");
            }
            Step::Forged(admission, signal) => {
                let is_open = |it: &Admission| {
                    (it.connection, it.kind) == (admission.connection, admission.kind)
                };
                if !self.admitted.iter().any(is_open) {
                    let ignored = self.channel.ignored();
                    self.channel.release(now, &admission, signal);
                    assert_eq!(self.channel.ignored(), ignored + 1, "{admission:?}");
                }
            }
        }
        self.assert_awake();
    }

    fn poll(&mut self, now: Instant) -> Next<Told> {
        if let Some(answer) = self.answers.pop_front() {
            return Next::Do(Told::Answer(answer));
        }
        match self.channel.poll(now) {
            Next::Do(output) => Next::Do(Told::Output(output)),
            Next::Wait(wake) => {
                self.wake = wake;
                Next::Wait(wake)
            }
        }
    }
}

fn below(rng: &mut Rng, most: u64) -> u32 {
    u32::try_from(rng.below(most)).expect("a small number")
}

fn some_of<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[usize::try_from(rng.below(all.len() as u64)).expect("a small number")]
}

fn random_kind(rng: &mut Rng) -> AttemptKind {
    some_of(rng, &[AttemptKind::Call, AttemptKind::Call, AttemptKind::Stream])
}

fn random_signal(rng: &mut Rng) -> HealthSignal {
    let all =
        [HealthSignal::None, HealthSignal::Alive, HealthSignal::Healthy, HealthSignal::Unhealthy];
    some_of(rng, &all)
}

fn random_want(rng: &mut Rng) -> Want {
    let kind = random_kind(rng);
    let one_in = |rng: &mut Rng, most| rng.below(most) == 0;
    Want {
        kind,
        avoid: one_in(rng, 3).then(|| EndpointId(below(rng, 6))),
        only: one_in(rng, 5).then(|| EndpointId(below(rng, 8))),
        connection: one_in(rng, 8).then(|| ConnectionId(rng.below(12))),
        is_retry: one_in(rng, 4),
        is_secret: one_in(rng, 8),
    }
}

fn random_input(rng: &mut Rng) -> Input {
    let connection = ConnectionId(rng.below(12));
    let some = |rng: &mut Rng| {
        let all = endpoints(6);
        let from = usize::try_from(rng.below(6)).expect("a small number");
        let count = usize::try_from(rng.below(4)).expect("a small number");
        all[from..(from + count).min(6)].to_vec()
    };
    let at = Instant::from_nanos(rng.below(1 << 36));
    match rng.below(18) {
        0 => Input::Wanted,
        1..=5 => Input::Connected(connection),
        6 => failed(connection),
        7 if rng.below(2) == 0 => Input::Retired(connection, Retirement::NoError),
        7 => Input::Retired(connection, Retirement::Other),
        8 | 9 => ended(connection),
        10 => Input::Endpoints { primary: some(rng), fallback: some(rng) },
        11 => Input::Pinned(endpoint(&format!("e{}", rng.below(8)))),
        12 => Input::Unpinned(EndpointId(below(rng, 8))),
        13 => Input::TooManyPings,
        14 | 15 => Input::Heard(connection, at),
        16 => Input::Probed(connection, rng.below(2) == 0),
        _ => Input::ForgetFloor,
    }
}

fn random_step(rng: &mut Rng) -> Step {
    match rng.below(10) {
        0..=1 => Step::Admit(random_want(rng)),
        2 => Step::Release(usize::try_from(rng.below(50)).expect("small"), random_signal(rng)),
        3 => {
            let kind = random_kind(rng);
            let connection = ConnectionId(rng.below(12));
            let since = Instant::from_nanos(rng.below(1 << 36));
            Step::Forged(admission(kind, connection, since), random_signal(rng))
        }
        _ => Step::Input(random_input(rng)),
    }
}

fn random_settings() -> Settings {
    let stalled_after = Duration::from_secs(3);
    let stagger = Duration::from_millis(50);
    Settings { stalled_after, stagger, burst: 4, ..settings() }
}

#[test]
fn a_channel_obeys_the_laws() {
    for seed in 0..5_000 {
        let count = u32::try_from(seed % 5).expect("a small number");
        let channel = Channel::new(endpoints(count), random_settings(), seed);
        let (admitted, answers, wake) = (vec![], VecDeque::new(), None);
        let driven = Driven { channel, admitted, answers, wake };
        let spread = Duration::from_millis(1 << (seed % 14));
        laws::check_machine(&driven, &laws::script(seed, 60, spread, random_step));
    }
}

// Somebody is admitted exactly if there is a connection; whoever is not changes nothing.
#[test]
fn an_attempt_is_admitted_if_there_is_a_connection() {
    for seed in 0..2_000 {
        let count = u32::try_from(seed % 5).expect("a small number");
        let mut rig = Rig::new(count, seed);
        let spread = Duration::from_millis(1 << (seed % 14));
        for (at, input) in laws::script(seed, 60, spread, random_input) {
            rig.until(at.as_nanos() / 1_000_000);
            rig.handle(input);
            let (before, ready) = (rig.wake, rig.channel.is_ready());
            let kind = if seed % 2 == 0 { AttemptKind::Call } else { AttemptKind::Stream };
            let admitted = rig.admit(Want { kind, ..Want::default() });
            assert!(admitted.is_err() || ready);
            assert!(!ready || rig.channel.connection_error().is_none());
            rig.drain();
            match admitted {
                Ok(admission) => drop(rig.release(&admission, HealthSignal::None)),
                Err(_) => assert_eq!(rig.wake, before, "it was not admitted"),
            }
        }
    }
}

// A channel without endpoints has nothing to do and nothing to say.
#[test]
fn no_endpoints() {
    let mut rig = Rig::new(0, 1);
    rig.feed(Input::Wanted).until(60_000);
    assert_eq!(rig.route(Want::default()), None);
    assert_eq!(rig.channel.connection_error(), None);
}
