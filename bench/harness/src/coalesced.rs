//! A transport under h2 that writes once where h2 would write many times.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The number of bytes that are kept at most before they are written all the same.
const MOST: usize = 256 * 1024;

/// The number of bytes that are read at a time; h2 asks for 8 KiB.
const READ: usize = 64 * 1024;

/// A transport that keeps what is written until [`drain`](Self::drain), and does not claim
/// vectored writes. All clones are the same transport.
///
/// One goes to h2; the task that polls h2's connection keeps the other, and drains it when h2 has
/// nothing more to do.
#[derive(Debug)]
pub struct Coalesced<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    io: T,
    out: Vec<u8>,
    /// The number of bytes of `out` that are written.
    written: usize,
    read: Box<[u8]>,
    /// The bounds of what is read and was not asked for yet.
    unread: (usize, usize),
}

impl<T> Clone for Coalesced<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Coalesced<T> {
    /// Wraps a transport.
    pub fn new(io: T) -> Self {
        let read = vec![0; READ].into_boxed_slice();
        Self(Arc::new(Mutex::new(State { io, out: vec![], written: 0, read, unread: (0, 0) })))
    }

    /// Writes what was gathered.
    pub fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state().drain(cx)
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncWrite + Unpin> State<T> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            let rest = &self.out[self.written..];
            let count = ready!(Pin::new(&mut self.io).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Coalesced<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state();
        let State { io, read, unread, .. } = &mut *state;
        if unread.0 == unread.1 {
            if into.remaining() >= READ {
                return Pin::new(io).poll_read(cx, into);
            }
            let mut buffer = ReadBuf::new(read);
            ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
            *unread = (0, buffer.filled().len());
        }
        let count = into.remaining().min(unread.1 - unread.0);
        into.put_slice(&read[unread.0..unread.0 + count]);
        unread.0 += count;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Coalesced<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.out.len() >= MOST {
            ready!(state.drain(cx))?;
        }
        state.out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = parts.iter().find(|part| !part.is_empty());
        self.poll_write(cx, first.map_or(&[], |part| part))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The task that polls the connection drains it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.state();
        ready!(state.drain(cx))?;
        Pin::new(&mut state.io).poll_shutdown(cx)
    }
}
