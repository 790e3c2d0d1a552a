//! Changes of the keys that are watched: single ones, many of one revision, and leases that end.

use super::{KEYS, PREFIX, PREFIX_END, Watching, choose, millis};
use etcd3::proto::etcdserverpb::LeaseGrantRequest;
use etcd3::{Client, Error, KeyRange, LeaseId, Op, delete, put};
use etcd3_core::rng::Rng;

pub(super) struct Churn {
    pub(super) all: Watching,
    pub(super) client: Client,
}

impl Churn {
    pub(super) async fn run(self, mut rng: Rng) {
        while !self.all.is_calm() {
            self.all.world.sleep(millis(&mut rng, 600)).await;
            // Whether it was done or not, the store tells.
            let _ = self.change(&mut rng).await;
        }
        self.all.found().churning -= 1;
    }

    async fn change(&self, rng: &mut Rng) -> Result<(), Error> {
        let key = |rng: &mut Rng| format!("{PREFIX}{:02}", rng.below(KEYS));
        let value = "x".repeat(usize::try_from(choose(rng, &[3, 40, 900])).unwrap_or_default());
        match rng.below(10) {
            0..=3 => self.client.put(key(rng), value).await.map(drop),
            4 | 5 => self.client.delete(key(rng)).await.map(drop),
            6 => {
                let some = KeyRange::from_wire(key(rng).into_bytes(), PREFIX_END);
                self.client.delete(some).await.map(drop)
            }
            7 => {
                let at = rng.below(KEYS - 6);
                let op = |at: u64| {
                    let key = format!("{PREFIX}{at:02}");
                    if at.is_multiple_of(3) {
                        Op::from(delete(key))
                    } else {
                        put(key, value.as_str()).into()
                    }
                };
                self.client.txn().then((at..at + 6).map(op)).await.map(drop)
            }
            8 => {
                let granted = self.client.rpc(LeaseGrantRequest { ttl: 2, id: 0 }).await?;
                let lease = LeaseId(granted.id);
                for _ in 0..3 {
                    self.client.put(key(rng), "leased").lease(lease).await?;
                }
                Ok(())
            }
            _ => self.client.put("other", value).await.map(drop),
        }
    }
}
