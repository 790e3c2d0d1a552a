//! What every answer of etcd says of its origin.

use crate::proto::etcdserverpb as pb;
use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

/// What every answer of etcd says of its origin.
///
/// All numbers are 0 where a server leaves the header out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub struct ResponseHeader {
    /// The cluster that answered.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The revision of the store when it did.
    pub revision: i64,
    /// The term of the last election that the member knew of.
    pub raft_term: u64,
}

impl From<pb::ResponseHeader> for ResponseHeader {
    fn from(header: pb::ResponseHeader) -> Self {
        let pb::ResponseHeader { cluster_id, member_id, revision, raft_term } = header;
        Self { cluster_id, member_id, revision, raft_term }
    }
}

impl From<Option<pb::ResponseHeader>> for ResponseHeader {
    fn from(header: Option<pb::ResponseHeader>) -> Self {
        header.map_or_else(Self::default, Self::from)
    }
}

impl ResponseHeader {
    /// Reads the header of an encoded answer, its first field, before the answer is decoded. `None`
    /// when there is none, or one without a cluster id, as in answers that are not etcd's own.
    #[must_use]
    pub fn peek(message: &Bytes) -> Option<Self> {
        peek_in(message)
    }

    /// Reads the header of an answer that stands in another message, as its first field.
    pub(crate) fn peek_nested(message: &Bytes) -> Option<Self> {
        peek_in(first_field(message)?)
    }
}

#[inline]
fn peek_in(message: &[u8]) -> Option<ResponseHeader> {
    let bytes = first_field(message)?;
    let header = read(bytes).or_else(|| decode(bytes))?;
    (header.cluster_id != 0).then_some(header)
}

/// Returns the field with the number 1, if it is the first one and a message.
#[inline]
fn first_field(message: &[u8]) -> Option<&[u8]> {
    let mut rest = message;
    let (1, WireType::LengthDelimited) = decode_key(&mut rest).ok()? else { return None };
    let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    rest.get(..length)
}

/// Reads what servers send: no field but those of the message, each a number.
fn read(mut rest: &[u8]) -> Option<ResponseHeader> {
    let mut header = ResponseHeader::default();
    while let [key, after @ ..] = rest {
        rest = after;
        let value = decode_varint(&mut rest).ok()?;
        match key {
            0x08 => header.cluster_id = value,
            0x10 => header.member_id = value,
            0x18 => header.revision = value.cast_signed(),
            0x20 => header.raft_term = value,
            _ => return None,
        }
    }
    Some(header)
}

/// Reads whatever is on the wire.
fn decode(bytes: &[u8]) -> Option<ResponseHeader> {
    pb::ResponseHeader::decode(bytes).ok().map(ResponseHeader::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use pb::{PutResponse, RangeResponse};

    #[test]
    fn the_header_is_the_first_field_of_an_answer() {
        let header =
            pb::ResponseHeader { cluster_id: 7, member_id: 8, revision: 300, raft_term: 2 };
        let expected = Some(header.into());
        let put = PutResponse { header: Some(header), ..Default::default() };
        assert_eq!(ResponseHeader::peek(&put.encode_to_vec().into()), expected);
        let range = RangeResponse { header: Some(header), count: 3, ..Default::default() };
        assert_eq!(ResponseHeader::peek(&range.encode_to_vec().into()), expected);
    }

    #[test]
    fn a_quick_look_sees_what_the_message_holds() {
        let mut rng = Rng::new(1);
        for _ in 0..2_000 {
            let mut bits = || rng.next_u64() >> rng.below(64);
            let message = pb::ResponseHeader {
                cluster_id: bits(),
                member_id: bits(),
                revision: bits().cast_signed(),
                raft_term: bits(),
            };
            let mut bytes = message.encode_to_vec();
            assert_eq!(read(&bytes), decode(&bytes), "{message:?}");
            assert!(read(&bytes).is_some());
            for _ in 0..bytes.len().min(3) {
                let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
                bytes[at] ^= 1 << rng.below(8);
                let quick = read(&bytes);
                assert!(quick.is_none() || quick == decode(&bytes), "{bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_no_header_is_none() {
        let none = RangeResponse { count: 3, ..Default::default() };
        let empty =
            PutResponse { header: Some(pb::ResponseHeader::default()), ..Default::default() };
        let cut = [0x0a, 0x10, 0x08];
        for bytes in [none.encode_to_vec(), empty.encode_to_vec(), cut.to_vec(), vec![], vec![0xff]]
        {
            assert_eq!(ResponseHeader::peek(&bytes.clone().into()), None, "{bytes:?}");
        }
    }
}
