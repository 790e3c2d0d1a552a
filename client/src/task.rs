//! A task of the client, and what it means when it does not come to its end.

use crate::shared::Shared;
use etcd3_core::ErrorKind;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pin_project! {
    /// A task of the client. A struct, since an async block would hold the task twice.
    pub(crate) struct Task<F> {
        // Declared first so that it is dropped first: before the connections of the client, whose
        // calls are to hear why they end.
        unfinished: Option<Unfinished>,
        #[pin]
        future: F,
        // Declared last so that it is dropped last, at the end of the task whatever the runtime
        // does with it then.
        running: Option<Running>,
    }
}

impl<F> Task<F> {
    pub(crate) fn new(shared: &Arc<Shared>, future: F) -> Self {
        let unfinished = Unfinished { shared: Arc::clone(shared), is_polled: false };
        Self { unfinished: Some(unfinished), future, running: Some(Running::new(shared)) }
    }
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let mut set_polled = |is_polled| {
            if let Some(unfinished) = this.unfinished {
                unfinished.is_polled = is_polled;
            }
        };
        set_polled(true);
        let polled = this.future.poll(cx);
        set_polled(false);
        ready!(polled);
        if let Some(unfinished) = this.unfinished.take() {
            unfinished.finish();
        }
        *this.running = None;
        Poll::Ready(())
    }
}

/// Closes the client when a runtime drops a task of it before that has ended: the runtime itself
/// must have ended.
struct Unfinished {
    shared: Arc<Shared>,
    /// Whether the task is being polled, and a drop means that it panicked. The tasks take care of
    /// that themselves: some can be done without.
    is_polled: bool,
}

impl Unfinished {
    fn finish(mut self) {
        self.is_polled = true;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_polled {
            self.shared.close(ErrorKind::RuntimeEnded);
        }
    }
}

/// Counts a task for as long as it lives, also when its runtime drops it.
struct Running(Arc<Shared>);

impl Running {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.count_task(true);
        Self(Arc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.count_task(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::Still;
    use futures_lite::future::block_on;

    /// What a task holds, and for how long the client is not closed.
    struct Held(Arc<Shared>);

    impl Drop for Held {
        fn drop(&mut self) {
            assert_eq!(self.0.closed_kind(), Some(ErrorKind::RuntimeEnded), "closed before that");
        }
    }

    #[test]
    fn a_task_that_is_dropped_ends_the_client_before_what_it_holds_goes() {
        let shared = Still::shared(&["http://a"]);
        let held = Held(Arc::clone(&shared));
        let task = Task::new(&shared, async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let mut task = Box::pin(task);
        assert!(block_on(futures_lite::future::poll_once(task.as_mut())).is_none());
        assert_eq!(shared.closed_kind(), None);
        drop(task);
        assert_eq!(shared.closed_kind(), Some(ErrorKind::RuntimeEnded));
        block_on(shared.ended());
    }

    #[test]
    fn a_task_that_ends_or_panics_does_not_end_the_client() {
        let shared = Still::shared(&["http://a"]);
        block_on(Task::new(&shared, async {}));
        let panics = async { panic!("a panic that the test wants") };
        let task = std::panic::AssertUnwindSafe(Task::new(&shared, panics));
        let caught = std::panic::catch_unwind(|| block_on({ task }.0));
        assert!(caught.is_err());
        assert_eq!(shared.closed_kind(), None);
    }
}
