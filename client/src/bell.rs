//! Wakes the one task that listens to it.

use atomic_waker::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Is rung by anybody, and heard by one task. Rung many times before that task looks, it is heard
/// once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    is_rung: AtomicBool,
    task: AtomicWaker,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.is_rung.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    /// Looks whether it was rung since it was heard last; the task is woken when it is.
    pub(crate) fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.hear() {
            self.task.register(cx.waker());
            if !self.hear() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Says whether it was rung, and forgets it.
    fn hear(&self) -> bool {
        self.is_rung.load(Ordering::SeqCst) && self.is_rung.swap(false, Ordering::SeqCst)
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
    fn it_is_heard_once_however_often_it_was_rung() {
        let bell = Bell::default();
        let heard = || block_on(poll_once(poll_fn(|cx| bell.poll_rung(cx)))).is_some();
        assert!(!heard());
        bell.ring();
        bell.ring();
        assert!(heard());
        assert!(!heard());
    }

    #[test]
    fn who_listens_is_woken_once() {
        let bell = Bell::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        for round in 1..=3 {
            assert!(bell.poll_rung(&mut cx).is_pending());
            bell.ring();
            bell.ring();
            assert_eq!(count.0.load(Ordering::SeqCst), round);
            assert!(bell.poll_rung(&mut cx).is_ready());
        }
    }
}
