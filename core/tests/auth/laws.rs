//! The laws of machines, and what holds whatever happens.

use crate::rig::*;
use etcd3_core::auth::{Answer, Auth, Generation, Input, Output, Settings, Source, TokenReason};
use etcd3_core::rng::Rng;
use etcd3_core::{Instant, Machine, Next, Secret, laws};
use std::time::Duration;

fn random_input(rng: &mut Rng) -> Input {
    let reasons = [TokenReason::Missing, TokenReason::Invalid, TokenReason::Denied];
    let generation = rng.below(6);
    match rng.below(12) {
        0..=1 => Input::Asked(None),
        2..=4 => Input::Asked(stale(generation, reasons[usize::try_from(rng.below(3)).unwrap()])),
        5..=7 => {
            let exp = ["bm90aGluZw", "eyJleHAiOjQwfQ", "eyJleHAiOjV9"];
            let exp = exp[usize::try_from(rng.below(3)).unwrap()];
            let token = Secret::new(format!("{}.{exp}.c", rng.below(3)));
            let unix_time = Some(Duration::from_secs(rng.below(30)));
            Input::Obtained { token, unix_time }
        }
        8 => Input::NotEnabled,
        9 => Input::Failed(wrong_password()),
        _ => Input::Failed(unavailable()),
    }
}

#[test]
fn it_obeys_the_laws() {
    for seed in 0..2_000 {
        let source = match seed % 5 {
            0 => Source::Fixed(Secret::new("mine")),
            _ => Source::Renewable,
        };
        let spread = Duration::from_millis([10, 1_000, 20_000][usize::try_from(seed % 3).unwrap()]);
        let script = laws::script(seed, 60, spread, random_input);
        laws::check_machine(&Auth::new(Settings::new(source, seed)), &script);
    }
}

/// Callers that ask, a server that answers, and what must hold of both.
struct World {
    auth: Auth,
    now: Instant,
    rng: Rng,
    /// Whether a login is under way.
    is_asking: bool,
    logins: Vec<Instant>,
    /// What each caller was refused with last, if it still waits.
    waiting: Vec<Option<Generation>>,
}

impl World {
    fn ask(&mut self, refused: Option<Generation>) -> Answer {
        let refused = refused.and_then(|it| invalid(it.0));
        let answer = self.auth.answer(self.now, refused);
        match &answer {
            Answer::Wait => self.auth.handle(self.now, Input::Asked(refused)),
            Answer::Take(generation) => {
                let is_newer = refused.is_none_or(|refused| refused.generation < *generation);
                assert!(is_newer, "what was refused is not given again");
                assert_eq!(self.auth.current().map(|it| it.0.generation), Some(*generation));
            }
            Answer::None(_) => {}
        }
        answer
    }

    /// Drives the machine until nothing is due; wakes callers.
    fn drain(&mut self) -> Option<Instant> {
        loop {
            match self.auth.poll(self.now) {
                Next::Do(Output::Ask(_)) => {
                    assert!(!self.is_asking, "I-A1: one login at a time");
                    self.is_asking = true;
                    self.logins.push(self.now);
                }
                Next::Do(Output::Changed) => {
                    let waiting = std::mem::take(&mut self.waiting);
                    for refused in waiting {
                        if self.ask(refused) == Answer::Wait {
                            self.waiting.push(refused);
                        }
                    }
                }
                Next::Wait(until) => return until,
            }
        }
    }

    fn step(&mut self) {
        match self.rng.below(10) {
            0..=4 => {
                let refused = match (self.rng.below(3), self.auth.current()) {
                    (0, Some((sent, _))) => Some(sent.generation),
                    (1, Some((sent, _))) => Some(Generation(sent.generation.0.saturating_sub(1))),
                    _ => None,
                };
                if self.ask(refused) == Answer::Wait {
                    self.waiting.push(refused);
                }
            }
            5..=7 if self.is_asking => {
                self.is_asking = false;
                let input = match self.rng.below(6) {
                    0 => Input::NotEnabled,
                    1 => Input::Failed(unavailable()),
                    2 => Input::Failed(wrong_password()),
                    _ => {
                        let token = Secret::new(format!("token {}", self.rng.below(1 << 40)));
                        Input::Obtained { token, unix_time: None }
                    }
                };
                self.auth.handle(self.now, input);
            }
            _ => self.now = self.now + Duration::from_millis(self.rng.below(400)),
        }
        self.drain();
    }
}

// I-A1, I-A2: whoever waits is waited for: a login is under way, or planned.
#[test]
fn nobody_waits_for_nothing() {
    for seed in 0..500 {
        let auth = Auth::new(Settings::new(Source::Renewable, seed));
        let (rng, now) = (Rng::new(seed), Instant::ORIGIN);
        let (logins, waiting) = (Vec::new(), Vec::new());
        let mut world = World { auth, now, rng, is_asking: false, logins, waiting };
        for _ in 0..300 {
            world.step();
            let due = world.drain();
            let is_served = world.is_asking || due.is_some();
            assert!(world.waiting.is_empty() || is_served, "seed {seed}");
        }
        // Whatever happened before, the credentials are right from now on.
        world.now = world.now + Duration::from_secs(60);
        for _ in 0..100 {
            if world.ask(None) == Answer::Wait && !world.is_asking {
                world.now = world.drain().unwrap_or(world.now);
                world.drain();
            }
            if std::mem::take(&mut world.is_asking) {
                let token = Secret::new("good");
                world.auth.handle(world.now, Input::Obtained { token, unix_time: None });
                world.drain();
            }
        }
        assert!(matches!(world.ask(None), Answer::Take(_)), "seed {seed}");
        assert_eq!(world.waiting.len(), 0, "seed {seed}");
    }
}

// R24, I-A1: at most this many logins, whatever callers and servers do.
#[test]
fn logins_are_bounded_by_time() {
    for seed in 0..200 {
        let auth = Auth::new(Settings::new(Source::Renewable, seed));
        let (rng, now) = (Rng::new(seed), Instant::ORIGIN);
        let (logins, waiting) = (Vec::new(), Vec::new());
        let mut world = World { auth, now, rng, is_asking: false, logins, waiting };
        for _ in 0..2_000 {
            world.step();
        }
        let seconds = world.now.saturating_since(Instant::ORIGIN).as_secs();
        // A token that lasts for a second, and one that does not, each with a burst.
        let most = 2 * seconds + 10;
        assert!(world.logins.len() as u64 <= most, "seed {seed}: {}", world.logins.len());
    }
}
