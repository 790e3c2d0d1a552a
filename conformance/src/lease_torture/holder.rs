//! Those who hold leases, and what they are told of them.

use super::observer::{Observer, PREFIX};
use crate::JoinHandle;
use crate::load::{BlockingRuntime, Error, pause, spawn};
use etcd3::runtime::{Instant, Runtime};
use etcd3::{Client, Lease, LeaseLost, LeaseStatus, LossReason};
use futures_lite::FutureExt;
use futures_lite::future::block_on;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The time to live of all leases.
pub(super) const TTL: Duration = Duration::from_secs(5);
/// The time between two looks at a lease of which nothing is told.
const LOOK: Duration = Duration::from_millis(50);

/// One lease, with one key.
pub(super) struct Holder {
    pub(super) key: String,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// What was told of a lease.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The last look: until when the lease is valid.
    pub(super) valid_until: Instant,
    /// How often that moment moved on.
    pub(super) renewals: u64,
    /// The least time that a look has seen before that moment.
    pub(super) least_left: Duration,
    /// How often it was late.
    pub(super) late: u32,
    pub(super) is_late: bool,
    /// When it was told to be lost, and why.
    pub(super) lost: Option<(Instant, LossReason)>,
    /// Whether it was said to be valid afterwards.
    pub(super) is_revived: bool,
    /// Whether it is not looked at any more.
    pub(super) is_over: bool,
}

impl Told {
    pub(super) fn new(valid_until: Instant) -> Self {
        Self {
            valid_until,
            renewals: 0,
            least_left: TTL,
            late: 0,
            is_late: false,
            lost: None,
            is_revived: false,
            is_over: false,
        }
    }
}

impl Holder {
    /// Has a lease granted and kept alive, and attaches a key to it.
    pub(super) async fn begin(
        rt: Arc<dyn Runtime>,
        client: Client,
        observer: Observer,
        number: u64,
    ) -> Result<Self, Error> {
        let lease = client.lease(TTL).await?;
        let key = format!("{PREFIX}{number}");
        let put = client.put(&key, "").lease(lease.id()).await?;
        observer.expect(key.clone(), put.header.revision);
        let told = Arc::new(Mutex::new(Told::new(lease.valid_until())));
        let follow = follow(Arc::clone(&rt), lease, Arc::clone(&told));
        Ok(Self { key, told, task: spawn(&rt, follow) })
    }

    /// Begins so many, each with one of the clients.
    pub(super) fn begin_all(
        runtime: &BlockingRuntime,
        clients: &[Client],
        observer: &Observer,
        numbers: std::ops::Range<u64>,
    ) -> Result<Vec<Self>, Error> {
        let begun: Vec<_> = numbers
            .zip(clients.iter().cycle())
            .map(|(number, client)| {
                let (rt, client) = (Arc::clone(&runtime.rt), client.clone());
                runtime.spawn(Self::begin(rt, client, observer.clone(), number))
            })
            .collect();
        begun.into_iter().map(block_on).collect()
    }

    pub(super) fn told(&self) -> Told {
        lock(&self.told).clone()
    }

    /// Gives the lease up, and returns what was told of it.
    pub(super) fn end(self) -> Told {
        lock(&self.told).is_over = true;
        block_on(self.task);
        lock(&self.told).clone()
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what is told of a lease, and what a look at it shows, until that is to end.
async fn follow(rt: Arc<dyn Runtime>, lease: Lease, told: Arc<Mutex<Told>>) {
    let mut changes = lease.status_changes();
    while !lock(&told).is_over {
        let next = async { Some(changes.next().await) };
        let look = async {
            pause(&rt, LOOK).await;
            None
        };
        let change = next.or(look).await;
        let is_ended = matches!(change, Some(None));
        note(&rt, &lease, change.as_ref().and_then(Option::as_ref), &told);
        if is_ended {
            // The stream is at its end, and says so at once.
            pause(&rt, LOOK).await;
        }
    }
}

fn note(rt: &Arc<dyn Runtime>, lease: &Lease, change: Option<&LeaseStatus>, told: &Mutex<Told>) {
    // In this order: what is valid now was so before the clock was read.
    let is_valid = lease.is_valid();
    let until = lease.valid_until();
    let now = rt.now();
    let mut told = lock(told);
    match change {
        Some(LeaseStatus::Lost(LeaseLost { reason, .. })) => {
            told.lost.get_or_insert((now, *reason));
        }
        Some(LeaseStatus::Late { .. }) => {
            told.late += u32::from(!told.is_late);
            told.is_late = true;
        }
        Some(_) => told.is_late = false,
        None => {}
    }
    if told.lost.is_some() {
        told.is_revived |= is_valid;
        return;
    }
    if until > told.valid_until {
        told.valid_until = until;
        told.renewals += 1;
    }
    told.least_left = told.least_left.min(until.saturating_since(now));
}
