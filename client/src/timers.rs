//! One timer for all calls: each leaves its deadline and waker here, the control task wakes them.

use crate::shared::Shared;
use etcd3_core::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

/// Names one registration.
pub(crate) type Key = (Instant, u64);

/// The deadlines that calls wait for.
///
/// A waker that goes may take a task with it, and the calls of that task come back here: none is
/// dropped under the lock.
#[derive(Debug)]
pub(crate) struct Timers {
    inner: Mutex<Inner>,
    /// When the control task will look next, in nanoseconds.
    armed: AtomicU64,
}

#[derive(Debug, Default)]
struct Inner {
    /// In order: mostly a call's deadline is later than those of the calls before it.
    queue: VecDeque<Entry>,
    /// How many in the queue are gone.
    gone: usize,
    /// Those that come earlier than one before them.
    others: BTreeMap<Key, Waker>,
    registered: u64,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// `None` when it is gone; the first has one.
    waker: Option<Waker>,
}

impl Inner {
    fn insert(&mut self, key: Key, waker: Waker) {
        if self.queue.back().is_none_or(|last| last.key < key) {
            self.queue.push_back(Entry { key, waker: Some(waker) });
        } else {
            self.others.insert(key, waker);
        }
    }

    fn find(&mut self, key: Key) -> Option<&mut Waker> {
        match self.queue.binary_search_by_key(&key, |entry| entry.key) {
            Ok(index) => self.queue[index].waker.as_mut(),
            Err(_) => self.others.get_mut(&key),
        }
    }

    fn remove(&mut self, key: Key) -> Option<Waker> {
        let Ok(index) = self.queue.binary_search_by_key(&key, |entry| entry.key) else {
            return self.others.remove(&key);
        };
        let waker = self.queue[index].waker.take();
        self.gone += usize::from(waker.is_some());
        self.tidy();
        waker
    }

    /// Drops those at the beginning that are gone, and all when they are the most.
    fn tidy(&mut self) {
        while self.queue.front().is_some_and(|first| first.waker.is_none()) {
            self.queue.pop_front();
            self.gone -= 1;
        }
        if self.gone > self.queue.len() / 2 {
            self.queue.retain(|entry| entry.waker.is_some());
            self.gone = 0;
        }
    }

    /// Takes all whose moment has come.
    fn take_due(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        while self.queue.front().is_some_and(|first| first.key.0 <= now) {
            if let Some(entry) = self.queue.pop_front() {
                self.gone -= usize::from(entry.waker.is_none());
                due.extend(entry.waker);
            }
        }
        self.tidy();
        while let Some(first) = self.others.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        due
    }

    fn first(&self) -> Option<Instant> {
        let queued = self.queue.front().map(|entry| entry.key.0);
        queued.into_iter().chain(self.others.keys().next().map(|(at, _)| *at)).min()
    }
}

/// The control task looks only when it is told to.
const NEVER: u64 = u64::MAX;

impl Default for Timers {
    fn default() -> Self {
        Self { inner: Mutex::default(), armed: AtomicU64::new(NEVER) }
    }
}

impl Timers {
    /// Says whether the control task, which is to look at this moment, must be told so.
    pub(crate) fn must_hurry(&self, at: Instant) -> bool {
        let at = at.as_nanos();
        at < self.armed.load(Ordering::SeqCst) && at < self.armed.fetch_min(at, Ordering::SeqCst)
    }

    /// The control task is looking: whoever wants it earlier than it knows must tell it.
    pub(crate) fn disarm(&self) {
        self.armed.store(NEVER, Ordering::SeqCst);
    }

    /// Registers a waker; says whether the control task must be told to look earlier.
    pub(crate) fn register(&self, at: Instant, waker: &Waker) -> (Key, bool) {
        let mut inner = self.lock();
        inner.registered += 1;
        let key = (at, inner.registered);
        inner.insert(key, waker.clone());
        drop(inner);
        (key, self.must_hurry(at))
    }

    /// Replaces the waker of a registration; false if it has fired already.
    pub(crate) fn update(&self, key: Key, waker: &Waker) -> bool {
        let old = {
            let mut inner = self.lock();
            inner.find(key).map(|known| std::mem::replace(known, waker.clone()))
        };
        old.is_some()
    }

    /// Forgets a registration.
    pub(crate) fn remove(&self, key: Key) {
        let _gone = self.lock().remove(key);
    }

    /// Wakes all whose moment has come, and says when to look next: at the first registration, or
    /// at `other` if that is earlier.
    pub(crate) fn fire(&self, now: Instant, other: Option<Instant>) -> Option<Instant> {
        let (due, next) = {
            let mut inner = self.lock();
            let due = inner.take_due(now);
            let next = inner.first().into_iter().chain(other).min();
            self.armed.store(next.map_or(NEVER, Instant::as_nanos), Ordering::SeqCst);
            (due, next)
        };
        due.into_iter().for_each(Waker::wake);
        next
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registration with the timers of a client; the deadline of a call needs one for all of it.
pub(crate) struct Alarm {
    pub(crate) shared: Arc<Shared>,
    set: Option<Key>,
}

impl Alarm {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, set: None }
    }

    /// Wakes at this moment, and at no other.
    pub(crate) fn set(&mut self, at: Instant, waker: &Waker) {
        if let Some(key) = self.set.filter(|(set, _)| *set == at)
            && self.shared.timers.update(key, waker)
        {
            return;
        }
        self.clear();
        let (key, is_earliest) = self.shared.timers.register(at, waker);
        self.set = Some(key);
        if is_earliest {
            self.shared.kick();
        }
    }

    fn clear(&mut self) {
        if let Some(key) = self.set.take() {
            self.shared.timers.remove(key);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;
    use etcd3_core::rng::Rng;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    /// Looks whether the timers can be used when it is dropped, as the call of a dropped task does.
    struct Dropped(Arc<Timers>, Arc<AtomicU32>);

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
        let timers = Arc::new(Timers::default());
        let free = Arc::<AtomicU32>::default();
        let waker = || Waker::from(Arc::new(Dropped(Arc::clone(&timers), Arc::clone(&free))));
        let (key, _) = timers.register(Instant::from_nanos(1), &waker());
        timers.update(key, &waker());
        timers.remove(key);
        assert_eq!(free.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn fires_what_is_due_and_tells_what_is_next() {
        let at = Instant::from_nanos;
        let timers = Timers::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let (_, first) = timers.register(at(20), &waker);
        let (later, second) = timers.register(at(30), &waker);
        let (_, third) = timers.register(at(10), &waker);
        assert_eq!((first, second, third), (true, false, true), "only an earlier one is news");
        assert_eq!(timers.fire(at(9), None), Some(at(10)));
        assert_eq!(timers.fire(at(20), None), Some(at(30)));
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(timers.fire(at(20), Some(at(25))), Some(at(25)));
        timers.remove(later);
        assert_eq!(timers.fire(at(40), None), None);
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    // Whatever comes and goes in whatever order, those are woken that are due, and nobody else;
    // and what is gone takes no memory for long.
    #[test]
    fn it_is_a_map_from_moments_to_wakers() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let timers = Timers::default();
            let (mut now, mut live) = (0, BTreeMap::new());
            for _ in 0..rng.below(600) {
                match rng.below(8) {
                    0..=3 => {
                        let at = now + [20, rng.below(40)][usize::from(rng.below(4) == 0)];
                        let count = Arc::new(Count::default());
                        let (key, _) =
                            timers.register(Instant::from_nanos(at), &Arc::clone(&count).into());
                        live.insert(key, count);
                    }
                    4..=6 if !live.is_empty() => {
                        let nth = usize::try_from(rng.below(live.len() as u64)).unwrap();
                        let key = *live.keys().nth(nth).unwrap();
                        let count = live.remove(&key).unwrap();
                        if rng.below(3) == 0 {
                            assert!(timers.update(key, &Arc::clone(&count).into()));
                        }
                        timers.remove(key);
                        assert_eq!(Arc::strong_count(&count), 1, "forgotten");
                    }
                    _ => {
                        now += rng.below(15);
                        let at = Instant::from_nanos(now);
                        let later = live.split_off(&(at, u64::MAX));
                        let due = std::mem::replace(&mut live, later);
                        assert_eq!(timers.fire(at, None), live.keys().next().map(|key| key.0));
                        assert!(due.values().all(|it| it.0.load(Ordering::Relaxed) == 1));
                        assert!(live.values().all(|it| it.0.load(Ordering::Relaxed) == 0));
                        assert!(due.keys().all(|key| !timers.update(*key, Waker::noop())));
                    }
                }
                let inner = timers.lock();
                let held = inner.queue.len() - inner.gone + inner.others.len();
                assert_eq!(held, live.len());
                assert!(inner.queue.len() <= 2 * live.len(), "seed {seed}");
            }
        }
    }
}
