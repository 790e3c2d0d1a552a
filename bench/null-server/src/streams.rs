//! What calls with streams are answered.

use crate::grpc::{Replies, Requests, framed};
use crate::responses::{HEADER, Responses};
use bytes::Bytes;
use etcd3_bench::Result;
use etcd3_proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_proto::etcdserverpb::{
    LeaseKeepAliveRequest, LeaseKeepAliveResponse, ResponseHeader, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use etcd3_proto::mvccpb::{Event, KeyValue};
use h2::server::SendResponse;
use prost::Message;

/// The number of events in a response.
const EVENTS: i64 = 100;

/// Creates watchers, and floods those that ask for it.
pub(crate) async fn watch(
    requests: &mut Requests,
    respond: SendResponse<Bytes>,
    responses: &Responses,
) -> Result<()> {
    let mut replies = Replies::begin(respond)?;
    let mut next = 0;
    while let Some(message) = requests.next().await? {
        match WatchRequest::decode(message)?.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                let watch_id = if create.watch_id == 0 { next } else { create.watch_id };
                next += 1;
                responses.created.set(responses.created.get() + 1);
                replies.send(framed(&WatchResponse { created: true, ..response(watch_id) }))?;
                flood(&mut replies, &create, watch_id).await?;
            }
            Some(RequestUnion::CancelRequest(cancel)) => {
                let end = WatchResponse { canceled: true, ..response(cancel.watch_id) };
                replies.send(framed(&end))?;
            }
            Some(RequestUnion::ProgressRequest(_)) => replies.send(framed(&response(-1)))?,
            None => {}
        }
    }
    replies.end()
}

/// Sends the events that the key asks for, at growing revisions.
async fn flood(replies: &mut Replies, create: &WatchCreateRequest, watch_id: i64) -> Result<()> {
    let mut words = str::from_utf8(&create.key)?.split('/');
    if words.next() != Some("flood") {
        return Ok(());
    }
    let responses: i64 = words.next().unwrap_or("0").parse()?;
    let value = Bytes::from(vec![b'x'; words.next().unwrap_or("100").parse()?]);
    for number in 0..responses {
        let first = HEADER.revision + number * EVENTS;
        let events = (0..EVENTS).map(|it| event(first + it, &create.key, &value)).collect();
        let header = ResponseHeader { revision: first + EVENTS - 1, ..HEADER };
        let response = WatchResponse { header: Some(header), events, ..response(watch_id) };
        replies.send(framed(&response))?;
        if number % 16 == 0 {
            // The connection writes meanwhile.
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn event(revision: i64, key: &Bytes, value: &Bytes) -> Event {
    let (key, value) = (key.clone(), value.clone());
    let version = revision - HEADER.revision + 1;
    let create_revision = HEADER.revision;
    let kv = KeyValue { key, value, create_revision, mod_revision: revision, version, lease: 0 };
    Event { kv: Some(kv), ..Default::default() }
}

fn response(watch_id: i64) -> WatchResponse {
    WatchResponse { header: Some(HEADER), watch_id, ..Default::default() }
}

/// Acknowledges what comes.
pub(crate) async fn keep_alive(
    requests: &mut Requests,
    respond: SendResponse<Bytes>,
    responses: &Responses,
) -> Result<()> {
    let mut replies = Replies::begin(respond)?;
    responses.renewing.set(responses.renewing.get() + 1);
    while let Some(message) = requests.next().await? {
        let LeaseKeepAliveRequest { id } = LeaseKeepAliveRequest::decode(message)?;
        let ttl = responses.renew(id);
        replies.send(framed(&LeaseKeepAliveResponse { header: Some(HEADER), id, ttl }))?;
    }
    replies.end()
}
