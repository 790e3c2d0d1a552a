//! The simulated world: hosts, a network, a model etcd, and virtual time.

use crate::executor::{Executor, Stuck};
use crate::net::{Listener, Net};
use crate::trace::{Recorder, Trace};
use etcd3::runtime::Instant;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The virtual time that a run may take at most.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// How often it is looked at what is left of something.
const COUNT_INTERVAL: Duration = Duration::from_millis(200);

/// One simulated world; cheap to clone.
///
/// Everything in it happens on one thread, in virtual time, in an order drawn from the seed: the
/// same seed gives the same run, step for step.
#[derive(Clone)]
pub struct World {
    pub(crate) executor: Executor,
    pub(crate) net: Net,
    seed: u64,
    /// How many hosts there are.
    pub(crate) hosts: Arc<Mutex<u32>>,
    /// How many clusters there are.
    pub(crate) clusters: Arc<Mutex<u8>>,
}

/// Why a run did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// Nothing was left that could ever happen.
    Deadlock,
    /// A task kept the world from moving on.
    BusyLoop,
    /// A day of virtual time was over.
    TimeUp,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deadlock => "deadlock: no task can go on and no timer is set",
            Self::BusyLoop => "busy loop: tasks wake each other without end",
            Self::TimeUp => "a day of virtual time is over",
        })
    }
}

impl std::error::Error for RunError {}

/// What a run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// How many times a task was polled.
    pub steps: u64,
    /// How many connections were made.
    pub connections: u64,
    /// How many connections were tried, those made included.
    pub attempts: u64,
    /// A number that two runs share only if they took the same steps at the same moments.
    pub digest: u64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("seed", &self.seed).finish_non_exhaustive()
    }
}

/// Runs a program in a world of its own, to its end.
///
/// # Errors
///
/// When the program cannot come to its end.
pub fn run<T, F: Future<Output = T>>(
    seed: u64,
    program: impl FnOnce(World) -> F,
) -> Result<(T, Stats), RunError> {
    run_in(&World::new(seed), program)
}

/// Runs a program in a world that is new.
pub(crate) fn run_in<T, F: Future<Output = T>>(
    world: &World,
    program: impl FnOnce(World) -> F,
) -> Result<(T, Stats), RunError> {
    let program = program(world.clone());
    let result = world.executor.run(program, Instant::ORIGIN + TIME_LIMIT);
    let output = result.map_err(|stuck| match stuck {
        Stuck::Deadlock => RunError::Deadlock,
        Stuck::BusyLoop => RunError::BusyLoop,
        Stuck::TimeUp => RunError::TimeUp,
    })?;
    Ok((output, world.stats()))
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let executor = Executor::new(seed);
        let net = Net::new(executor.clone(), Recorder::new(executor.clone()));
        Self { executor, net, seed, hosts: Arc::default(), clusters: Arc::default() }
    }

    /// Returns the seed of this world.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.executor.now()
    }

    /// A number below `n`, drawn from the seed.
    #[must_use]
    pub fn below(&self, n: u64) -> u64 {
        self.executor.below(n)
    }

    /// Lets virtual time pass.
    pub async fn sleep(&self, duration: Duration) {
        self.executor.sleep_until(self.now() + duration).await;
    }

    /// Waits until nothing is left of what is counted.
    ///
    /// # Errors
    ///
    /// How much is left, when that has not become less within the limit.
    pub async fn until_none_left(
        &self,
        limit: Duration,
        count: impl Fn() -> usize,
    ) -> Result<(), usize> {
        let (mut left, mut progress) = (usize::MAX, self.now());
        loop {
            let now_left = count();
            if now_left < left {
                (left, progress) = (now_left, self.now());
            }
            if left == 0 {
                return Ok(());
            }
            if self.now().saturating_since(progress) > limit {
                return Err(left);
            }
            self.sleep(COUNT_INTERVAL).await;
        }
    }

    /// Returns the network, to break it.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Records what happens from now on, to be looked at or drawn; see [`trace`](crate::trace).
    /// Recording is off otherwise, and changes nothing about the run.
    pub fn record(&self) {
        self.net.recorder().switch_on();
    }

    /// Returns what was recorded so far: nothing but the hosts without [`record`](Self::record).
    #[must_use]
    pub fn trace(&self) -> Trace {
        self.net.recorder().trace(self.seed)
    }

    /// Marks a rule as violated at this moment, if the run is recorded.
    pub fn mark(&self, rule: impl fmt::Display) {
        self.net.recorder().mark(None, rule);
    }

    /// Marks a rule as violated at a moment that is over, if the run is recorded.
    pub fn mark_at(&self, at: Instant, rule: impl fmt::Display) {
        self.net.recorder().mark(Some(at), rule);
    }

    /// Returns what the run took so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            elapsed: self.now().saturating_since(Instant::ORIGIN),
            steps: self.executor.steps(),
            connections: self.net.connections_made(),
            attempts: self.net.connections_tried(),
            digest: self.executor.digest(),
        }
    }

    /// Listens at an address, for a server of one's own; clusters have those in `10.0.0.0/16`.
    #[must_use]
    pub fn listen(&self, at: SocketAddr) -> Listener {
        self.net.listen(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Waits with a limit of a second while the count falls to these values, one after so long
    /// each; returns what it waits for and how long that takes.
    fn waited(counts: &'static [usize], every: Duration) -> (Result<(), usize>, Duration) {
        let program = |world: World| async move {
            let count = Arc::new(AtomicUsize::new(5));
            let (other, changed) = (world.clone(), Arc::clone(&count));
            world.host().spawn(async move {
                for value in counts {
                    other.sleep(every).await;
                    changed.store(*value, Ordering::Relaxed);
                }
            });
            let limit = Duration::from_secs(1);
            let result = world.until_none_left(limit, || count.load(Ordering::Relaxed)).await;
            (result, world.now().saturating_since(Instant::ORIGIN))
        };
        run(1, program).unwrap().0
    }

    #[test]
    fn what_becomes_less_is_waited_for_and_nothing_else() {
        let ms = Duration::from_millis;
        assert_eq!(waited(&[4, 2, 1, 0], ms(910)), (Ok(()), ms(3_800)));
        // It ends once the limit is over: at the next look.
        assert_eq!(waited(&[3], ms(310)), (Err(3), ms(1_600)));
        // Neither a rise nor the fall after that is progress.
        assert_eq!(waited(&[3, 7, 3, 7, 3, 7, 3], ms(310)), (Err(3), ms(1_600)));
        assert_eq!(waited(&[0], ms(110)), (Ok(()), ms(200)));
    }
}
