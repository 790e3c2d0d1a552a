//! How busy this machine is, and time limits that stretch with it.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The most that a limit is stretched.
pub const MAX_SLACK: f64 = 6.0;

/// The pause between two looks at the load.
const INTERVAL: Duration = Duration::from_millis(100);
/// The time over which the load is averaged: what lasts shorter is no load but a coincidence.
const WINDOW: Duration = Duration::from_secs(2);

/// A clock that runs the more slowly the busier the machine is.
#[derive(Debug, Clone, Copy)]
struct LoadClock {
    /// When it was looked at last.
    at: Instant,
    /// What it showed then.
    shows: Duration,
    /// The average number of threads that run or are ready to, for each processor.
    load: f64,
}

impl LoadClock {
    fn slack(&self) -> f64 {
        self.load.clamp(1.0, MAX_SLACK)
    }

    fn shows(&self, now: Instant) -> Duration {
        self.shows + now.saturating_duration_since(self.at).div_f64(self.slack())
    }

    fn tick(&mut self, now: Instant, load: f64) {
        let since = now.saturating_duration_since(self.at);
        let weight = since.div_duration_f64(WINDOW).min(1.0);
        let load = self.load + (load - self.load) * weight;
        *self = Self { at: now, shows: self.shows(now), load };
    }

    /// Returns the clock of this process, which a thread of its own keeps going.
    fn of_process() -> Self {
        static CLOCK: OnceLock<Mutex<LoadClock>> = OnceLock::new();
        let clock = CLOCK.get_or_init(|| {
            let watch = || {
                // Never waits: the clock is there before the first interval is over.
                let clock = CLOCK.wait();
                loop {
                    std::thread::sleep(INTERVAL);
                    let (_, ready) = read();
                    lock(clock).tick(Instant::now(), per_processor(ready));
                }
            };
            // Without the thread the load stays what it is now.
            let _ = std::thread::Builder::new().name("load".into()).spawn(watch);
            let (minute, ready) = read();
            let load = per_processor(minute.max(ready));
            Mutex::new(Self { at: Instant::now(), shows: Duration::ZERO, load })
        });
        *lock(clock)
    }
}

fn lock(clock: &Mutex<LoadClock>) -> std::sync::MutexGuard<'_, LoadClock> {
    clock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells by how much longer things take now than on an idle machine: at least 1, at most
/// [`MAX_SLACK`]. It is the number of threads that run or are ready to for each processor, over the
/// last two seconds. Where it cannot be known, other than on Linux, it is 1.
pub fn slack() -> f64 {
    LoadClock::of_process().slack()
}

/// Stretches an amount of time by the load that is seen now.
pub fn stretched(time: Duration) -> Duration {
    time.mul_f64(slack())
}

/// A time limit that passes the more slowly the busier the machine is meanwhile.
#[derive(Debug)]
pub struct Limit {
    whole: Duration,
    begin: Instant,
    shown: Duration,
}

impl Limit {
    /// Begins to count; on an idle machine the limit is over after `whole`.
    pub fn new(whole: Duration) -> Self {
        let begin = Instant::now();
        Self { whole, begin, shown: LoadClock::of_process().shows(begin) }
    }

    /// Returns how long the limit lasts at least from now on; zero when it is over.
    pub fn left(&self) -> Duration {
        let spent = LoadClock::of_process().shows(Instant::now()).saturating_sub(self.shown);
        self.whole.saturating_sub(spent)
    }

    /// Returns the time since the beginning if it is more than the limit allows on an idle machine.
    pub fn stretched_to(&self) -> Option<Duration> {
        Some(self.begin.elapsed()).filter(|took| *took > self.whole)
    }
}

/// Returns the load over the last minute and the number of threads that run or are ready to; zeros
/// where nobody tells.
fn read() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    parse(&text).unwrap_or_default()
}

/// Reads the load over the last minute and the number of threads that run or are ready to.
fn parse(loadavg: &str) -> Option<(f64, f64)> {
    let mut words = loadavg.split(' ');
    let minute = words.next()?.parse().ok()?;
    let (ready, _all) = words.nth(2)?.split_once('/')?;
    Some((minute, ready.parse().ok()?))
}

fn per_processor(threads: f64) -> f64 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    // No machine has more processors than that.
    threads / f64::from(u16::try_from(processors).unwrap_or(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_load_of_a_minute_and_of_now_are_read() {
        assert_eq!(parse("4.00 5.89 3.91 5/125 7243\n"), Some((4.0, 5.0)));
        assert_eq!(parse(""), None);
        assert_eq!(parse("4.00 5.89 3.91"), None);
    }

    #[test]
    fn the_clock_runs_slowly_under_load_and_never_fast() {
        let at = Instant::now();
        let second = Duration::from_secs(1);
        let mut clock = LoadClock { at, shows: Duration::ZERO, load: 0.0 };
        assert_eq!(clock.shows(at + second), second);
        clock.tick(at + second, 8.0);
        assert!(is_about(clock.load, 4.0), "half of the window passed");
        assert_eq!(clock.shows(at + 5 * second), 2 * second);
        clock.tick(at + 5 * second, 1000.0);
        assert_eq!(clock.shows(at + 11 * second), 3 * second, "six times as long at most");
        clock.tick(at + 11 * second, 0.5);
        assert_eq!(clock.shows(at + 12 * second), 4 * second);
    }

    #[test]
    fn a_limit_ends_whatever_the_load_and_not_before_its_time() {
        let whole = Duration::from_millis(50);
        let limit = Limit::new(whole);
        assert!(limit.stretched_to().is_none());
        let begin = Instant::now();
        while !limit.left().is_zero() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(begin.elapsed() >= whole);
        assert!(limit.stretched_to().is_some());
    }
}
