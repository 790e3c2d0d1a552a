//! Reading keys piece by piece: `etcdserverpb.KV/RangeStream`, from etcd 3.7 on.

// K22, K23

use super::{Get, GetResponse};
use crate::ResponseHeader;
use crate::error::Error;
use crate::namespace::KeyPrefix;
use crate::rpc::UnaryRequest;
use bytes::Bytes;
use etcd3_proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcd3_proto::etcdserverpb::{RangeRequest, RangeStreamResponse};
use prost::Message;

impl Get {
    /// Checks that the answer can come in pieces.
    ///
    /// # Errors
    ///
    /// Kind [`InvalidRequest`](crate::ErrorKind::InvalidRequest) for a sort, other than by
    /// ascending key, and for revision filters. Servers refuse both, but for a target without an
    /// order: they sort each piece by that, and then go on after the wrong key.
    pub fn check_stream(&self) -> Result<(), Error> {
        let range = &self.request;
        let is_by_key = range.sort_target == i32::from(SortTarget::Key)
            && range.sort_order != i32::from(SortOrder::Descend);
        let filters = [
            range.min_mod_revision,
            range.max_mod_revision,
            range.min_create_revision,
            range.max_create_revision,
        ];
        if !is_by_key {
            return Err(Error::invalid_request("the answer to a sorted read comes in one piece"));
        }
        if filters.iter().any(|revision| *revision != 0) {
            return Err(Error::invalid_request(
                "the answer to a read with revision filters comes in one piece",
            ));
        }
        Ok(())
    }
}

/// Reads the header of an encoded piece, which only the last one has.
#[must_use]
pub fn header_of_piece(message: &Bytes) -> Option<ResponseHeader> {
    ResponseHeader::peek_nested(message)
}

/// Reads a piece, and takes the prefix off its keys. Header, `more` and `count` are those of the
/// last one, and zero in the others.
///
/// # Errors
///
/// Kind [`Protocol`](crate::ErrorKind::Protocol) when it is none.
pub fn piece(message: Bytes, prefix: Option<&KeyPrefix>) -> Result<GetResponse, Error> {
    let piece = RangeStreamResponse::decode(message).map_err(Error::protocol)?;
    let mut piece = piece.range_response.unwrap_or_default();
    if let Some(prefix) = prefix {
        RangeRequest::strip_prefix(&mut piece, prefix)?;
    }
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::etcdserverpb as pb;
    use crate::proto::mvccpb::KeyValue;
    use crate::{ErrorKind, SortOrder as Order, SortTarget as Target, get, prefix};
    use prost::Message;

    #[test]
    fn what_no_server_streams_rightly_is_not_sent() {
        let read = || get(prefix("k"));
        for fine in [
            read(),
            read().sort(Target::Key, Order::Ascend).limit(7).revision(8),
            read().serializable().keys_only(),
            read().count_only(),
        ] {
            assert_eq!(fine.check_stream(), Ok(()), "{fine:?}");
        }
        for refused in [
            read().sort(Target::Key, Order::Descend),
            read().sort(Target::Mod, Order::Ascend),
            read().sort(Target::Value, Order::None),
            read().min_mod_revision(1),
            read().max_mod_revision(1),
            read().min_create_revision(1),
            read().max_create_revision(1),
        ] {
            let kind = refused.check_stream().expect_err("refused").kind();
            assert_eq!(kind, ErrorKind::InvalidRequest, "{refused:?}");
        }
    }

    fn encoded(response: pb::RangeResponse) -> Bytes {
        RangeStreamResponse { range_response: Some(response) }.encode_to_vec().into()
    }

    // K23
    #[test]
    fn the_last_piece_is_the_one_with_a_header() {
        let kvs = vec![KeyValue { key: "k".into(), ..KeyValue::default() }];
        let other = pb::RangeResponse { kvs: kvs.clone(), ..pb::RangeResponse::default() };
        let head = pb::ResponseHeader { cluster_id: 7, member_id: 8, revision: 9, raft_term: 1 };
        let last = pb::RangeResponse { header: Some(head), kvs, more: true, count: 5 };
        assert_eq!(header_of_piece(&encoded(other.clone())), None);
        assert_eq!(piece(encoded(other.clone()), None), Ok(other.into()));
        assert_eq!(header_of_piece(&encoded(last.clone())), Some(head.into()));
        assert_eq!(piece(encoded(last.clone()), None), Ok(last.into()));
        assert_eq!(header_of_piece(&Bytes::from_static(&[0x0a, 0x7f, 0x0a])), None);
        assert_eq!(piece(Bytes::new(), None), Ok(GetResponse::default()));
    }
}
