//! The moment that a call waits for.

use super::open_stream::OpenStream;
use crate::pool::{Pool, Sleeper, WakeupKey};
use crate::runtime::BoxFuture;
use etcd3_core::Instant;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

/// A registration of a call with the wake-ups of its client; forgotten when dropped.
pub(crate) struct Alarm {
    pub(crate) pool: Arc<Pool>,
    pub(crate) stream: Arc<OpenStream>,
    set: Option<WakeupKey>,
    /// A timer of its own, for a call that cannot rely on the control task. Never locked: the mutex
    /// makes it, and with it every call, `Sync`.
    own: Option<(Instant, Mutex<BoxFuture<'static, ()>>)>,
}

impl Alarm {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, stream: Arc::default(), set: None, own: None }
    }

    /// Wakes the call at this moment, and at no other.
    pub(crate) fn set(&mut self, now: Instant, at: Instant, cx: &mut Context<'_>) {
        let known = self.set.filter(|(set, _)| *set == at);
        if !known.is_some_and(|key| self.stream.update_waker(key, cx.waker())) {
            self.clear();
            let key = self.pool.wakeups.key(at);
            self.set = Some(key);
            self.stream.await_alarm(key, cx.waker());
            self.pool.wakeups.register(
                now,
                key,
                Arc::<OpenStream>::clone(&self.stream) as Arc<dyn Sleeper>,
            );
        }
        if self.own.is_some() || self.pool.wakeups.is_overdue(now) {
            self.set_own(at, cx);
        }
    }

    /// Wakes the call at no moment, nor for anything else, until it is polled again.
    pub(crate) fn rest(&mut self) {
        self.clear();
        self.stream.rest();
    }

    fn clear(&mut self) {
        if let Some(key) = self.set.take() {
            self.pool.wakeups.remove(key);
        }
    }

    /// Sets a timer in the context of the caller: the runtime of the client may not be driven.
    fn set_own(&mut self, at: Instant, cx: &mut Context<'_>) {
        if self.own.as_ref().is_none_or(|(set, _)| *set != at) {
            self.own = Some((at, Mutex::new(self.pool.rt.sleep_until(at))));
        }
        let is_over = self.own.as_mut().is_some_and(|(_, own)| {
            own.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx).is_ready()
        });
        if is_over {
            self.own = None;
            cx.waker().wake_by_ref();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
        // The control task may hold the call for a while.
        let open = self.stream.take();
        drop(open);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;
    use crate::still::Still;
    use std::sync::atomic::Ordering;
    use std::task::Waker;

    const fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    // A call waits for one moment at a time, and for none once it is over.
    #[test]
    fn what_is_not_waited_for_any_more_is_forgotten() {
        let shared = Still::shared(&["http://a"]);
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let next = || shared.pool.wakeups.fire(at(0), None);
        let mut alarm = Alarm::new(Arc::clone(&shared.pool));
        for moment in [20, 30, 30, 10] {
            alarm.set(at(0), at(moment), &mut cx);
            assert_eq!(next(), Some(at(moment)));
        }
        drop(alarm);
        assert_eq!(next(), None);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    // Another task may poll a call than the one before.
    #[test]
    fn whoever_polled_last_is_woken() {
        let shared = Still::shared(&["http://a"]);
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let mut alarm = Alarm::new(Arc::clone(&shared.pool));
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            alarm.set(at(0), at(10), &mut Context::from_waker(&waker));
        }
        shared.pool.wakeups.fire(at(10), None);
        assert_eq!(counts.map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
        let late = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&late));
        alarm.set(at(10), at(10), &mut Context::from_waker(&waker));
        shared.pool.wakeups.fire(at(10), None);
        assert_eq!(late.0.load(Ordering::Relaxed), 1, "it waits anew once its moment has come");
    }

    // The moment of a call may come while it is polled, and it then waits for nothing: it was not
    // overdue, and its stream stays.
    #[test]
    fn a_moment_that_was_given_up_meanwhile_leaves_the_call_alone() {
        let shared = Still::shared(&["http://a"]);
        let mut alarm = Alarm::new(Arc::clone(&shared.pool));
        alarm.set(at(0), at(10), &mut Context::from_waker(Waker::noop()));
        let key = alarm.set.expect("it is set");
        alarm.rest();
        let stream = Arc::clone(&alarm.stream);
        assert!(!stream.fire(key), "nothing is to be looked at later");
        assert!(stream.is_resting());
    }
}
