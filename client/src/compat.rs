//! The bridge between the two families of IO traits.

use futures_io::{AsyncRead as FuturesRead, AsyncWrite as FuturesWrite};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Lets h2, which speaks tokio's IO traits, run over a stream with the traits of futures-io.
#[derive(Debug)]
pub struct Compat<T>(pub T);

impl<T: FuturesRead + Unpin> AsyncRead for Compat<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let n = ready!(Pin::new(&mut self.0).poll_read(cx, buf.initialize_unfilled()))?;
        buf.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl<T: FuturesWrite + Unpin> AsyncWrite for Compat<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::IoSlice;
    use std::task::Waker;

    /// Takes two bytes at once, gives three, and remembers what it was asked for.
    #[derive(Default)]
    struct Short {
        taken: Vec<u8>,
        flushes: u32,
        closes: u32,
    }

    impl FuturesRead for Short {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            buf[..3].copy_from_slice(b"abc");
            Poll::Ready(Ok(3))
        }
    }

    impl FuturesWrite for Short {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let take = buf.len().min(2);
            self.taken.extend_from_slice(&buf[..take]);
            Poll::Ready(Ok(take))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.closes += 1;
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn everything_reaches_the_stream_and_comes_back() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut compat = Compat(Short::default());
        let mut bytes = [0; 8];
        let mut buf = ReadBuf::new(&mut bytes);
        for read in [&b"abc"[..], b"abcabc"] {
            let polled = Pin::new(&mut compat).poll_read(&mut cx, &mut buf);
            assert!(matches!(polled, Poll::Ready(Ok(()))));
            assert_eq!(buf.filled(), read);
        }
        let wrote = |polled: Poll<io::Result<usize>>| matches!(polled, Poll::Ready(Ok(2)));
        assert!(wrote(Pin::new(&mut compat).poll_write(&mut cx, b"write")));
        let parts = [IoSlice::new(b"vec"), IoSlice::new(b"tor")];
        assert!(wrote(Pin::new(&mut compat).poll_write_vectored(&mut cx, &parts)));
        assert!(Pin::new(&mut compat).poll_flush(&mut cx).is_ready());
        assert!(Pin::new(&mut compat).poll_shutdown(&mut cx).is_ready());
        assert!(compat.is_write_vectored());
        assert_eq!((&compat.0.taken[..], compat.0.flushes, compat.0.closes), (&b"wrve"[..], 1, 1));
    }
}
