//! The first of two futures to be ready.

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs two futures until one of them is ready. The first is polled first, each time: when both are
/// ready, its output counts, and no chance is involved.
pub(crate) fn or<T, A, B>(first: A, second: B) -> Or<A, B>
where
    A: Future<Output = T>,
    B: Future<Output = T>,
{
    Or { first, second }
}

pin_project! {
    /// Is returned by [`or`]. A struct, since an async block would hold its arguments twice.
    pub(crate) struct Or<A, B> {
        #[pin]
        first: A,
        #[pin]
        second: B,
    }
}

impl<T, A, B> Future for Or<A, B>
where
    A: Future<Output = T>,
    B: Future<Output = T>,
{
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        match this.first.poll(cx) {
            Poll::Pending => this.second.poll(cx),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::or;
    use futures_lite::future::{block_on, pending, poll_once};
    use std::cell::RefCell;
    use std::future::{poll_fn, ready};
    use std::pin::pin;
    use std::task::Poll;

    #[test]
    fn the_first_that_is_ready_counts_and_of_two_the_first() {
        assert_eq!(block_on(or(ready(1), ready(2))), 1);
        assert_eq!(block_on(or(ready(1), pending())), 1);
        assert_eq!(block_on(or(pending(), ready(2))), 2);
    }

    #[test]
    fn both_are_polled_in_this_order_each_time() {
        let polls = RefCell::new(String::new());
        let noted = |name| {
            let polls = &polls;
            poll_fn(move |_| {
                polls.borrow_mut().push(name);
                Poll::<()>::Pending
            })
        };
        let mut both = pin!(or(noted('a'), noted('b')));
        for _ in 0..2 {
            assert!(block_on(poll_once(both.as_mut())).is_none());
        }
        assert_eq!(*polls.borrow(), "abab");
    }
}
