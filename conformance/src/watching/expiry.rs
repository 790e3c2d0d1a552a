//! Keys of one lease that vanish in one revision, while the connection is cut.

use super::LIMIT;
use crate::{BoxError, Ctx};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, Error, Watch, WatchBatch, prefix, put};
use etcd3_lab::{Bridge, Cut, Direction, Fault, Relays};
use std::time::Duration;

const KEYS: usize = 500;
const KEYS_OF_A_TXN: usize = 100;
/// Large enough that the server cuts the deletions, with the pairs before them, into parts.
const VALUE: usize = 4 << 10;
/// About what one expiry takes on the wire.
const EXPIRY_BYTES: u64 = (KEYS * VALUE) as u64;

/// What became of expiries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiries {
    /// Times that all keys vanished.
    pub expiries: usize,
    /// Connections that were cut meanwhile.
    pub cut: u64,
    /// Batches that did not hold all keys of the one revision.
    pub torn: usize,
}

impl Expiries {
    /// Returns what is wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = vec![];
        if self.torn > 0 || self.cut * 2 < u64::try_from(self.expiries).unwrap_or(0) {
            problems.push(format!("expiries: {self:?}"));
        }
        problems
    }
}

/// Has 500 keys of one lease vanish so many times, each time with the connection of the watch cut
/// after another number of bytes.
///
/// # Errors
///
/// When the server fails, or the watch does.
pub async fn expire_while_cut(ctx: &Ctx, times: usize) -> Result<Expiries, BoxError> {
    // Less lets no transaction of so many keys pass.
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", "524288")).await?;
    let bridge = Bridge::new(server.addr())?;
    let config = Config::new([bridge.url()]).reconnect_backoff_min(Duration::from_millis(5));
    let client = ctx.connect_with(config).await?;
    let direct = ctx.connect([server.client_url()]).await?;
    let mut watch = client.watch(prefix("k/")).prev_kv().without_puts().await?;
    let before = bridge.connections().accepted;
    let mut seen = Expiries { expiries: times, ..Expiries::default() };
    let mut random = 1u64;
    for n in 0..times {
        // A lease that runs out takes a second at least; one that is revoked does the same.
        let lease = write(&direct, n == 0).await?;
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let after = (random >> 33) % EXPIRY_BYTES;
        let newest = bridge.relays().pop().ok_or("no connection")?;
        let fault = Fault::new().cut(after, Cut::Reset);
        bridge.set_fault(Relays::One(newest), [Direction::Down], fault);
        if n > 0 {
            direct.rpc(pb::LeaseRevokeRequest { id: lease }).await?;
        }
        let batch = next(ctx, &mut watch).await?;
        let is_whole = batch.events.len() == KEYS && batch.revisions().count() == 1;
        let token = batch.resume_token().revision;
        if !is_whole || token != batch.events[0].revision() + 1 {
            seen.torn += 1;
        }
    }
    seen.cut = bridge.connections().accepted - before;
    Ok(seen)
}

async fn next(ctx: &Ctx, watch: &mut Watch) -> Result<WatchBatch, BoxError> {
    let batch = ctx.within(LIMIT, watch.next()).await.ok_or("nothing comes")?;
    Ok(batch.ok_or("it has ended")??)
}

/// Writes the keys with a lease; one that runs out soon, or one that waits to be revoked.
async fn write(client: &Client, runs_out: bool) -> Result<i64, Error> {
    let ttl = if runs_out { 3 } else { 600 };
    let lease = client.rpc(pb::LeaseGrantRequest { ttl, id: 0 }).await?.id;
    for first in (0..KEYS).step_by(KEYS_OF_A_TXN) {
        let put = |n| put(format!("k/{n:03}"), vec![b'v'; VALUE]).lease(lease);
        client.txn().then((first..first + KEYS_OF_A_TXN).map(put)).await?;
    }
    Ok(lease)
}
