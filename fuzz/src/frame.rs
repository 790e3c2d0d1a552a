//! gRPC framing against a parser that sees the whole stream at once (I-D4, E35, E36, I-X2).

use arbitrary::Arbitrary;
use etcd3_core::Bytes;
use etcd3_core::frame::{Decoder, FrameError, HEAD};

#[derive(Debug, Arbitrary)]
struct Input {
    limit: Limit,
    pieces: Vec<Piece>,
    /// How long each chunk is; what is left over comes as one.
    chunks: Vec<u8>,
}

#[derive(Debug, Arbitrary)]
enum Limit {
    Low(u8),
    High(u16),
    None,
}

#[derive(Debug, Arbitrary)]
enum Piece {
    /// A message that is as it should be.
    Whole(Vec<u8>),
    /// A head that may claim anything.
    Head(u8, u32),
    Raw(Vec<u8>),
}

/// Any chunking gives the same messages, and the same error as soon as its byte is there.
pub fn frame(data: &[u8]) {
    let Some(input) = crate::input::<Input>(data) else { return };
    let limit = match input.limit {
        Limit::Low(limit) => limit.into(),
        Limit::High(limit) => limit.into(),
        Limit::None => usize::MAX,
    };
    let wire = Bytes::from(input.pieces.iter().flat_map(bytes_of).collect::<Vec<_>>());
    let mut decoder = Decoder::new(limit);
    let (mut messages, mut at) = (Vec::new(), 0);
    let chunks = input.chunks.iter().map(|&len| usize::from(len)).chain([wire.len()]);
    for len in chunks {
        let end = wire.len().min(at + len);
        decoder.push(wire.slice(at..end));
        at = end;
        let error = take_all(&mut decoder, &mut messages).err();
        let (expected, expected_error) = parse(&wire[..at], limit);
        assert_eq!(messages, expected.messages);
        assert_eq!(error, expected_error);
        if error.is_some() {
            assert_eq!(decoder.next_message().err(), error, "an error stays one");
            return;
        }
        assert_eq!(decoder.buffered(), expected.left);
        assert!(decoder.buffered() < HEAD.saturating_add(limit).saturating_add(1));
        assert_eq!(decoder.finish().is_ok(), expected.left == 0);
    }
}

fn bytes_of(piece: &Piece) -> Vec<u8> {
    match piece {
        Piece::Whole(message) => {
            let len = u32::try_from(message.len()).expect("a message shorter than the input");
            [&[0], &len.to_be_bytes()[..], message].concat()
        }
        Piece::Head(flag, len) => [&[*flag], &len.to_be_bytes()[..]].concat(),
        Piece::Raw(bytes) => bytes.clone(),
    }
}

fn take_all(decoder: &mut Decoder, messages: &mut Vec<Bytes>) -> Result<(), FrameError> {
    while let Some(message) = decoder.next_message()? {
        messages.push(message);
    }
    Ok(())
}

/// What a beginning of a stream holds.
struct Parsed {
    messages: Vec<Vec<u8>>,
    /// The bytes of a message that is not yet whole.
    left: usize,
}

/// Reads as far as the bytes go.
fn parse(mut wire: &[u8], limit: usize) -> (Parsed, Option<FrameError>) {
    let mut messages = Vec::new();
    loop {
        let error = match wire {
            [flag, ..] if *flag != 0 => Some(FrameError::Compressed(*flag)),
            [_, a, b, c, d, rest @ ..] => {
                let len = [a, b, c, d].iter().fold(0, |len, &&byte| len << 8 | usize::from(byte));
                if len <= limit && rest.len() >= len {
                    messages.push(rest[..len].to_vec());
                    wire = &rest[len..];
                    continue;
                }
                (len > limit).then_some(FrameError::TooLarge { len, limit })
            }
            _ => None,
        };
        return (Parsed { messages, left: wire.len() }, error);
    }
}
