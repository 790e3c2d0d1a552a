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

/// The most bytes of one read; more than that is written before the poll is over.
const SIZE: usize = 64 << 10;
/// The bytes that are written at once before the buffer grows.
const SHORT: usize = 1 << 10;
/// The bytes of one read until one fills the buffer: most connections carry little.
const SMALL: usize = 8 << 10;

/// A connection of HTTP/2 over a stream. To be polled in place of what is in it.
#[derive(Debug)]
pub(crate) struct Coalesced<T: AsyncRead + AsyncWrite + Unpin> {
    pub(crate) http2: Connection<SharedIo<T>, Bytes>,
    stream: SharedIo<T>,
}

/// One of two owners of the stream: h2 and the one that ends its polls.
#[derive(Debug)]
pub(crate) struct SharedIo<T>(Arc<Mutex<BufferedIo<T>>>);

#[derive(Debug)]
struct BufferedIo<T> {
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

/// Sends the preface of HTTP/2.
pub(crate) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
    builder: &Builder,
    io: T,
) -> Result<(SendRequest<Bytes>, Coalesced<T>), h2::Error> {
    let stream = Arc::new(Mutex::new(BufferedIo::new(io)));
    let (requests, http2) = builder.handshake(SharedIo(Arc::clone(&stream))).await?;
    Ok((requests, Coalesced { http2, stream: SharedIo(stream) }))
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Coalesced<T> {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.poll_until(cx, || false)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Coalesced<T> {
    /// Polls the connection. Once it `is_done`, what there is to write leaves with the next poll.
    pub(crate) fn poll_until(
        &mut self,
        cx: &mut Context<'_>,
        is_done: impl FnOnce() -> bool,
    ) -> Poll<Result<(), h2::Error>> {
        let ended = Pin::new(&mut self.http2).poll(cx);
        if ended.is_pending() && !is_done() && self.stream.lock().finish(cx) {
            return Pin::new(&mut self.http2).poll(cx);
        }
        ended
    }
}

impl<T> SharedIo<T> {
    fn lock(&self) -> MutexGuard<'_, BufferedIo<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> BufferedIo<T> {
    fn new(io: T) -> Self {
        let input = vec![0; SMALL].into_boxed_slice();
        let output = Vec::with_capacity(SHORT);
        Self { io, output, written: 0, is_dirty: false, input, unread: 0..0, error: None }
    }
}

impl<T: AsyncWrite + Unpin> BufferedIo<T> {
    /// Writes all that was queued.
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
        Poll::Ready(Ok(()))
    }

    /// Writes all that was queued, and flushes the stream.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_out(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.is_dirty = false;
        Poll::Ready(Ok(()))
    }

    /// Ends a poll of the connection; says whether h2 must hear of an error.
    fn finish(&mut self, cx: &mut Context<'_>) -> bool {
        if self.error.is_some() || !self.is_dirty {
            return false;
        }
        if let Poll::Ready(Err(error)) = self.flush(cx) {
            self.error = Some(error);
        }
        self.error.is_some()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for SharedIo<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = &mut *self.lock();
        if stream.unread.is_empty() {
            if stream.unread.end == stream.input.len() && stream.input.len() < SIZE {
                stream.input = vec![0; SIZE].into_boxed_slice();
            }
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

impl<T: AsyncWrite + Unpin> AsyncWrite for SharedIo<T> {
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
        ready!(stream.flush(cx))?;
        Pin::new(&mut stream.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_core::rng::Rng;
    use std::task::Waker;

    /// Takes at most so many bytes at once, and sometimes none; fails after so many.
    struct Narrow {
        rng: Rng,
        taken: Vec<u8>,
        fails_at: usize,
        flushes: usize,
        is_shut: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.taken.len() >= self.fails_at {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let take = usize::try_from(self.rng.below(1 << 15)).unwrap().min(buf.len());
            if take == 0 {
                return Poll::Pending;
            }
            self.taken.extend_from_slice(&buf[..take]);
            Poll::Ready(Ok(take))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            if self.flushes.is_multiple_of(2) { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut = true;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Narrow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let take = usize::try_from(self.rng.below(1 << 17)).unwrap();
            let take = take.min(buf.remaining()).min(self.taken.len());
            buf.put_slice(&self.taken[..take]);
            self.taken.drain(..take);
            Poll::Ready(Ok(()))
        }
    }

    fn narrow(seed: u64, fails_at: usize) -> SharedIo<Narrow> {
        let (rng, taken) = (Rng::new(seed), Vec::new());
        let io = Narrow { rng, taken, fails_at, flushes: 0, is_shut: false };
        SharedIo(Arc::new(Mutex::new(BufferedIo::new(io))))
    }

    fn no_waker() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn text(rng: &mut Rng, most: u64) -> Vec<u8> {
        let length = rng.below(most);
        (0..length).map(|n| u8::try_from((n + length) % 251).unwrap()).collect()
    }

    #[test]
    fn what_is_written_arrives_whole_and_in_order() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut half = narrow(seed, usize::MAX);
            let mut sent = Vec::new();
            for _ in 0..rng.below(20) {
                let text = text(&mut rng, 50_000);
                let mut rest = &text[..];
                while !rest.is_empty() {
                    match Pin::new(&mut half).poll_write(&mut no_waker(), rest) {
                        Poll::Ready(taken) => rest = &rest[taken.unwrap()..],
                        Poll::Pending => assert!(half.lock().output.len() >= SIZE, "room is left"),
                    }
                    assert!(half.lock().output.len() <= 2 * SIZE, "the memory is bounded");
                }
                sent.extend_from_slice(&text);
            }
            while half.lock().is_dirty {
                assert!(!half.lock().finish(&mut no_waker()));
            }
            let stream = half.lock();
            assert!(stream.io.taken == sent, "seed {seed}");
            assert!(sent.is_empty() || stream.io.flushes.is_multiple_of(2), "flushed to the end");
        }
    }

    #[test]
    fn nothing_leaves_before_the_poll_is_over() {
        let mut half = narrow(1, usize::MAX);
        for _ in 0..100 {
            let written = Pin::new(&mut half).poll_write(&mut no_waker(), &[7; 500]);
            assert!(matches!(written, Poll::Ready(Ok(500))));
            assert!(Pin::new(&mut half).poll_flush(&mut no_waker()).is_ready());
        }
        assert_eq!(half.lock().io.taken.len(), 0);
    }

    #[test]
    fn all_that_was_written_leaves_before_the_stream_is_shut_down() {
        let mut half = narrow(1, usize::MAX);
        assert!(Pin::new(&mut half).poll_write(&mut no_waker(), &vec![7; 40_000]).is_ready());
        while Pin::new(&mut half).poll_shutdown(&mut no_waker()).is_pending() {
            assert!(!half.lock().io.is_shut);
        }
        let stream = half.lock();
        assert_eq!((stream.io.taken.len(), stream.io.is_shut), (40_000, true));
    }

    #[test]
    fn h2_hears_of_an_error_when_it_flushes_next() {
        let mut half = narrow(1, 0);
        assert!(Pin::new(&mut half).poll_write(&mut no_waker(), b"text").is_ready());
        assert!(half.lock().finish(&mut no_waker()), "asks for another poll");
        let flushed = Pin::new(&mut half).poll_flush(&mut no_waker());
        assert!(
            matches!(flushed, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe)
        );
    }

    #[test]
    fn what_is_read_arrives_whole_and_in_order() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut half = narrow(seed, usize::MAX);
            let sent = text(&mut rng, 300_000);
            half.lock().io.taken.clone_from(&sent);
            let mut came = Vec::new();
            while came.len() < sent.len() {
                let mut bytes = vec![0; 1 + usize::try_from(rng.below(9_000)).unwrap()];
                let mut buf = ReadBuf::new(&mut bytes);
                assert!(Pin::new(&mut half).poll_read(&mut no_waker(), &mut buf).is_ready());
                came.extend_from_slice(buf.filled());
            }
            assert!(came == sent, "seed {seed}");
        }
    }

    #[test]
    fn who_hears_little_takes_little_memory() {
        let mut half = narrow(1, usize::MAX);
        let mut bytes = vec![0; SMALL];
        let mut read = |half: &mut SharedIo<Narrow>| {
            let mut buf = ReadBuf::new(&mut bytes);
            assert!(Pin::new(half).poll_read(&mut no_waker(), &mut buf).is_ready());
            buf.filled().len()
        };
        for _ in 0..100 {
            half.lock().io.taken = vec![7; SMALL - 1];
            while read(&mut half) > 0 {}
        }
        assert_eq!(half.lock().input.len(), SMALL);
        half.lock().io.taken = vec![7; 1 << 20];
        while read(&mut half) > 0 {}
        assert_eq!(half.lock().input.len(), SIZE);
    }
}
