//! Between h2 and the stream: few large reads and writes in place of many small ones.
//!
//! h2 writes frame by frame, and flushes whenever its own small buffer is full. Here all that one
//! poll of the connection writes leaves at once, when the poll is over: one system call carries
//! what all callers that were ready had to send.

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// As much is read at once; more than that is written before the poll is over.
const SIZE: usize = 64 << 10;

/// A connection of HTTP/2 over a stream. To be polled in place of what is in it.
#[derive(Debug)]
pub(crate) struct Gathered<T: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) http2: Connection<Half<T>, Bytes>,
    stream: Half<T>,
}

/// One of two owners of the stream: h2 and the one that ends its polls.
#[derive(Debug)]
pub(crate) struct Half<T>(Arc<Mutex<Stream<T>>>);

#[derive(Debug)]
struct Stream<T> {
    io: T,
    output: Vec<u8>,
    /// How much of the output is written.
    written: usize,
    /// Whether the stream has to be flushed.
    is_dirty: bool,
    input: Box<[u8]>,
    /// What of the input h2 has not seen.
    unread: std::ops::Range<usize>,
    /// Why the end of a poll could not write. h2 hears of it when it flushes, after it has read
    /// what the server said.
    error: Option<io::Error>,
}

/// Greets the server.
pub(crate) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
    builder: &Builder,
    io: T,
) -> Result<(SendRequest<Bytes>, Gathered<T>), h2::Error> {
    let input = vec![0; SIZE].into_boxed_slice();
    let stream = Stream {
        io,
        output: Vec::new(),
        written: 0,
        is_dirty: false,
        input,
        unread: 0..0,
        error: None,
    };
    let stream = Arc::new(Mutex::new(stream));
    let (requests, http2) = builder.handshake(Half(Arc::clone(&stream))).await?;
    Ok((requests, Gathered { http2, stream: Half(stream) }))
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Gathered<T> {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = Pin::new(&mut self.http2).poll(cx);
        if ended.is_pending() && self.stream.lock().finish(cx) {
            return Pin::new(&mut self.http2).poll(cx);
        }
        ended
    }
}

impl<T> Half<T> {
    fn lock(&self) -> MutexGuard<'_, Stream<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: AsyncWrite + Unpin> Stream<T> {
    /// Writes all that was gathered.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.output.len() {
            let rest = &self.output[self.written..];
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.written += n,
            }
        }
        self.output.clear();
        self.written = 0;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.is_dirty = false;
        Poll::Ready(Ok(()))
    }

    /// Ends a poll of the connection; says whether h2 must hear of an error.
    fn finish(&mut self, cx: &mut Context<'_>) -> bool {
        if self.error.is_some() || !self.is_dirty {
            return false;
        }
        if let Poll::Ready(Err(error)) = self.write_out(cx) {
            self.error = Some(error);
        }
        self.error.is_some()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Half<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut *self.lock();
        if stream.unread.is_empty() {
            let mut input = ReadBuf::new(&mut stream.input);
            ready!(Pin::new(&mut stream.io).poll_read(cx, &mut input))?;
            stream.unread = 0..input.filled().len();
        }
        let take = stream.unread.len().min(buf.remaining());
        buf.put_slice(&stream.input[stream.unread.start..][..take]);
        stream.unread.start += take;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Half<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = &mut *self.lock();
        if let Some(error) = stream.error.take() {
            return Poll::Ready(Err(error));
        }
        if stream.output.len() >= SIZE {
            ready!(stream.write_out(cx))?;
        }
        stream.is_dirty = true;
        let take = buf.len().min(SIZE);
        stream.output.extend_from_slice(&buf[..take]);
        Poll::Ready(Ok(take))
    }

    /// Does nothing: what there is leaves when the poll is over.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.lock().error.take().map_or(Ok(()), Err))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = &mut *self.lock();
        ready!(stream.write_out(cx))?;
        Pin::new(&mut stream.io).poll_shutdown(cx)
    }
}
