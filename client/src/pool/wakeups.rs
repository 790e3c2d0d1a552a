//! How the control task is woken, and what it wakes: one timer for all calls.
//!
//! Each call registers the moment at which it wants to be polled; the control task wakes it then.

use super::notify::Notify;
use etcd3_core::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Names one registration.
pub(crate) type WakeupKey = (Instant, u64);

/// A call that was woken and is not polled for this long loses its stream.
const UNPOLLED: Duration = Duration::from_secs(1);
/// A control task that is late by more than this is not relied upon.
const OVERDUE: Duration = Duration::from_secs(1);

/// A call that waits for a moment.
pub(crate) trait Sleeper: fmt::Debug + Send + Sync {
    /// Wakes it, since the moment of this registration has come; returns whether it holds a stream.
    fn fire(&self, key: WakeupKey) -> bool;

    /// Wakes it before its moment has come.
    fn wake(&self);

    /// Takes its stream away, if it was woken and has not been polled since.
    fn abandon(&self);
}

/// The moments that calls wait for, and those that the control task is to look at.
///
/// A waker that goes may take a task with it, and the calls of that task come back here: none is
/// dropped under the lock.
#[derive(Debug)]
pub(crate) struct Wakeups {
    inner: Mutex<Inner>,
    registered: AtomicU64,
    /// When the control task will look next, in nanoseconds.
    armed: AtomicU64,
    /// Since when the control task has been told to look, and has not.
    owed: AtomicU64,
    notify: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// In order: mostly a call's deadline is later than those of the calls before it.
    queue: VecDeque<Entry>,
    /// How many in the queue are gone.
    gone: usize,
    /// Those that come earlier than one before them.
    others: BTreeMap<WakeupKey, Arc<dyn Sleeper>>,
    /// Calls that were woken while their stream was open, and when they lose it.
    woken: VecDeque<(Instant, Arc<dyn Sleeper>)>,
}

#[derive(Debug)]
struct Entry {
    key: WakeupKey,
    /// `None` when it is gone; the first has one.
    call: Option<Arc<dyn Sleeper>>,
}

impl Inner {
    fn insert(&mut self, key: WakeupKey, call: Arc<dyn Sleeper>) {
        if self.queue.back().is_none_or(|last| last.key < key) {
            self.queue.push_back(Entry { key, call: Some(call) });
        } else {
            self.others.insert(key, call);
        }
    }

    fn remove(&mut self, key: WakeupKey) -> Option<Arc<dyn Sleeper>> {
        let Ok(index) = self.queue.binary_search_by_key(&key, |entry| entry.key) else {
            return self.others.remove(&key);
        };
        let call = self.queue[index].call.take();
        self.gone += usize::from(call.is_some());
        self.tidy();
        call
    }

    /// Drops those at the beginning that are gone, and all when they are the most.
    fn tidy(&mut self) {
        while self.queue.front().is_some_and(|first| first.call.is_none()) {
            self.queue.pop_front();
            self.gone -= 1;
        }
        if self.gone > self.queue.len() / 2 {
            self.queue.retain(|entry| entry.call.is_some());
            self.gone = 0;
        }
    }

    /// Takes all whose moment has come.
    fn take_due(&mut self, now: Instant) -> Vec<(WakeupKey, Arc<dyn Sleeper>)> {
        let mut due = Vec::new();
        while self.queue.front().is_some_and(|first| first.key.0 <= now) {
            if let Some(Entry { key, call }) = self.queue.pop_front() {
                self.gone -= usize::from(call.is_none());
                due.extend(call.map(|call| (key, call)));
            }
        }
        self.tidy();
        while let Some(first) = self.others.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove_entry());
        }
        due
    }

    /// Takes the calls that were woken long enough ago.
    fn take_unpolled(&mut self, now: Instant) -> Vec<Arc<dyn Sleeper>> {
        let count = self.woken.iter().take_while(|(at, _)| *at <= now).count();
        self.woken.drain(..count).map(|(_, call)| call).collect()
    }

    fn first(&self) -> Option<Instant> {
        let queued = self.queue.front().map(|entry| entry.key.0);
        let others = self.others.keys().next().map(|(at, _)| *at);
        let woken = self.woken.front().map(|(at, _)| *at);
        queued.into_iter().chain(others).chain(woken).min()
    }
}

/// The control task looks only when it is told to.
const NEVER: u64 = u64::MAX;

impl Default for Wakeups {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            registered: AtomicU64::default(),
            armed: AtomicU64::new(NEVER),
            owed: AtomicU64::new(NEVER),
            notify: Notify::default(),
        }
    }
}

impl Wakeups {
    /// Makes the control task look now.
    pub(crate) fn notify(&self, now: Instant) {
        self.owed.fetch_min(now.as_nanos(), Ordering::SeqCst);
        self.notify.notify();
    }

    /// Makes the control task look at this moment, or now if that is over; returns whether it would
    /// have looked too late.
    pub(crate) fn arm_earlier(&self, now: Instant, at: Instant) -> bool {
        let nanos = at.max(now).as_nanos();
        let is_earlier = nanos < self.armed.load(Ordering::SeqCst)
            && nanos < self.armed.fetch_min(nanos, Ordering::SeqCst);
        if is_earlier {
            self.notify(now);
        }
        is_earlier
    }

    /// Completes when the control task is to look.
    pub(crate) fn poll_notified(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.notify.poll_notified(cx)
    }

    /// The control task is looking: whoever wants it earlier than it knows must notify it.
    pub(crate) fn disarm(&self) {
        self.owed.store(NEVER, Ordering::SeqCst);
        self.armed.store(NEVER, Ordering::SeqCst);
    }

    /// Returns whether the control task should have looked long ago: its runtime may not be driven.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        let armed = self.armed.load(Ordering::Relaxed);
        let since = armed.min(self.owed.load(Ordering::Relaxed));
        now.saturating_since(Instant::from_nanos(since)) > OVERDUE
    }

    /// Names a registration for this moment.
    pub(crate) fn key(&self, at: Instant) -> WakeupKey {
        (at, self.registered.fetch_add(1, Ordering::Relaxed))
    }

    /// Registers a call that waits for the moment of this key.
    pub(crate) fn register(&self, now: Instant, key: WakeupKey, call: Arc<dyn Sleeper>) {
        self.lock().insert(key, call);
        self.arm_earlier(now, key.0);
    }

    /// Forgets a registration.
    pub(crate) fn remove(&self, key: WakeupKey) {
        let _gone = self.lock().remove(key);
    }

    /// Wakes all calls whose moment has come, takes their streams from those that were woken before
    /// and not polled since, and says when to look next: when there is more to do, or at `other` if
    /// that is earlier.
    pub(crate) fn fire(&self, now: Instant, other: Option<Instant>) -> Option<Instant> {
        let mut inner = self.lock();
        let (due, unpolled) = (inner.take_due(now), inner.take_unpolled(now));
        drop(inner);
        // Whatever they hold may need the locks to go.
        for call in unpolled {
            call.abandon();
        }
        let open = due.into_iter().filter_map(|(key, call)| call.fire(key).then_some(call));
        let open: Vec<_> = open.map(|call| (now + UNPOLLED, call)).collect();
        let mut inner = self.lock();
        inner.woken.extend(open);
        let next = inner.first().into_iter().chain(other).min();
        self.armed.store(next.map_or(NEVER, Instant::as_nanos), Ordering::SeqCst);
        next
    }

    /// Wakes all calls, whatever they wait for.
    pub(crate) fn wake_all(&self) {
        let inner = self.lock();
        let queued = inner.queue.iter().filter_map(|entry| entry.call.as_ref());
        let all: Vec<_> = queued.chain(inner.others.values()).map(Arc::clone).collect();
        drop(inner);
        for call in all {
            call.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::open_stream::OpenStream;
    use crate::count::Count;
    use etcd3_core::rng::Rng;
    use std::sync::atomic::AtomicU32;
    use std::task::{Wake, Waker};

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    /// A call that waits for this moment, and is woken through this waker.
    fn waiting(
        wakeups: &Wakeups,
        moment: Instant,
        waker: impl Into<Waker>,
    ) -> (WakeupKey, Arc<OpenStream>) {
        let call = Arc::<OpenStream>::default();
        let key = wakeups.key(moment);
        call.await_alarm(key, &waker.into());
        wakeups.register(Instant::ORIGIN, key, Arc::<OpenStream>::clone(&call));
        (key, call)
    }

    fn is_notified(wakeups: &Wakeups) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        wakeups.poll_notified(&mut cx).is_ready()
    }

    /// Looks whether the wake-ups can be used when it is dropped, as a dropped call does.
    struct Dropped(Arc<Wakeups>, Arc<AtomicU32>);

    impl Wake for Dropped {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.1.fetch_add(u32::from(self.0.inner.try_lock().is_ok()), Ordering::Relaxed);
        }
    }

    #[test]
    fn wakers_are_dropped_outside_of_the_lock() {
        let wakeups = Arc::new(Wakeups::default());
        let free = Arc::<AtomicU32>::default();
        let waker = || Waker::from(Arc::new(Dropped(Arc::clone(&wakeups), Arc::clone(&free))));
        let (key, call) = waiting(&wakeups, at(1), waker());
        call.await_alarm(key, &waker());
        drop(call);
        wakeups.remove(key);
        assert_eq!(free.load(Ordering::Relaxed), 2);
        let (_, call) = waiting(&wakeups, at(1), waker());
        drop(call);
        wakeups.fire(at(1), None);
        assert_eq!(free.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn fires_what_is_due_and_tells_what_is_next() {
        let wakeups = Wakeups::default();
        let count = Arc::new(Count::default());
        let register = |moment| {
            let (key, _) = waiting(&wakeups, at(moment), Arc::clone(&count));
            (key, is_notified(&wakeups))
        };
        let ((_, first), (later, second), (_, third)) = (register(20), register(30), register(10));
        assert_eq!((first, second, third), (true, false, true), "only an earlier one is news");
        assert_eq!(wakeups.fire(at(9), None), Some(at(10)));
        assert_eq!(wakeups.fire(at(20), None), Some(at(30)));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(wakeups.fire(at(20), Some(at(25))), Some(at(25)));
        wakeups.remove(later);
        assert_eq!(wakeups.fire(at(40), None), None);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    // A runtime that exists and is not driven: nobody looks, whatever is due.
    #[test]
    fn it_is_known_for_how_long_the_control_task_has_not_looked() {
        let second = |n: u64| at(n * 1_000_000_000);
        let wakeups = Wakeups::default();
        assert!(!wakeups.is_overdue(second(1_000)), "nobody wants it to look");
        wakeups.notify(second(5));
        assert!(!wakeups.is_overdue(second(6)));
        assert!(wakeups.is_overdue(second(7)), "it was told to");
        wakeups.disarm();
        assert!(!wakeups.is_overdue(second(1_000)), "it looked");
        wakeups.fire(second(7), Some(second(10)));
        assert!(!wakeups.is_overdue(second(11)));
        assert!(wakeups.is_overdue(second(12)), "it knows when to");
        wakeups.disarm();
        assert!(wakeups.arm_earlier(second(20), second(1)));
        assert!(!wakeups.is_overdue(second(21)), "late is counted from when it was told");
    }

    #[test]
    fn all_can_be_woken_at_once() {
        let wakeups = Wakeups::default();
        let count = Arc::new(Count::default());
        let calls: Vec<_> = [30, 20, 40, 10]
            .map(|moment| waiting(&wakeups, at(moment), Arc::clone(&count)).1)
            .into();
        wakeups.wake_all();
        assert_eq!(count.0.load(Ordering::Relaxed), 4);
        assert_eq!(wakeups.fire(at(9), None), Some(at(10)), "they still wait");
        drop(calls);
    }

    // Whatever comes and goes in whatever order, those are woken that are due, and nobody else;
    // and what is gone takes no memory for long.
    #[test]
    fn it_is_a_map_from_moments_to_calls() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let wakeups = Wakeups::default();
            let (mut now, mut live) = (0, BTreeMap::new());
            for _ in 0..rng.below(600) {
                match rng.below(8) {
                    0..=3 => {
                        let moment = now + [20, rng.below(40)][usize::from(rng.below(4) == 0)];
                        let count = Arc::new(Count::default());
                        let (key, _) = waiting(&wakeups, at(moment), Arc::clone(&count));
                        live.insert(key, count);
                    }
                    4..=6 if !live.is_empty() => {
                        let nth = usize::try_from(rng.below(live.len() as u64)).unwrap();
                        let key = *live.keys().nth(nth).unwrap();
                        let count = live.remove(&key).unwrap();
                        wakeups.remove(key);
                        assert_eq!(Arc::strong_count(&count), 1, "forgotten");
                    }
                    _ => {
                        now += rng.below(15);
                        let later = live.split_off(&(at(now), u64::MAX));
                        let due = std::mem::replace(&mut live, later);
                        let next = wakeups.fire(at(now), None);
                        assert_eq!(next, live.keys().next().map(|key| key.0));
                        assert!(due.values().all(|it| it.0.load(Ordering::Relaxed) == 1));
                        assert!(live.values().all(|it| it.0.load(Ordering::Relaxed) == 0));
                    }
                }
                let inner = wakeups.lock();
                let held = inner.queue.len() - inner.gone + inner.others.len();
                assert_eq!(held, live.len());
                assert!(inner.queue.len() <= 2 * live.len(), "seed {seed}");
            }
        }
    }
}
