//! What every [`Machine`] must obey, checked with random scripts.
//!
//! - *stops*: a bounded number of outputs at one instant;
//! - *no spin*: `Wait(Some(t))` means `t > now`;
//! - *stable*: polling again answers the same;
//! - *lazy = eager*: driven only at its own deadlines, or far too often, its outputs are the same;
//! - *deterministic*: the same script gives the same outputs;
//! - *total*: any input in any state, without a panic.

use crate::{Instant, Machine, Next, rng::Rng};
use std::fmt::Debug;
use std::time::Duration;

/// More outputs than this at one instant count as spinning.
const OUTPUTS_AT_ONE_INSTANT: usize = 10_000;

/// One run of a machine, as a list: when each input came.
pub type Script<I> = Vec<(Instant, I)>;

/// Makes a script of `steps` inputs at random moments, up to `spread` apart; the same for the same
/// `seed`.
pub fn script<I>(
    seed: u64,
    steps: usize,
    spread: Duration,
    mut input: impl FnMut(&mut Rng) -> I,
) -> Script<I> {
    let mut rng = Rng::new(seed);
    let mut at = Instant::ORIGIN;
    let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
    (0..steps)
        .map(|_| {
            at = at + Duration::from_nanos(rng.below(nanos));
            (at, input(&mut rng))
        })
        .collect()
}

/// Runs the machine through the script in every way that must not matter, and returns its outputs.
///
/// # Panics
///
/// When the machine breaks a law.
pub fn check_machine<M>(machine: &M, script: &Script<M::Input>) -> Vec<(Instant, M::Output)>
where
    M: Machine + Clone,
    M::Input: Clone,
    M::Output: PartialEq + Debug,
{
    let lazy = run(machine.clone(), script, 0);
    assert_eq!(lazy, run(machine.clone(), script, 0), "not deterministic");
    assert_eq!(lazy, run(machine.clone(), script, 3), "outputs depend on how often it is polled");
    lazy
}

/// Drives one run; polls `early` times before each deadline, when nothing is due yet.
fn run<M>(mut machine: M, script: &Script<M::Input>, early: u32) -> Vec<(Instant, M::Output)>
where
    M: Machine + Clone,
    M::Input: Clone,
    M::Output: PartialEq + Debug,
{
    let mut outputs = Vec::new();
    let mut now = Instant::ORIGIN;
    let mut wake = drain(&mut machine, now, &mut outputs);
    for (at, input) in script {
        while let Some(deadline) = wake.filter(|deadline| deadline <= at) {
            poll_too_early(&mut machine, now, deadline, early);
            now = deadline;
            wake = drain(&mut machine, now, &mut outputs);
        }
        now = *at;
        machine.handle(now, input.clone());
        wake = drain(&mut machine, now, &mut outputs);
        assert_stable(&machine, now, wake);
    }
    outputs
}

fn drain<M: Machine>(
    machine: &mut M,
    now: Instant,
    outputs: &mut Vec<(Instant, M::Output)>,
) -> Option<Instant> {
    for _ in 0..OUTPUTS_AT_ONE_INSTANT {
        match machine.poll(now) {
            Next::Do(output) => outputs.push((now, output)),
            Next::Wait(deadline) => {
                assert!(deadline.is_none_or(|t| t > now), "waits for the past: would spin");
                return deadline;
            }
        }
    }
    panic!("never stops asking at one instant");
}

fn poll_too_early<M: Machine>(machine: &mut M, from: Instant, deadline: Instant, times: u32)
where
    M::Output: PartialEq + Debug,
{
    let gap = deadline.saturating_since(from) / (times + 1);
    for k in 1..=times {
        let at = from + gap * k;
        if at >= deadline {
            return;
        }
        assert_eq!(machine.poll(at), Next::Wait(Some(deadline)), "did something too early");
    }
}

fn assert_stable<M>(machine: &M, now: Instant, wake: Option<Instant>)
where
    M: Machine + Clone,
    M::Output: PartialEq + Debug,
{
    assert_eq!(machine.clone().poll(now), Next::Wait(wake), "polling again changes the answer");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Breaks one law at a time, to see that the checker can fail.
    #[derive(Clone, Debug)]
    struct Rogue {
        law: u8,
        polls: u32,
        due: Option<Instant>,
    }

    impl Machine for Rogue {
        type Input = ();
        type Output = u32;

        fn handle(&mut self, now: Instant, (): ()) {
            self.due = Some(now + Duration::from_millis(10));
        }

        fn poll(&mut self, now: Instant) -> Next<u32> {
            self.polls += 1;
            match self.law {
                1 => Next::Do(0),
                2 => Next::Wait(Some(now)),
                3 => Next::Wait(Some(now + Duration::from_nanos(u64::from(self.polls)))),
                4 if self.due.is_some_and(|due| due <= now) => {
                    self.due = None;
                    Next::Do(self.polls)
                }
                // Only somebody who looks shortly before its time finds it hasty.
                5 if self.due.is_some_and(|due| due <= now + Duration::from_millis(3)) => {
                    self.due = None;
                    Next::Do(1)
                }
                0 if self.due.is_some_and(|due| due <= now) => {
                    self.due = None;
                    Next::Do(1)
                }
                _ => Next::Wait(self.due),
            }
        }
    }

    fn outcome(law: u8) -> Result<usize, String> {
        let script = script(1, 20, Duration::from_millis(30), |_| ());
        let machine = Rogue { law, polls: 0, due: None };
        std::panic::catch_unwind(|| check_machine(&machine, &script).len()).map_err(|e| {
            e.downcast_ref::<String>().cloned().unwrap_or_else(|| {
                e.downcast_ref::<&str>().map(ToString::to_string).unwrap_or_default()
            })
        })
    }

    #[test]
    fn the_checker_passes_the_lawful_and_catches_each_rogue() {
        assert!(outcome(0).unwrap() > 0);
        for (law, message) in [
            (1, "never stops"),
            (2, "would spin"),
            (3, "polling again"),
            (4, "how often"),
            (5, "too early"),
        ] {
            let caught = outcome(law).unwrap_err();
            assert!(caught.contains(message), "law {law}: {caught}");
        }
    }
}
