//! One thread, a virtual clock, and a ready queue in seeded order.
//!
//! A step polls one task that is ready, picked by the seed. When none is ready, the clock jumps to
//! the next timer; when there is no timer either, the run is stuck and says so.

mod clock;

use self::clock::HostClock;
use etcd3::runtime::{BoxFuture, Instant};
use etcd3_core::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The executor of a simulation: runs tasks in virtual time; cheap to clone.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    ready: Arc<Ready>,
}

struct State {
    now: Instant,
    rng: Rng,
    tasks: BTreeMap<u64, Task>,
    spawned: u64,
    timers: BTreeMap<(Instant, u64), Waker>,
    timers_set: u64,
    steps: u64,
    /// How often the running step asked for the time.
    asked: u64,
    digest: u64,
    /// Hosts whose tasks are not polled.
    paused: BTreeSet<u32>,
    /// The clocks of the hosts that were suspended, or whose wall clock was set.
    clocks: BTreeMap<u32, HostClock>,
    /// Whether the run is over, and its tasks are dropped.
    is_over: bool,
}

struct Task {
    /// Taken out while it is polled.
    future: Option<BoxFuture<'static, ()>>,
    host: u32,
}

/// The tasks that want to be polled, in the order of their wake-ups.
#[derive(Default)]
struct Ready(Mutex<Vec<u64>>);

struct Wakeup {
    task: u64,
    ready: Arc<Ready>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        let mut ready = self.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(&self.task) {
            ready.push(self.task);
        }
    }
}

/// Why a run ended before its main future did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stuck {
    /// No task is ready and no timer is set.
    Deadlock,
    /// More steps at one moment than any program needs: a busy loop.
    BusyLoop,
    /// The virtual time that the run may take is over.
    TimeUp,
}

/// More steps than this without the clock moving count as a busy loop.
const STEPS_AT_ONE_MOMENT: u64 = 1_000_000;
/// So does a step that asks for the time more often than this.
const ASKED_IN_ONE_STEP: u64 = 1_000_000;

impl Executor {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            now: Instant::ORIGIN,
            rng: Rng::new(seed),
            tasks: BTreeMap::new(),
            spawned: 0,
            timers: BTreeMap::new(),
            timers_set: 0,
            steps: 0,
            asked: 0,
            digest: 0xcbf2_9ce4_8422_2325,
            paused: BTreeSet::new(),
            clocks: BTreeMap::new(),
            is_over: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), ready: Arc::default() }))
    }

    /// Returns the virtual time.
    ///
    /// # Panics
    ///
    /// When one step asks for it without end: a loop that never yields, which only this can end.
    pub(crate) fn now(&self) -> Instant {
        let (now, asked) = {
            let mut state = self.lock();
            state.asked += 1;
            (state.now, state.asked)
        };
        assert!(asked < ASKED_IN_ONE_STEP, "busy loop: one step asks for the time without end");
        now
    }

    /// Returns the virtual time for the record of the run, which is no question of the program;
    /// `None` once the run is over.
    pub(crate) fn moment(&self) -> Option<Instant> {
        let state = self.lock();
        (!state.is_over).then_some(state.now)
    }

    /// A number drawn from the seed of the run.
    pub(crate) fn draw(&self) -> u64 {
        self.lock().rng.next_u64()
    }

    /// A number below `n` drawn from the seed of the run.
    pub(crate) fn below(&self, n: u64) -> u64 {
        self.lock().rng.below(n)
    }

    /// Returns how many times a task was polled.
    pub(crate) fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// A number that two runs share only if they took the same steps at the same moments.
    pub(crate) fn digest(&self) -> u64 {
        self.lock().digest
    }

    /// Mixes something that happened into the digest.
    pub(crate) fn note(&self, what: u64) {
        self.lock().mix(what);
    }

    /// Returns how many tasks of this host have not ended.
    pub(crate) fn tasks_of(&self, host: u32) -> usize {
        self.lock().tasks.values().filter(|task| task.host == host).count()
    }

    pub(crate) fn spawn(&self, host: u32, future: BoxFuture<'static, ()>) {
        let mut state = self.lock();
        state.spawned += 1;
        let id = state.spawned;
        state.tasks.insert(id, Task { future: Some(future), host });
        drop(state);
        self.wake(id);
    }

    /// Ends all tasks of a host at once, as the end of its process does.
    pub(crate) fn abort(&self, host: u32) {
        let mut state = self.lock();
        let gone: Vec<_> =
            state.tasks.iter().filter(|(_, t)| t.host == host).map(|(id, _)| *id).collect();
        let tasks: Vec<_> = gone.iter().filter_map(|id| state.tasks.remove(id)).collect();
        drop(state);
        // Their destructors may call back.
        drop(tasks);
    }

    /// Stops the tasks of a host, or lets them go on. Wake-ups are kept.
    pub(crate) fn set_paused(&self, host: u32, paused: bool) {
        let mut state = self.lock();
        if paused {
            state.paused.insert(host);
        } else {
            state.paused.remove(&host);
        }
    }

    /// Completes once the clock has reached `at`.
    pub(crate) fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { executor: self.clone(), at, set: None }
    }

    /// Runs until the future is ready, or the run is stuck; then all other tasks end, too.
    pub(crate) fn run<T>(
        &self,
        main: impl Future<Output = T>,
        time_limit: Instant,
    ) -> Result<T, Stuck> {
        let mut main = std::pin::pin!(main);
        let result = self.drive(main.as_mut(), time_limit);
        self.lock().is_over = true;
        // They hold this executor, and it holds them: nobody else would let go of them.
        loop {
            let tasks = std::mem::take(&mut self.lock().tasks);
            if tasks.is_empty() {
                return result;
            }
            // Their destructors may spawn more.
            drop(tasks);
        }
    }

    fn drive<T>(
        &self,
        mut main: Pin<&mut impl Future<Output = T>>,
        time_limit: Instant,
    ) -> Result<T, Stuck> {
        let waker = Waker::from(Arc::new(Wakeup { task: 0, ready: Arc::clone(&self.0.ready) }));
        self.wake(0);
        let mut steps_here = 0;
        loop {
            let Some(task) = self.pick() else {
                self.advance(time_limit)?;
                steps_here = 0;
                continue;
            };
            steps_here += 1;
            if steps_here > STEPS_AT_ONE_MOMENT {
                return Err(Stuck::BusyLoop);
            }
            if task == 0 {
                if let Poll::Ready(output) = main.as_mut().poll(&mut Context::from_waker(&waker)) {
                    return Ok(output);
                }
            } else {
                self.poll(task);
            }
        }
    }

    /// Takes one of the ready tasks.
    fn pick(&self) -> Option<u64> {
        let mut ready = self.0.ready.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let runs = |task: &u64| {
            let host = state.tasks.get(task).map(|task| task.host);
            host.is_none_or(|host| state.runs(host))
        };
        let eligible = ready.iter().filter(|task| runs(task)).count();
        if eligible == 0 {
            return None;
        }
        let nth = state.rng.clone().below(u64::try_from(eligible).unwrap_or_default());
        let nth = usize::try_from(nth).unwrap_or_default();
        let index = ready.iter().enumerate().filter(|(_, task)| runs(task)).nth(nth)?.0;
        state.rng.next_u64();
        let task = ready.remove(index);
        state.steps += 1;
        state.asked = 0;
        let now = state.now.as_nanos();
        state.mix(task);
        state.mix(now);
        Some(task)
    }

    fn poll(&self, id: u64) {
        let Some(mut future) = self.lock().tasks.get_mut(&id).and_then(|task| task.future.take())
        else {
            return;
        };
        let waker = Waker::from(Arc::new(Wakeup { task: id, ready: Arc::clone(&self.0.ready) }));
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut state = self.lock();
        if ended {
            state.tasks.remove(&id);
        } else if let Some(task) = state.tasks.get_mut(&id) {
            task.future = Some(future);
            return;
        }
        drop(state);
        // Ended, or aborted while it ran: dropped without the lock.
        drop(future);
    }

    /// Lets the clock jump to the next timer and wakes whoever waits for that moment.
    fn advance(&self, time_limit: Instant) -> Result<(), Stuck> {
        let mut state = self.lock();
        let Some(((at, _), _)) = state.timers.first_key_value() else {
            return Err(Stuck::Deadlock);
        };
        let at = *at;
        if at > time_limit {
            return Err(Stuck::TimeUp);
        }
        state.now = state.now.max(at);
        let later = state.timers.split_off(&(at, u64::MAX));
        let due = std::mem::replace(&mut state.timers, later);
        drop(state);
        due.into_values().for_each(Waker::wake);
        Ok(())
    }

    fn wake(&self, task: u64) {
        Arc::new(Wakeup { task, ready: Arc::clone(&self.0.ready) }).wake();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Tells whether the tasks of a host are polled.
    fn runs(&self, host: u32) -> bool {
        let is_suspended = self.clocks.get(&host).is_some_and(HostClock::is_suspended);
        !is_suspended && !self.paused.contains(&host)
    }

    fn mix(&mut self, what: u64) {
        self.digest = (self.digest ^ what).wrapping_mul(0x0100_0000_01b3).rotate_left(17);
    }
}

/// A future that completes at a moment of virtual time.
pub(crate) struct Sleep {
    executor: Executor,
    at: Instant,
    set: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.executor.lock();
        if state.now >= self.at {
            return Poll::Ready(());
        }
        let key = self.set.unwrap_or_else(|| {
            state.timers_set += 1;
            (self.at, state.timers_set)
        });
        state.timers.insert(key, cx.waker().clone());
        drop(state);
        self.set = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.set {
            self.executor.lock().timers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    fn secs(n: u64) -> Instant {
        Instant::ORIGIN + Duration::from_secs(n)
    }

    fn order(seed: u64) -> (Vec<u64>, u64) {
        let executor = Executor::new(seed);
        let log = Arc::new(Mutex::new(vec![]));
        for n in 0..10 {
            let (log, sleep) = (Arc::clone(&log), executor.sleep_until(secs(n / 5)));
            executor.spawn(
                1,
                Box::pin(async move {
                    sleep.await;
                    log.lock().unwrap().push(n);
                }),
            );
        }
        executor.run(executor.sleep_until(secs(9)), secs(10)).unwrap();
        assert_eq!(executor.tasks_of(1), 0);
        let order = log.lock().unwrap().clone();
        (order, executor.digest())
    }

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_a_different_one() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1).0, order(2).0);
        assert_ne!(order(1).1, order(2).1);
        assert!(order(3).0[..5].iter().all(|n| *n < 5), "time comes before chance");
    }

    #[test]
    fn says_why_it_is_stuck() {
        let executor = Executor::new(1);
        assert_eq!(executor.run(std::future::pending::<()>(), secs(1)), Err(Stuck::Deadlock));
        assert_eq!(executor.run(executor.sleep_until(secs(2)), secs(1)), Err(Stuck::TimeUp));
        let spins = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&spins);
        let spin = std::future::poll_fn(move |cx| {
            count.fetch_add(1, Ordering::Relaxed);
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(executor.run(spin, secs(1)), Err(Stuck::BusyLoop));
        assert!(spins.load(Ordering::Relaxed) > 1000);
    }

    #[test]
    #[should_panic(expected = "one step asks for the time without end")]
    fn a_loop_within_a_step_is_ended() {
        let executor = Executor::new(1);
        let clock = executor.clone();
        let spin = async move { while clock.now() == Instant::ORIGIN {} };
        let _ = executor.run(spin, secs(1));
    }

    #[test]
    fn aborted_tasks_are_dropped() {
        let executor = Executor::new(1);
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        executor.spawn(
            7,
            Box::pin(async move {
                std::future::pending::<()>().await;
                drop(held);
            }),
        );
        executor.run(executor.sleep_until(secs(1)), secs(2)).unwrap();
        executor.abort(7);
        assert_eq!((executor.tasks_of(7), Arc::strong_count(&alive)), (0, 1));
    }
}
