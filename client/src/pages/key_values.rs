//! Reading a range key by key, as a stream.

use super::Pages;
use crate::{Error, KeyValue};
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

/// A range, read key by key: what [`Pages`] read, without the pages. Made by
/// [`Pages::key_values`].
///
/// # Errors
///
/// A failure ends the stream.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing.
#[must_use = "a stream does nothing until it is polled"]
pub struct KeyValues {
    pages: Pages,
    page: vec::IntoIter<KeyValue>,
}

impl KeyValues {
    pub(super) fn new(pages: Pages) -> Self {
        Self { pages, page: Vec::new().into_iter() }
    }

    /// Returns the next key with its value; `None` after the last one, or after a failure.
    ///
    /// # Errors
    ///
    /// Those of any read; a failure ends the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<KeyValue, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl fmt::Debug for KeyValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValues").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Stream for KeyValues {
    type Item = Result<KeyValue, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pair) = self.page.next() {
                return Poll::Ready(Some(Ok(pair)));
            }
            match ready!(Pin::new(&mut self.pages).poll_next(cx)) {
                Some(Ok(page)) => self.page = page.kvs.into_iter(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}
