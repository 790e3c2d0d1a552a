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
