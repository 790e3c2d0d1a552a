//! Snapshots, in the parts that servers send.

// M30

use super::{About, Messages, Service, framed, refuse, response_head, send_all, trailers};
use crate::model::{Database, SnapshotFault};
use bytes::Bytes;
use etcd3::proto::etcdserverpb::SnapshotResponse;
use etcd3::{Code, Status};
use h2::RecvStream;
use h2::server::SendResponse;
use prost::Message;

pub(super) const PATH: &str = "/etcdserverpb.Maintenance/Snapshot";

/// The most bytes of a part.
const PART: usize = 32 << 10;

impl Service {
    pub(super) async fn snapshot(
        &self,
        about: About,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let Some(_) = Messages::new(body).next().await? else { return Ok(()) };
        let taken = self
            .cluster(|cluster, now| cluster.snapshot(now, about.member, about.token.as_deref()));
        let Database { bytes, version, fault } = match taken {
            Ok(database) => database,
            Err(status) => return refuse(&mut respond, &status),
        };
        let mut send = respond.send_response(response_head(), false)?;
        let mut left = bytes.len();
        for part in parts(&bytes, fault) {
            left = left.saturating_sub(part.len());
            let message = SnapshotResponse {
                header: None,
                remaining_bytes: u64::try_from(left).unwrap_or(u64::MAX),
                blob: part,
                version: version.clone(),
            };
            send_all(&mut send, framed(&message.encode_to_vec())).await?;
        }
        match fault {
            Some(SnapshotFault::WithoutStatus) => send.send_data(Bytes::new(), true),
            _ => send.send_trailers(trailers(&Status::new(Code::Ok, ""))),
        }
    }
}

/// Divides a database into parts; the digest is one of its own.
fn parts(database: &Bytes, fault: Option<SnapshotFault>) -> Vec<Bytes> {
    let mut all = database.to_vec();
    all.extend(hmac_sha256::Hash::hash(database));
    let digest = database.len();
    match fault {
        Some(SnapshotFault::Flipped(at)) => {
            let len = all.len();
            all[at % len] ^= 1 << (at % 8);
        }
        Some(SnapshotFault::Longer(count)) => all.resize(all.len() + count, 7),
        Some(SnapshotFault::Cut(len)) => all.truncate(len),
        Some(SnapshotFault::WithoutDigest) => all.truncate(digest),
        Some(SnapshotFault::WithoutStatus) | None => {}
    }
    let rest = all.split_off(digest.min(all.len()));
    let parts = all.chunks(PART).chain(rest.chunks(PART));
    parts.map(Bytes::copy_from_slice).collect()
}
