//! The tasks of a client, and what it means when one does not come to its end.

use crate::pool::{Pool, notify_all};
use etcd3_core::{ErrorKind, Instant};
use event_listener::Event;
use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

/// The tasks of a client, those of its leases included: spawns them, and knows when all have
/// ended.
pub(crate) struct Tasks {
    pool: Arc<Pool>,
    running: AtomicUsize,
    /// Those of them whose end the client waits for before it is over.
    cleanups: AtomicUsize,
    /// One ended.
    ended: Event,
}

impl Tasks {
    /// The tasks of the client whose calls have this pool.
    pub(crate) const fn new(pool: Arc<Pool>) -> Self {
        let (running, cleanups) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { pool, running, cleanups, ended: Event::new() }
    }

    /// Spawns a task that [`ended`](Self::ended) waits for.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.pool.rt.spawn(Box::pin(Task::new(Running::new(self, false), task)));
    }

    /// The same, and the calls of the client are not over before it ends, unless that takes too
    /// long.
    pub(crate) fn spawn_cleanup(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.pool.rt.spawn(Box::pin(Task::new(Running::new(self, true), task)));
    }

    /// Closes the client for its users; it is over when its cleanup has ended, or at this moment.
    pub(crate) fn close_after_cleanup(&self, until: Instant) {
        self.pool.begin_closing(ErrorKind::Closed, until);
        self.close_if_clean();
    }

    fn close_if_clean(&self) {
        let is_clean = self.cleanups.load(Ordering::SeqCst) == 0;
        if is_clean && self.pool.cleanup_until().is_some() {
            self.pool.close(ErrorKind::Closed);
        }
    }

    /// Closes the client, connections of calls and of leases.
    pub(crate) fn close(&self, kind: ErrorKind) {
        self.pool.close(kind);
    }

    /// Completes once the client is over and its tasks have ended.
    pub(crate) async fn ended(&self) {
        self.pool.over().await;
        loop {
            let ended = self.ended.listen();
            if self.running.load(Ordering::SeqCst) == 0 {
                return;
            }
            ended.await;
        }
    }
}

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
    fn new(running: Running, future: F) -> Self {
        let unfinished = Unfinished { pool: Arc::clone(&running.tasks.pool), is_polled: false };
        Self { unfinished: Some(unfinished), future, running: Some(running) }
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
    pool: Arc<Pool>,
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
            self.pool.close(ErrorKind::RuntimeEnded);
        }
    }
}

/// Counts a task for as long as it lives, also when its runtime drops it.
struct Running {
    tasks: Arc<Tasks>,
    is_cleanup: bool,
}

impl Running {
    fn new(tasks: &Arc<Tasks>, is_cleanup: bool) -> Self {
        tasks.running.fetch_add(1, Ordering::SeqCst);
        tasks.cleanups.fetch_add(usize::from(is_cleanup), Ordering::SeqCst);
        Self { tasks: Arc::clone(tasks), is_cleanup }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Self { tasks, is_cleanup } = self;
        if *is_cleanup {
            tasks.cleanups.fetch_sub(1, Ordering::SeqCst);
            tasks.close_if_clean();
        }
        tasks.running.fetch_sub(1, Ordering::SeqCst);
        notify_all(&tasks.ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::Still;
    use futures_lite::future::{block_on, poll_once};

    /// What a task holds, and for how long the client is not closed.
    struct Held(Arc<Pool>);

    impl Drop for Held {
        fn drop(&mut self) {
            assert_eq!(self.0.closed_kind(), Some(ErrorKind::RuntimeEnded), "closed before that");
        }
    }

    #[test]
    fn a_task_that_is_dropped_ends_the_client_before_what_it_holds_goes() {
        let shared = Still::shared(&["http://a"]);
        let held = Held(Arc::clone(&shared.pool));
        let task = Task::new(Running::new(&shared.tasks, false), async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        let mut task = Box::pin(task);
        assert!(block_on(poll_once(task.as_mut())).is_none());
        assert_eq!(shared.pool.closed_kind(), None);
        drop(task);
        assert_eq!(shared.pool.closed_kind(), Some(ErrorKind::RuntimeEnded));
        block_on(shared.tasks.ended());
    }

    #[test]
    fn a_task_that_ends_or_panics_does_not_end_the_client() {
        let shared = Still::shared(&["http://a"]);
        let running = || Running::new(&shared.tasks, false);
        block_on(Task::new(running(), async {}));
        let panics = async { panic!("a panic that the test wants") };
        let task = std::panic::AssertUnwindSafe(Task::new(running(), panics));
        let caught = std::panic::catch_unwind(|| block_on({ task }.0));
        assert!(caught.is_err());
        assert_eq!(shared.pool.closed_kind(), None);
    }

    // Whoever waits for the end of the client is told of it, and of its last task.
    #[test]
    fn the_end_is_that_of_the_last_task() {
        let shared = Still::shared(&["http://a"]);
        let running = Running::new(&shared.tasks, false);
        let mut closed = Box::pin(shared.pool.closed());
        let mut ended = Box::pin(shared.tasks.ended());
        assert!(block_on(poll_once(&mut closed)).is_none());
        assert!(block_on(poll_once(&mut ended)).is_none());
        shared.pool.close(ErrorKind::RuntimeEnded);
        shared.pool.close(ErrorKind::Closed);
        let kind = shared.pool.closed_kind();
        assert_eq!(kind, Some(ErrorKind::RuntimeEnded), "the first one counts");
        assert!(block_on(poll_once(&mut closed)).is_some());
        assert!(block_on(poll_once(&mut ended)).is_none());
        drop(running);
        assert!(block_on(poll_once(&mut ended)).is_some());
    }
}
