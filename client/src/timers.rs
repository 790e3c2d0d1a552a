//! One timer for all calls: each leaves its deadline and waker here, the control task wakes them.

use crate::shared::Shared;
use etcd3_core::Instant;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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
    waiting: BTreeMap<Key, Waker>,
    registered: u64,
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
        inner.waiting.insert(key, waker.clone());
        drop(inner);
        (key, self.must_hurry(at))
    }

    /// Replaces the waker of a registration; false if it has fired already.
    pub(crate) fn update(&self, key: Key, waker: &Waker) -> bool {
        let old = {
            let mut inner = self.lock();
            let known = inner.waiting.get_mut(&key);
            known.map(|known| std::mem::replace(known, waker.clone()))
        };
        old.is_some()
    }

    /// Forgets a registration.
    pub(crate) fn remove(&self, key: Key) {
        let _gone = self.lock().waiting.remove(&key);
    }

    /// Wakes all whose moment has come, and says when to look next: at the first registration, or
    /// at `other` if that is earlier.
    pub(crate) fn fire(&self, now: Instant, other: Option<Instant>) -> Option<Instant> {
        let (due, next) = {
            let mut inner = self.lock();
            let later = inner.waiting.split_off(&(now, u64::MAX));
            let due = std::mem::replace(&mut inner.waiting, later);
            let first = inner.waiting.keys().next().map(|(at, _)| *at);
            let next = first.into_iter().chain(other).min();
            self.armed.store(next.map_or(NEVER, Instant::as_nanos), Ordering::SeqCst);
            (due, next)
        };
        due.into_values().for_each(Waker::wake);
        next
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A registration with the timers of a client; the deadline of a call needs one for all of it.
pub(crate) struct Alarm<'a> {
    shared: &'a Shared,
    set: Option<Key>,
}

impl<'a> Alarm<'a> {
    pub(crate) const fn new(shared: &'a Shared) -> Self {
        Self { shared, set: None }
    }

    /// Wakes at this moment, and at no other.
    pub(crate) fn set(&mut self, at: Instant, waker: &Waker) {
        let timers = &self.shared.timers;
        if let Some(key) = self.set.filter(|(set, _)| *set == at)
            && timers.update(key, waker)
        {
            return;
        }
        self.clear();
        let (key, is_earliest) = timers.register(at, waker);
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

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

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
}
