//! A stream that stays open beside calls.

use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Member, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3::{Bytes, Client, EndpointState, ErrorKind, RawStream, StreamEvent};
use etcd3_core::{frame, method};
use prost::Message;
use std::time::Duration;

pub(super) const CASES: &[Case] =
    &[case!(an_idle_stream_migrates_at_goaway, []).real("members that are shut down")];

/// Several times what a call may wait before its endpoint is a suspect.
const IDLE: Duration = Duration::from_secs(15);
const CALLS_PER_SECOND: u32 = 100;
const LIMIT: Duration = Duration::from_secs(20);

/// A frame that asks for the events of a key.
fn watch(key: &'static str) -> Result<Bytes, frame::FrameError> {
    let create = pb::WatchCreateRequest { key: key.into(), ..Default::default() };
    let request_union = Some(RequestUnion::CreateRequest(create));
    frame::encode(&pb::WatchRequest { request_union }, 1 << 20)
}

/// The next event, within a limit.
async fn next(ctx: &Ctx, stream: &mut RawStream) -> Result<StreamEvent, BoxError> {
    let next = ctx.within(ctx.stretched(LIMIT), stream.next()).await;
    Ok(next.ok_or("nothing comes")?.ok_or("the stream has ended")??)
}

async fn received(ctx: &Ctx, stream: &mut RawStream) -> Result<pb::WatchResponse, BoxError> {
    match next(ctx, stream).await? {
        StreamEvent::Message(message) => Ok(pb::WatchResponse::decode(message)?),
        StreamEvent::Opened => Err("it was opened again".into()),
    }
}

/// Waits until the stream is open, and begins a watch.
async fn begin(ctx: &Ctx, stream: &mut RawStream) -> CaseResult {
    let event = next(ctx, stream).await?;
    assert!(matches!(event, StreamEvent::Opened), "{event:?}");
    stream.send(watch("watched")?);
    assert!(received(ctx, stream).await?.created);
    Ok(())
}

/// The endpoint with the stream; no other has one, and none is a suspect.
fn place_of_stream(client: &Client) -> usize {
    let endpoints = client.health().endpoints;
    let is_well = |state| state == EndpointState::Ready;
    assert!(endpoints.iter().all(|it| is_well(it.state)), "{endpoints:?}");
    let streams: Vec<u32> = endpoints.iter().map(|it| it.streams).collect();
    assert_eq!(streams.iter().sum::<u32>(), 1, "{streams:?}");
    streams.iter().position(|streams| *streams == 1).unwrap_or_default()
}

/// I-C6, B1: nobody waits for an idle stream; one whose server shuts down goes to another.
async fn an_idle_stream_migrates_at_goaway(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls().into_iter().take(2)).await?;
    client.put("key", "value").await?;
    let is_ready = |client: &Client| {
        client.health().endpoints.iter().all(|it| it.state == EndpointState::Ready)
    };
    ctx.until("both connections", LIMIT, || async { is_ready(&client) }).await?;
    let mut stream = client.raw_stream(&method::WATCH);
    begin(&ctx, &mut stream).await?;
    let at = place_of_stream(&client);
    for _ in 0..CALLS_PER_SECOND * u32::try_from(IDLE.as_secs())? {
        client.get("key").await?;
        assert_eq!(place_of_stream(&client), at, "it stays where it is");
        ctx.pause(Duration::from_secs(1) / CALLS_PER_SECOND).await;
    }
    client.put("watched", "1").await?;
    assert_eq!(received(&ctx, &mut stream).await?.events.len(), 1);

    ctx.order(&cluster.member(at), Member::terminate).await?;
    begin(&ctx, &mut stream).await?;
    client.close().await;
    let end = stream.next().await.ok_or("it ends in an error")?;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Closed);
    Ok(())
}
