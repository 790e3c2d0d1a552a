//! gRPC's length-prefixed messages: five bytes of head, then protobuf.
//!
//! ```text
//!   0        1                    5
//!   +--------+--------------------+----------------- - -
//!   | flag 0 | length, big endian | message
//!   +--------+--------------------+----------------- - -
//! ```

// C33

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;
use zeroize::Zeroizing;

/// The length of the head of a message.
pub const HEAD: usize = 5;

/// What can be wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// The message is longer than the receiver allows.
    TooLarge {
        /// The length that the head of the message claims, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The message is compressed, which this client never offers (1), or the flag is not one of
    /// gRPC's (2 and above).
    Compressed(u8),
    /// The stream ended inside a message.
    Truncated,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, limit } => {
                write!(f, "message of {len} bytes is over the limit of {limit} bytes")
            }
            Self::Compressed(flag) => {
                write!(f, "message with compressed flag {flag}, though no compression was offered")
            }
            Self::Truncated => f.write_str("stream ended inside a message"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Encodes one message with its head, in a single allocation.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when the message is longer than `limit` bytes, before any memory is
/// taken.
pub fn encode(message: &impl prost::Message, limit: usize) -> Result<Bytes, FrameError> {
    let (len, claimed) = lengths(message, limit)?;
    let mut buf = BytesMut::with_capacity(HEAD + len);
    put(message, claimed, &mut buf);
    Ok(buf.freeze())
}

/// Encodes one message with its head into memory that is wiped when the last clone is dropped.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when the message is longer than `limit` bytes, before any memory is
/// taken.
pub fn encode_secret(message: &impl prost::Message, limit: usize) -> Result<Bytes, FrameError> {
    let (len, claimed) = lengths(message, limit)?;
    // Never moved: it is as large as it will be.
    let mut buf = Zeroizing::new(Vec::with_capacity(HEAD + len));
    put(message, claimed, &mut *buf);
    Ok(Bytes::from_owner(buf))
}

/// Encodes one message with its head, after what is in the buffer.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when the message is longer than `limit` bytes, before any memory is
/// taken.
pub fn encode_into(
    message: &impl prost::Message,
    limit: usize,
    buf: &mut BytesMut,
) -> Result<(), FrameError> {
    let (len, claimed) = lengths(message, limit)?;
    buf.reserve(HEAD + len);
    put(message, claimed, buf);
    Ok(())
}

/// Returns the length of a message, as it is and as its head claims it.
fn lengths(message: &impl prost::Message, limit: usize) -> Result<(usize, u32), FrameError> {
    let len = message.encoded_len();
    match u32::try_from(len) {
        Ok(claimed) if len <= limit => Ok((len, claimed)),
        _ => Err(FrameError::TooLarge { len, limit }),
    }
}

fn put(message: &impl prost::Message, claimed: u32, buf: &mut impl BufMut) {
    buf.put_u8(0);
    buf.put_u32(claimed);
    message.encode_raw(buf);
}

/// Cuts a stream of chunks into messages.
///
/// A message that lies in one chunk is a slice of it; only one that spans chunks is copied. The
/// head is judged before memory is taken, and memory grows with the bytes that came, never with
/// the length that was claimed.
#[derive(Debug, Clone)]
pub struct Decoder {
    limit: usize,
    /// The beginning of a message that spans chunks, head included.
    partial: BytesMut,
    /// What the last chunk holds beyond it.
    chunk: Bytes,
}

impl Decoder {
    /// Makes a decoder that refuses messages longer than `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, partial: BytesMut::new(), chunk: Bytes::new() }
    }

    /// Takes one chunk of the stream. Take out the whole messages with [`next_message`] after
    /// each; chunks that pile up are copied.
    ///
    /// [`next_message`]: Self::next_message
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else if !chunk.is_empty() {
            self.chunk = [&self.chunk[..], &chunk[..]].concat().into();
        }
    }

    /// Takes out the next whole message, or `None` until more chunks come.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] and [`FrameError::Compressed`]; the stream is then of no more use.
    pub fn next_message(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.partial.is_empty() {
            match claimed(&self.chunk, self.limit)? {
                Some(len) if self.chunk.len() >= HEAD + len => {
                    self.chunk.advance(HEAD);
                    return Ok(Some(self.chunk.split_to(len)));
                }
                _ => {}
            }
        }
        self.continue_partial()
    }

    /// Judges the end of the stream.
    ///
    /// # Errors
    ///
    /// [`FrameError::Truncated`] when bytes of an unfinished message are left.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.buffered() == 0 { Ok(()) } else { Err(FrameError::Truncated) }
    }

    /// The bytes held for messages that are not yet whole.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.chunk.len()
    }

    /// Returns the beginning of the message that is next, as far as it lies in one piece.
    #[must_use]
    pub fn rest(&self) -> &[u8] {
        if self.partial.is_empty() { &self.chunk } else { &self.partial }
    }

    fn continue_partial(&mut self) -> Result<Option<Bytes>, FrameError> {
        self.fill_partial(HEAD);
        let Some(len) = claimed(&self.partial, self.limit)? else { return Ok(None) };
        self.fill_partial(HEAD + len);
        if self.partial.len() < HEAD + len {
            return Ok(None);
        }
        self.partial.advance(HEAD);
        Ok(Some(std::mem::take(&mut self.partial).freeze()))
    }

    /// Moves bytes over until the partial message has `target` bytes or the chunk is used up.
    fn fill_partial(&mut self, target: usize) {
        let missing = target.saturating_sub(self.partial.len());
        let take = missing.min(self.chunk.len());
        if take > 0 {
            if self.partial.capacity() - self.partial.len() < take {
                // A few times what came: most messages have room then, and are moved no more.
                let more = take.max(self.partial.len()).saturating_mul(4).saturating_add(4096);
                self.partial.reserve(missing.min(more));
            }
            self.partial.extend_from_slice(&self.chunk[..take]);
            self.chunk.advance(take);
        }
    }
}

/// Reads the head of a message, if it is there, and judges it.
fn claimed(bytes: &[u8], limit: usize) -> Result<Option<usize>, FrameError> {
    let Some(&flag) = bytes.first() else { return Ok(None) };
    if flag != 0 {
        return Err(FrameError::Compressed(flag));
    }
    let &[_, a, b, c, d, ..] = bytes else { return Ok(None) };
    let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if len > limit { Err(FrameError::TooLarge { len, limit }) } else { Ok(Some(len)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(lengths: &[usize]) -> Bytes {
        let mut wire = BytesMut::new();
        for &n in lengths {
            wire.put_u8(0);
            wire.put_u32(u32::try_from(n).unwrap());
            wire.put_bytes(u8::try_from(n % 251).unwrap(), n);
        }
        wire.freeze()
    }

    fn cut(decoder: &mut Decoder, parts: &[Bytes]) -> Result<Vec<Bytes>, FrameError> {
        let mut messages = vec![];
        for part in parts {
            decoder.push(part.clone());
            while let Some(message) = decoder.next_message()? {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    // I-D4
    #[test]
    fn every_split_gives_the_same_messages() {
        let wire = wire(&[0, 1, 7, 0, 12]);
        for a in 0..=wire.len() {
            for b in a..=wire.len() {
                let parts = [wire.slice(..a), wire.slice(a..b), wire.slice(b..)];
                let mut decoder = Decoder::new(100);
                let messages = cut(&mut decoder, &parts).unwrap();
                let lengths: Vec<_> = messages.iter().map(Bytes::len).collect();
                assert_eq!(lengths, [0, 1, 7, 0, 12]);
                assert!(messages.iter().all(|m| m.iter().all(|&x| usize::from(x) == m.len())));
                decoder.finish().unwrap();
            }
        }
    }

    #[test]
    fn a_message_within_one_chunk_is_a_slice_of_it() {
        let wire = wire(&[40, 9]);
        let mut decoder = Decoder::new(100);
        decoder.push(wire.clone());
        let first = decoder.next_message().unwrap().unwrap();
        assert_eq!(first.as_ptr(), wire[HEAD..].as_ptr());

        // Also behind one that spans chunks.
        let mut decoder = Decoder::new(100);
        decoder.push(wire.slice(..20));
        assert_eq!(decoder.next_message().unwrap(), None);
        let rest = wire.slice(20..);
        decoder.push(rest.clone());
        assert_eq!(decoder.next_message().unwrap().unwrap().len(), 40);
        let second = decoder.next_message().unwrap().unwrap();
        assert_eq!(second.as_ptr(), rest[45 - 20 + HEAD..].as_ptr());
    }

    // E36, X6: the limit is checked before memory is taken.
    #[test]
    fn a_message_over_the_limit_is_refused_by_its_head() {
        let mut decoder = Decoder::new(100);
        let error = cut(&mut decoder, &[wire(&[101]).slice(..HEAD)]).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { len: 101, limit: 100 });
        assert!(decoder.partial.capacity() <= 16);
        assert_eq!(cut(&mut Decoder::new(100), &[wire(&[100])]).unwrap().len(), 1);
    }

    #[test]
    fn memory_follows_what_came_not_what_was_claimed() {
        let mut decoder = Decoder::new(usize::MAX);
        decoder.push(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]));
        assert_eq!(decoder.next_message().unwrap(), None);
        for _ in 0..1000 {
            decoder.push(Bytes::from_static(&[1; 10]));
            assert_eq!(decoder.next_message().unwrap(), None);
        }
        assert!(decoder.partial.capacity() <= 4 * 10_005, "{}", decoder.partial.capacity());
    }

    #[test]
    fn compressed_and_truncated_are_errors() {
        for flag in [1, 2, 255] {
            let error = cut(&mut Decoder::new(9), &[Bytes::from(vec![flag])]).unwrap_err();
            assert_eq!(error, FrameError::Compressed(flag));
        }
        let wire = wire(&[3]);
        for cut_at in 1..wire.len() {
            let mut decoder = Decoder::new(9);
            assert_eq!(cut(&mut decoder, &[wire.slice(..cut_at)]).unwrap(), Vec::<Bytes>::new());
            assert_eq!(decoder.finish(), Err(FrameError::Truncated), "{cut_at}");
        }
    }

    #[test]
    fn chunks_that_pile_up_are_not_lost() {
        let mut decoder = Decoder::new(9);
        let wire = wire(&[3, 2]);
        decoder.push(wire.slice(..6));
        decoder.push(wire.slice(6..));
        assert_eq!(decoder.next_message().unwrap().unwrap().len(), 3);
        assert_eq!(decoder.next_message().unwrap().unwrap().len(), 2);
    }

    #[test]
    fn encode_refuses_what_is_over_the_limit() {
        let message = etcd3_proto::mvccpb::KeyValue { version: 1, ..Default::default() };
        assert_eq!(encode(&message, 2).unwrap(), Bytes::from_static(&[0, 0, 0, 0, 2, 0x20, 1]));
        assert_eq!(encode(&message, 1), Err(FrameError::TooLarge { len: 2, limit: 1 }));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (error, text) in [
            (
                FrameError::TooLarge { len: 7, limit: 6 },
                "message of 7 bytes is over the limit of 6 bytes",
            ),
            (
                FrameError::Compressed(1),
                "message with compressed flag 1, though no compression was offered",
            ),
            (FrameError::Truncated, "stream ended inside a message"),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
