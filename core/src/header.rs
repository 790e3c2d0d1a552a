//! A look at the header of an answer before the answer is decoded.

use crate::proto::etcdserverpb::ResponseHeader;
use bytes::{Buf, Bytes};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

/// What every answer of etcd says of its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Header {
    /// The cluster that answered.
    pub cluster_id: u64,
    /// The member that answered.
    pub member_id: u64,
    /// The revision of the store when it did.
    pub revision: i64,
}

/// Reads the header of an encoded answer: its first field. `None` when there is none, or one
/// without a cluster id, as in answers that are not etcd's own.
#[must_use]
pub fn peek(message: &Bytes) -> Option<Header> {
    let mut rest = &message[..];
    let (1, WireType::LengthDelimited) = decode_key(&mut rest).ok()? else { return None };
    let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
    if rest.remaining() < length {
        return None;
    }
    let header = ResponseHeader::decode(&rest[..length]).ok()?;
    let ResponseHeader { cluster_id, member_id, revision, .. } = header;
    (cluster_id != 0).then_some(Header { cluster_id, member_id, revision })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb::{PutResponse, RangeResponse};

    #[test]
    fn the_header_is_the_first_field_of_an_answer() {
        let header =
            ResponseHeader { cluster_id: 7, member_id: 8, revision: 300, ..Default::default() };
        let expected = Header { cluster_id: 7, member_id: 8, revision: 300 };
        let put = PutResponse { header: Some(header), ..Default::default() };
        assert_eq!(peek(&put.encode_to_vec().into()), Some(expected));
        let range = RangeResponse { header: Some(header), count: 3, ..Default::default() };
        assert_eq!(peek(&range.encode_to_vec().into()), Some(expected));
    }

    #[test]
    fn what_is_no_header_is_none() {
        let none = RangeResponse { count: 3, ..Default::default() };
        let empty = PutResponse { header: Some(ResponseHeader::default()), ..Default::default() };
        let cut = [0x0a, 0x10, 0x08];
        for bytes in [none.encode_to_vec(), empty.encode_to_vec(), cut.to_vec(), vec![], vec![0xff]]
        {
            assert_eq!(peek(&bytes.clone().into()), None, "{bytes:?}");
        }
    }
}
