//! Cutting a large response into parts.

// W26, W27

use etcd3::proto::etcdserverpb::WatchResponse;
use prost::Message;
use std::collections::VecDeque;

/// Cuts a response of `limit` bytes or more, between events. All parts but the last say that they
/// are fragments; a single event is never cut.
pub(super) fn cut(mut whole: WatchResponse, limit: usize) -> VecDeque<WatchResponse> {
    if whole.encoded_len() < limit || whole.events.len() < 2 {
        return VecDeque::from([whole]);
    }
    let mut parts = VecDeque::new();
    let events = std::mem::take(&mut whole.events);
    let mut part = WatchResponse { fragment: true, ..whole };
    let mut size = part.encoded_len();
    for event in events {
        let len = event.encoded_len();
        let with = size + 1 + prost::length_delimiter_len(len) + len;
        if !part.events.is_empty() && with >= limit {
            let empty = WatchResponse { events: Vec::new(), ..part.clone() };
            size = empty.encoded_len();
            parts.push_back(std::mem::replace(&mut part, empty));
        }
        size += 1 + prost::length_delimiter_len(len) + len;
        part.events.push(event);
    }
    part.fragment = false;
    parts.push_back(part);
    parts
}
