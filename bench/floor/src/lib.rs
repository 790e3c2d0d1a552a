//! The least that a correct client costs on h2: no retries, no timeouts, no second endpoint, but
//! every message is encoded and decoded, every status is looked at, and every window given back.
//!
//! What it does to be cheap:
//!
//! - what h2 writes in one poll of the connection is one write, and vectored writes are not
//!   claimed, since h2 would make one of each DATA frame of 256 bytes and more;
//! - callers that are ready run before the connection does, when more than one call is under way;
//! - `END_STREAM` is on the only DATA frame;
//! - 64 KiB are read at a time.
#![forbid(unsafe_code)]

mod call;
mod drive;
mod leases;
mod redial;
mod streams;

pub use leases::Leases;
pub use redial::Redialling;

use bytes::Bytes;
use call::Methods;
use drive::Drive;
use etcd3_bench::{Client, Coalesced, Result};
use etcd3_proto::etcdserverpb::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use h2::client::SendRequest;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::net::TcpStream;

/// The window of a stream, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;

/// The window of a connection, in bytes.
const CONNECTION_WINDOW: u32 = 16 << 20;

/// A connection.
#[derive(Debug, Clone)]
pub struct Floor {
    send: SendRequest<Bytes>,
    methods: Arc<Methods>,
    under_way: Arc<AtomicUsize>,
}

impl Client for Floor {
    type Leases = Leases;

    async fn connect(endpoints: &[String]) -> Result<Self> {
        let endpoint = endpoints.first().ok_or("no endpoint")?;
        let authority = endpoint.strip_prefix("http://").ok_or("not plain")?;
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        let transport = Coalesced::new(stream);
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(STREAM_WINDOW).enable_push(false);
        builder.initial_connection_window_size(CONNECTION_WINDOW);
        let (send, connection) = builder.handshake(transport.clone()).await?;
        let under_way = Arc::new(AtomicUsize::new(0));
        tokio::spawn(Drive::new(connection, transport, Arc::clone(&under_way)));
        Ok(Self { send, methods: Arc::new(Methods::new(authority)?), under_way })
    }

    async fn put(&mut self, key: Bytes, value: Bytes) -> Result<()> {
        let request = PutRequest { key, value, ..Default::default() };
        let path = self.methods.put.clone();
        let answer: PutResponse = self.unary(path, &request).await?;
        answer.header.map(|_| ()).ok_or_else(|| "no header".into())
    }

    async fn get(&mut self, key: Bytes) -> Result<usize> {
        let answer = self.range(RangeRequest { key, ..Default::default() }).await?;
        Ok(answer.kvs.first().map_or(0, |kv| kv.value.len()))
    }

    async fn pages(&mut self, begin: Bytes, end: Bytes) -> Result<u64> {
        let mut keys = 0;
        let mut page =
            RangeRequest { key: begin, range_end: end, limit: 1000, ..Default::default() };
        loop {
            let answer = self.range(page.clone()).await?;
            keys += answer.kvs.len() as u64;
            page.revision = answer.header.ok_or("no header")?.revision;
            let Some(last) = answer.kvs.last().filter(|_| answer.more) else { return Ok(keys) };
            page.key = [&last.key[..], &[0]].concat().into();
        }
    }

    async fn flood(&mut self, key: Bytes, events: u64) -> Result<()> {
        streams::flood(self, key, events).await
    }

    async fn watchers<F: FnOnce() + Send>(&mut self, count: u64, created: F) -> Result<()> {
        streams::watchers(self, count, created).await
    }

    async fn lease_all(&mut self, count: u64, ttl: u64) -> Result<Leases> {
        Leases::grant(self, count, ttl).await
    }

    async fn renew_all(
        &mut self,
        leases: &mut Leases,
        acknowledgements: u64,
        slot: Option<Duration>,
    ) -> Result<()> {
        leases.renew(acknowledgements, slot).await
    }

    async fn number(&mut self, key: Bytes) -> Result<u64> {
        let answer = self.range(RangeRequest { key, ..Default::default() }).await?;
        let value = &answer.kvs.first().ok_or("no number")?.value;
        Ok(str::from_utf8(value)?.parse()?)
    }
}

impl Floor {
    async fn range(&mut self, request: RangeRequest) -> Result<RangeResponse> {
        let path = self.methods.range.clone();
        self.unary(path, &request).await
    }
}
