//! The changes of a store, as one member tells them over a stream that no code under test handles.
//!
//! HTTP/2 by h2, messages by prost, and nothing else: no resumption but by the revision after the
//! last one that came, no ids, no options. A compaction has the collector go on at its revision.

use crate::load::pause;
use etcd3::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3::proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use etcd3::proto::mvccpb::Event;
use etcd3::runtime::{Runtime, Target};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::metadata::{Metadata, request_head};
use etcd3_core::method;
use futures_lite::FutureExt;
use prost::Message;
use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// The time between two streams, and between two looks whether that is all.
const AGAIN: Duration = Duration::from_millis(100);

/// The changes that one member has told.
#[derive(Clone, Default)]
pub(crate) struct Collector(Arc<Mutex<Collected>>);

#[derive(Default)]
struct Collected {
    events: BTreeMap<i64, Vec<Event>>,
    /// The last revision that came.
    last: i64,
    is_over: bool,
}

impl Collector {
    /// Collects the changes of a member until that is to end.
    pub(crate) async fn run(self, rt: Arc<dyn Runtime>, member: SocketAddr) {
        while !self.lock().is_over {
            let over = async {
                while !self.lock().is_over {
                    pause(&rt, AGAIN).await;
                }
                Ok(())
            };
            // A member that is gone, or frozen, is asked again.
            let _ = self.stream(&rt, member).or(over).await;
            pause(&rt, AGAIN).await;
        }
    }

    pub(crate) fn end(&self) {
        self.lock().is_over = true;
    }

    /// Returns the last revision that came.
    pub(crate) fn last(&self) -> i64 {
        self.lock().last
    }

    /// Returns all events by revision.
    pub(super) fn events(&self) -> BTreeMap<i64, Vec<Event>> {
        self.lock().events.clone()
    }

    async fn stream(&self, rt: &Arc<dyn Runtime>, member: SocketAddr) -> Result<(), Failure> {
        let io = rt.connect(&Target::Tcp(member)).await?;
        let (requests, connection) = h2::client::handshake(io).await?;
        let endpoint: Endpoint = member.to_string().parse()?;
        let create = WatchCreateRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            start_revision: self.last() + 1,
            ..WatchCreateRequest::default()
        };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let exchange = async {
            let mut requests = requests.ready().await?;
            let (scheme, authority) = (endpoint.scheme(), endpoint.authority());
            let head = request_head(scheme, authority, &method::WATCH, Metadata::default());
            let (response, mut send) = requests.send_request(head, false)?;
            send.send_data(frame::encode(&create, usize::MAX)?, false)?;
            let mut body = response.await?.into_body();
            let mut decoder = Decoder::new(usize::MAX);
            while let Some(chunk) = body.data().await {
                let chunk = chunk?;
                body.flow_control().release_capacity(chunk.len())?;
                decoder.push(chunk);
                while let Some(message) = decoder.next_message()? {
                    let response = WatchResponse::decode(message)?;
                    let is_over = response.canceled;
                    self.take(response);
                    if is_over {
                        // By a compaction: the stream stays, and nothing comes on it any more.
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        let connection = async {
            connection.await?;
            Err("the connection ended".into())
        };
        exchange.or(connection).await
    }

    fn take(&self, response: WatchResponse) {
        let mut collected = self.lock();
        if response.compact_revision > 0 {
            collected.last = collected.last.max(response.compact_revision - 1);
        }
        for event in response.events {
            let Some(kv) = &event.kv else { continue };
            let revision = kv.mod_revision;
            let events = collected.events.entry(revision).or_default();
            // A server that goes back in time says again what it has said.
            if !events.contains(&event) {
                events.push(event);
            }
            collected.last = collected.last.max(revision);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the changes together that the members told.
///
/// # Errors
///
/// When two members differ on a revision that neither has lost a part of, or when nobody has one.
pub(super) fn merged(collectors: &[Collector], last: i64) -> Result<Vec<Event>, String> {
    let mut all: BTreeMap<i64, Vec<Event>> = BTreeMap::new();
    for collector in collectors {
        for (revision, events) in collector.events() {
            let known = all.entry(revision).or_default();
            let (less, more) =
                if known.len() <= events.len() { (&*known, &events) } else { (&events, &*known) };
            // Some servers lose deletions at a compaction, of those that catch up.
            if less.iter().any(|event| !more.contains(event)) {
                return Err(format!("the members differ at revision {revision}"));
            }
            if known.len() < events.len() {
                *known = events;
            }
        }
    }
    match (2..=last).find(|revision| !all.contains_key(revision)) {
        Some(missing) => Err(format!("no member told revision {missing} of {last}")),
        None => Ok(all.into_values().flatten().collect()),
    }
}
