//! Messages of streams that the client leaves open.

use super::wire::framed;
use super::{FrameType, Heard, Wire};
use std::io;

/// The bytes before each message of gRPC: a flag and the length.
const HEAD: usize = 5;

/// One message of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its stream.
    pub(crate) stream: u32,
    /// It, without the head of gRPC.
    pub(crate) body: Vec<u8>,
    /// Whether the client sends no other on this stream.
    pub(crate) is_last: bool,
}

impl Wire {
    /// Waits for the next message on any stream, also on one that the client leaves open.
    pub(crate) fn message(&mut self) -> io::Result<Message> {
        loop {
            let whole = match self.hear()? {
                Heard::Request(request) if !request.body.is_empty() => {
                    Some((request.stream, request.body, true))
                }
                _ => {
                    let mut open = self.open.iter_mut();
                    let whole = open.find_map(|(stream, body)| Some((*stream, cut(body)?)));
                    whole.map(|(stream, message)| (stream, message, false))
                }
            };
            if let Some((stream, message, is_last)) = whole {
                let body = message.get(HEAD..).unwrap_or_default().to_vec();
                return Ok(Message { stream, body, is_last });
            }
        }
    }

    /// Sends a message behind the head that gRPC gives it.
    pub(crate) fn send_message(&mut self, stream: u32, message: &[u8]) -> io::Result<()> {
        self.frame(FrameType::Data, 0, stream, &framed(message))
    }
}

/// Takes the first message off what came, with its head, if it is whole.
fn cut(came: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = came.get(1..HEAD)?.try_into().map(u32::from_be_bytes).ok()?;
    let end = HEAD + usize::try_from(length).ok()?;
    (came.len() >= end).then(|| came.drain(..end).collect())
}
