//! Where callers run.

use std::future::Future;
use tokio::runtime::Builder;

/// A runtime, seen by the callers.
pub trait Executor: 'static {
    /// Runs a future to its end, in the thread of the caller.
    fn block_on<F: Future>(future: F) -> F::Output;

    /// Starts a task; the future tells its end.
    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}

/// Tokio on one thread.
#[derive(Debug)]
pub struct TokioCurrent;

/// Tokio on two threads.
#[derive(Debug)]
pub struct TokioMulti;

impl Executor for TokioCurrent {
    fn block_on<F: Future>(future: F) -> F::Output {
        block_on(&mut Builder::new_current_thread(), future)
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        spawn(task)
    }
}

impl Executor for TokioMulti {
    fn block_on<F: Future>(future: F) -> F::Output {
        block_on(Builder::new_multi_thread().worker_threads(2), future)
    }

    fn spawn<T: Send + 'static>(
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = T> + Send {
        spawn(task)
    }
}

fn block_on<F: Future>(builder: &mut Builder, future: F) -> F::Output {
    let runtime = builder.enable_all().build().expect("the system has threads and sockets");
    runtime.block_on(future)
}

async fn spawn<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    let handle = tokio::spawn(task);
    handle.await.expect("a caller does not panic")
}
