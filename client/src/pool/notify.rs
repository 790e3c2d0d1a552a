//! A wake-up for one task.

use atomic_waker::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A notification from anybody to one task. Several before that task looks count as one.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    is_notified: AtomicBool,
    task: AtomicWaker,
}

impl Notify {
    pub(crate) fn notify(&self) {
        self.is_notified.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    /// Completes if there was a notification since the last one; else the task is woken by the
    /// next.
    pub(crate) fn poll_notified(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.take() {
            self.task.register(cx.waker());
            if !self.take() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Returns whether it was notified, and forgets it.
    fn take(&self) -> bool {
        self.is_notified.load(Ordering::SeqCst) && self.is_notified.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::Count;
    use futures_lite::future::{block_on, poll_once};
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::task::Waker;

    #[test]
    fn several_notifications_count_as_one() {
        let notify = Notify::default();
        let notified = || block_on(poll_once(poll_fn(|cx| notify.poll_notified(cx)))).is_some();
        assert!(!notified());
        notify.notify();
        notify.notify();
        assert!(notified());
        assert!(!notified());
    }

    #[test]
    fn the_task_is_woken_once() {
        let notify = Notify::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        for round in 1..=3 {
            assert!(notify.poll_notified(&mut cx).is_pending());
            notify.notify();
            notify.notify();
            assert_eq!(count.0.load(Ordering::SeqCst), round);
            assert!(notify.poll_notified(&mut cx).is_ready());
        }
    }
}
