//! Looks at the first bytes of a server: HTTP/2 or something else?
//!
//! An HTTP/2 server begins with a SETTINGS frame. h2 does not tell when it has come, and of
//! anything else it says only that it is no valid frame; this wrapper knows both.

use etcd3_core::error::ConnectFailure;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The head of a frame: length, type, flags, stream.
const FRAME_HEAD: usize = 9;
/// The bytes of a server's last words that are read at once.
const LAST_WORDS: usize = 512;

/// What is known of the server so far; shared with the stream inside of h2.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerKind(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    kind: AtomicU8,
    /// How often something was read.
    reads: AtomicU64,
    /// What the stream failed with, as it was.
    error: Mutex<Option<io::Error>>,
}

const SILENT: u8 = 0;
const HTTP2: u8 = 1;
const HTTP1: u8 = 2;
const TLS: u8 = 3;
const OTHER: u8 = 4;

impl PeerKind {
    /// Returns whether the server has sent its SETTINGS.
    pub(crate) fn is_http2(&self) -> bool {
        self.0.kind.load(Ordering::Relaxed) == HTTP2
    }

    /// Returns how often something has come from the server.
    pub(crate) fn reads(&self) -> u64 {
        self.0.reads.load(Ordering::Relaxed)
    }

    /// Returns whether nothing has come that says what the server is.
    pub(crate) fn is_silent(&self) -> bool {
        self.0.kind.load(Ordering::Relaxed) == SILENT
    }

    /// Returns why a connection that ended before the SETTINGS came did so.
    pub(crate) fn failure(&self) -> ConnectFailure {
        match self.0.kind.load(Ordering::Relaxed) {
            HTTP1 => ConnectFailure::PeerSpeaksHttp1,
            TLS => ConnectFailure::PeerSpeaksTls,
            OTHER => ConnectFailure::PeerNotHttp2,
            _ => ConnectFailure::ClosedByPeer,
        }
    }

    /// The first error of the stream before the SETTINGS came.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.error().take()
    }

    /// Keeps an error, unless there is one, and makes another that reads the same.
    fn keep(&self, error: io::Error) -> io::Error {
        let same = io::Error::new(error.kind(), error.to_string());
        self.error().get_or_insert(error);
        same
    }

    fn error(&self) -> MutexGuard<'_, Option<io::Error>> {
        self.0.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, kind: u8) {
        self.0.kind.store(kind, Ordering::Relaxed);
    }
}

/// A stream that is looked at until the kind is clear.
#[derive(Debug)]
pub(crate) struct PrefaceReader<T> {
    io: T,
    kind: PeerKind,
    head: [u8; FRAME_HEAD],
    seen: usize,
    /// The error of a write, until the server's last words are read.
    doom: Option<io::Error>,
}

impl<T> PrefaceReader<T> {
    pub(crate) fn new(io: T) -> (Self, PeerKind) {
        let kind = PeerKind::default();
        (Self { io, kind: kind.clone(), head: [0; FRAME_HEAD], seen: 0, doom: None }, kind)
    }

    /// Looks at bytes that came; an error ends the connection.
    fn look(&mut self, bytes: &[u8]) -> io::Result<()> {
        let take = bytes.len().min(FRAME_HEAD - self.seen);
        self.head[self.seen..self.seen + take].copy_from_slice(&bytes[..take]);
        self.seen += take;
        let kind = judge(&self.head[..self.seen], bytes);
        self.kind.set(kind);
        match kind {
            SILENT | HTTP2 => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the first bytes are {:?}",
                    self.head[..self.seen].escape_ascii().to_string()
                ),
            )),
        }
    }
}

/// Judges the first bytes; `chunk` is what came last, with more of the text of an HTTP/1 answer.
fn judge(head: &[u8], chunk: &[u8]) -> u8 {
    const TLS_ALERT: u8 = 0x15;
    const TLS_HANDSHAKE: u8 = 0x16;
    const SETTINGS: u8 = 4;
    match head {
        [] => SILENT,
        // Go's servers say in HTTP/1 that they expect TLS.
        [b'H', ..] if contains(chunk, b"HTTPS") => TLS,
        [b'H', ..] => HTTP1,
        [TLS_ALERT | TLS_HANDSHAKE, ..] => TLS,
        [0, _, _, SETTINGS, 0, 0, 0, 0, 0] => HTTP2,
        [first, rest @ ..] => {
            // Length below 64 KiB, then type, flags and stream of SETTINGS, as far as they came.
            let plausible = *first == 0
                && rest.iter().skip(2).zip([SETTINGS, 0, 0, 0, 0, 0]).all(|(a, b)| *a == b);
            if plausible { SILENT } else { OTHER }
        }
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

impl<T: AsyncRead + Unpin> AsyncRead for PrefaceReader<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buf));
        self.kind.0.reads.fetch_add(1, Ordering::Relaxed);
        if self.seen < FRAME_HEAD {
            read.map_err(|error| self.kind.keep(error))?;
            return Poll::Ready(self.look(&buf.filled()[before..]));
        }
        Poll::Ready(read)
    }
}

impl<T: AsyncRead + Unpin> PrefaceReader<T> {
    /// Writes, or learns why that cannot be. A server that refuses its client says why and hangs
    /// up; what is written meanwhile fails, and that is told only when all that it said is read.
    fn write<R>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        if self.doom.is_none() {
            match write(Pin::new(&mut self.io), cx) {
                Poll::Ready(Err(error)) if self.seen < FRAME_HEAD => self.doom = Some(error),
                written => return written,
            }
        }
        let said = ready!(self.last_words(cx)).err();
        let error = said.or_else(|| self.doom.take());
        let error = error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into());
        Poll::Ready(Err(self.kind.keep(error)))
    }

    /// Reads to the end, if the server is none of HTTP/2.
    fn last_words(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; LAST_WORDS];
        let mut buf = ReadBuf::new(&mut bytes);
        while self.seen < FRAME_HEAD {
            buf.clear();
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                break;
            }
            self.look(buf.filled())?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PrefaceReader<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |io, cx| io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(chunks: &[&[u8]]) -> u8 {
        let (mut reader, kind) = PrefaceReader::new(());
        for chunk in chunks {
            if reader.seen < FRAME_HEAD && reader.look(chunk).is_err() {
                break;
            }
        }
        kind.0.kind.load(Ordering::Relaxed)
    }

    #[test]
    fn settings_are_recognised_however_they_are_cut() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        for cut in 0..settings.len() {
            assert_eq!(kind(&[&settings[..cut], &settings[cut..]]), HTTP2, "{cut}");
        }
        assert_eq!(kind(&[&settings[..8]]), SILENT);
    }

    /// Says something, late, and takes nothing; hangs up after that, or is silent.
    struct Refusing {
        said: &'static [u8],
        pauses: usize,
        hangs_up: bool,
    }

    impl AsyncRead for Refusing {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.pauses > 0 {
                self.pauses -= 1;
                return Poll::Pending;
            }
            if self.said.is_empty() && !self.hangs_up {
                return Poll::Pending;
            }
            let (now, later) = self.said.split_at(self.said.len().min(4));
            buf.put_slice(now);
            self.said = later;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Refusing {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn the_last_words_of_a_server_are_heard_though_writing_fails() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for (said, kind, expected) in [
            (&b"HTTP/1.1 400"[..], io::ErrorKind::InvalidData, HTTP1),
            (b"", io::ErrorKind::BrokenPipe, SILENT),
        ] {
            let refusing = Refusing { said, pauses: 2, hangs_up: true };
            let (mut reader, peer) = PrefaceReader::new(refusing);
            for _ in 0..2 {
                assert!(Pin::new(&mut reader).poll_write(&mut cx, b"PRI").is_pending());
            }
            let Poll::Ready(Err(error)) = Pin::new(&mut reader).poll_write(&mut cx, b"PRI") else {
                panic!("the write ends in an error")
            };
            assert_eq!(error.kind(), kind);
            assert_eq!(peer.take_error().map(|error| error.kind()), Some(kind));
            assert_eq!(peer.0.kind.load(Ordering::Relaxed), expected);
        }
    }

    // A server of HTTP/2 has no last words that would have to be waited for.
    #[test]
    fn what_fails_after_the_settings_came_fails_at_once() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let said = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
        let refusing = Refusing { said, pauses: 0, hangs_up: false };
        let (mut reader, peer) = PrefaceReader::new(refusing);
        let Poll::Ready(Err(error)) = Pin::new(&mut reader).poll_write(&mut cx, b"PRI") else {
            panic!("the write ends in an error")
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(peer.is_http2());
    }

    /// Counts what it is asked for.
    #[derive(Default)]
    struct Counting {
        flushes: usize,
        shutdowns: usize,
    }

    impl AsyncRead for Counting {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.flushes += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.shutdowns += 1;
            Poll::Ready(Ok(()))
        }
    }

    // A stream that buffers, as that of TLS does, sends nothing otherwise.
    #[test]
    fn the_stream_is_flushed_and_shut_down() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut reader, _) = PrefaceReader::new(Counting::default());
        assert!(Pin::new(&mut reader).poll_flush(&mut cx).is_ready());
        assert!(Pin::new(&mut reader).poll_shutdown(&mut cx).is_ready());
        assert_eq!((reader.io.flushes, reader.io.shutdowns), (1, 1));
    }

    #[test]
    fn other_servers_are_told_apart() {
        let tls_says =
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.";
        for (bytes, expected) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], HTTP1),
            (&tls_says[..], TLS),
            (&[0x15, 3, 1, 0, 2, 2, 22][..], TLS),
            (&b"SSH-2.0"[..], OTHER),
            (&[0, 0, 6, 5][..], OTHER),
            (&[0, 0, 6, 4, 1][..], OTHER),
            (&[1, 0, 0][..], OTHER),
            (&[0, 0, 6, 4, 0, 0, 0, 0, 1][..], OTHER),
        ] {
            assert_eq!(kind(&[bytes]), expected, "{bytes:?}");
        }
    }
}
