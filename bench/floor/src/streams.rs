//! Watchers: one stream for all of them.

use crate::Floor;
use crate::call::{chunk, framed, head, length};
use bytes::{Buf, Bytes, BytesMut};
use etcd3_bench::Result;
use etcd3_proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use h2::RecvStream;
use prost::Message;
use std::collections::HashMap;

/// The messages of a stream.
#[derive(Debug)]
pub(crate) struct Messages {
    body: RecvStream,
    unread: Bytes,
}

impl Messages {
    pub(crate) const fn new(body: RecvStream) -> Self {
        Self { body, unread: Bytes::new() }
    }

    /// Waits for a message.
    pub(crate) async fn next<A: Message + Default>(&mut self) -> Result<A> {
        loop {
            let length = length(&self.unread).map(|length| length + 5);
            if let Some(length) = length.filter(|length| *length <= self.unread.len()) {
                let mut message = self.unread.split_to(length);
                message.advance(5);
                return Ok(A::decode(message)?);
            }
            let more = chunk(&mut self.body).await?.ok_or("the stream has ended")?;
            if self.unread.is_empty() {
                self.unread = more;
                continue;
            }
            let mut both = BytesMut::with_capacity(length.unwrap_or(0).max(more.len() + 16_384));
            both.extend_from_slice(&self.unread);
            both.extend_from_slice(&more);
            self.unread = both.freeze();
        }
    }
}

/// Watches a key until so many events have come.
pub(crate) async fn flood(floor: &mut Floor, key: Bytes, events: u64) -> Result<()> {
    let path = floor.methods.watch.clone();
    let (response, mut requests, _under_way) = floor.start(path).await?;
    requests.send_data(framed(&create(key)), false)?;
    let mut messages = Messages::new(head(response).await?);
    let mut seen = 0;
    while seen < events {
        seen += messages.next::<WatchResponse>().await?.events.len() as u64;
    }
    Ok(())
}

/// Creates watchers on one stream.
pub(crate) async fn watchers(floor: &mut Floor, count: u64, created: impl FnOnce()) -> Result<()> {
    let path = floor.methods.watch.clone();
    let (response, mut requests, _under_way) = floor.start(path).await?;
    // What a client has to know of a watcher: its key, and how far it has come.
    let mut watchers = HashMap::new();
    let keys: Vec<Bytes> = (0..count).map(|it| format!("watched/{it:06}").into()).collect();
    for key in &keys {
        requests.send_data(framed(&create(key.clone())), false)?;
    }
    let mut messages = Messages::new(head(response).await?);
    for key in keys {
        let answer: WatchResponse = messages.next().await?;
        let revision = answer.header.ok_or("no header")?.revision;
        watchers.insert(answer.watch_id, (key, revision));
    }
    created();
    drop((watchers, requests));
    Ok(())
}

fn create(key: Bytes) -> WatchRequest {
    let create = WatchCreateRequest { key, ..Default::default() };
    WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) }
}
