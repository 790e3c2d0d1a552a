//! Leases: one stream for all of them.

use crate::Floor;
use crate::call::{UnderWay, framed, head};
use crate::streams::Messages;
use bytes::Bytes;
use etcd3_bench::{Result, SLOTS};
use etcd3_proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
};
use h2::SendStream;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Leases, and the stream on which they are renewed.
#[derive(Debug)]
pub struct Leases {
    /// What a client has to know of each: its time to live.
    ttls: HashMap<i64, i64>,
    requests: SendStream<Bytes>,
    messages: Messages,
    _under_way: UnderWay,
}

impl Leases {
    pub(crate) async fn grant(floor: &mut Floor, count: u64, ttl: u64) -> Result<Self> {
        let mut ttls = HashMap::new();
        for _ in 0..count {
            let path = floor.methods.grant.clone();
            let request = LeaseGrantRequest { ttl: i64::try_from(ttl)?, id: 0 };
            let granted: LeaseGrantResponse = floor.unary(path, &request).await?;
            ttls.insert(granted.id, granted.ttl);
        }
        let path = floor.methods.keep_alive.clone();
        let (response, mut requests, under_way) = floor.start(path).await?;
        // The head of the answer comes with the first acknowledgement at the latest.
        let first = ttls.keys().next().copied().unwrap_or_default();
        requests.send_data(framed(&LeaseKeepAliveRequest { id: first }), false)?;
        let mut messages = Messages::new(head(response).await?);
        messages.next::<LeaseKeepAliveResponse>().await?;
        Ok(Self { ttls, requests, messages, _under_way: under_way })
    }

    /// Renews them slot by slot, or all at once, and again.
    pub(crate) async fn renew(
        &mut self,
        mut acknowledgements: u64,
        slot: Option<Duration>,
    ) -> Result<()> {
        let ids: Vec<i64> = self.ttls.keys().copied().collect();
        let parts = if slot.is_some() { SLOTS } else { 1 };
        let part = ids.len().div_ceil(parts.try_into()?);
        let mut at = Instant::now();
        for ids in ids.chunks(part).cycle() {
            for id in ids {
                self.requests.send_data(framed(&LeaseKeepAliveRequest { id: *id }), false)?;
            }
            for _ in ids {
                let answer: LeaseKeepAliveResponse = self.messages.next().await?;
                self.ttls.insert(answer.id, answer.ttl);
            }
            acknowledgements = acknowledgements.saturating_sub(ids.len() as u64);
            if acknowledgements == 0 {
                break;
            }
            if let Some(slot) = slot {
                at += slot;
                sleep_until(at).await;
            }
        }
        Ok(())
    }
}
