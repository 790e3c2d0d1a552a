//! Work that blocks, away from the threads of the executor.
// These threads belong to the runtime that asks for them; the client itself starts none.

use crate::runtime::Runtime;
use event_listener::Event;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Work that may block.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Runs work on a new thread, which ends with it.
pub(crate) fn on_a_thread(work: Work) -> io::Result<()> {
    std::thread::Builder::new().name("etcd3-blocking".to_owned()).spawn(work).map(drop)
}

/// Runs work where the runtime has it run, and waits for its result. A future that is dropped
/// leaves the work to its end, and drops the result where that is.
pub(crate) async fn blocking<T: Send + 'static>(
    runtime: &dyn Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let slot = Arc::new(Slot { result: Mutex::new(None), done: Event::new() });
    let done = slot.done.listen();
    let end = End(Arc::clone(&slot));
    runtime.run_blocking(Box::new(move || end.with(work())))?;
    done.await;
    let result = slot.result.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.ok_or_else(|| io::Error::other("the work panicked, or was never run"))
}

struct Slot<T> {
    result: Mutex<Option<T>>,
    done: Event,
}

/// Tells the end of the work, also of one that panics.
struct End<T>(Arc<Slot<T>>);

impl<T> End<T> {
    fn with(self, result: T) {
        *self.0.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.0.done.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::still::Still;
    use futures_lite::future::{block_on, poll_once};
    use std::sync::mpsc;

    #[test]
    fn it_runs_on_another_thread_and_its_panic_is_told() {
        let runtime = Still::default();
        let here = std::thread::current().id();
        let there = block_on(blocking(&runtime, || std::thread::current().id())).expect("it ran");
        assert_ne!(here, there);
        let panicked: io::Result<()> = block_on(blocking(&runtime, || panic!("of the work")));
        assert!(panicked.expect_err("no result").to_string().contains("panicked"));
    }

    // What nobody waits for is dropped where it was made.
    #[test]
    fn a_result_that_nobody_waits_for_is_dropped() {
        struct Tells(mpsc::Sender<&'static str>);
        impl Drop for Tells {
            fn drop(&mut self) {
                let _ = self.0.send("dropped");
            }
        }
        let (go, may_go) = mpsc::channel::<()>();
        let (tells, told) = mpsc::channel();
        {
            let runtime = Still::default();
            let mut waiting = Box::pin(blocking(&runtime, move || {
                may_go.recv().expect("the test goes on");
                Tells(tells)
            }));
            assert!(block_on(poll_once(&mut waiting)).is_none());
        }
        go.send(()).expect("the work waits");
        let limit = std::time::Duration::from_secs(60);
        assert_eq!(told.recv_timeout(limit), Ok("dropped"));
    }
}
