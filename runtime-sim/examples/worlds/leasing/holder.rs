//! Somebody who holds one lease after the other.

use super::{Handle, Leasing, SETTLE, TTL, locked};
use etcd3::runtime::{Instant, Runtime};
use etcd3::{Client, Error, Lease, LeaseId, LeaseStatus, LossReason, ServerError};
use etcd3_core::rng::Rng;
use etcd3_sim::Host;
use etcd3_sim::history::lease::{Recorder, Sample, Status};
use etcd3_sim::trace::{CallEnd, OpenCall};
use futures_lite::FutureExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest that a lease is held while things go wrong, in milliseconds.
const HELD_MS: u64 = 25_000;

pub(super) struct Holder {
    pub(super) all: Leasing,
    pub(super) host: Host,
    pub(super) lane: Host,
    pub(super) client: Client,
    pub(super) number: u32,
    pub(super) name: String,
    pub(super) rng: Rng,
}

impl Holder {
    /// Holds leases until one of them was held to the end, after all has been well for a while.
    pub(super) async fn run(mut self) -> Result<(), String> {
        for life in 1.. {
            let was_well = self.is_settled();
            let begun = self.begin().await;
            self.count(begun.is_ok());
            let lease = match begun {
                Ok(lease) => lease,
                Err(error) => {
                    self.check_error(&error, was_well)?;
                    self.pause(500).await;
                    continue;
                }
            };
            self.all.share(lease.id().0);
            let handle = self.register(&lease, life);
            let is_last = self.hold(&lease, &handle).await;
            self.end(lease, &handle).await;
            if is_last {
                break;
            }
            self.pause(1_000).await;
        }
        Ok(())
    }

    /// Returns whether everything has been well for a while.
    fn is_settled(&self) -> bool {
        self.all.healed().is_some_and(|healed| healed + SETTLE <= self.all.world.now())
    }

    /// An error that nothing explains is a problem.
    fn check_error(&self, error: &Error, was_well: bool) -> Result<(), String> {
        // Ids are drawn among 2^63, and repeated by the client alone, which knows its own.
        let is_taken = error.server_error() == Some(ServerError::LeaseExist);
        if is_taken || (was_well && !error.is_lease_not_found()) {
            return Err(format!("{} does not begin: {}", self.name, error.report()));
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<Lease, Error> {
        let (shortest, longest) = (TTL.start() * 1_000, TTL.end() * 1_000);
        let ttl = Duration::from_millis(shortest + self.rng.below(longest - shortest));
        let known = self.all.any_shared(&mut self.rng);
        match (self.rng.below(10), known) {
            (0..=2, Some(id)) => {
                let lease = self.client.keep_alive(LeaseId(id)).await?;
                self.all.found().tally.shared += 1;
                Ok(lease)
            }
            (3, _) => {
                let id = self.client.grant(ttl).await?.id;
                self.client.keep_alive(id).await
            }
            _ => self.client.lease(ttl).await,
        }
    }

    /// Begins to note what a handle says by itself.
    fn register(&self, lease: &Lease, life: u32) -> Handle {
        let name = format!("{}.{life}", self.name);
        let recorder = Arc::new(Mutex::new(Recorder::new(name, lease.id().0, lease.ttl())));
        let handle = Handle { client: self.number, recorder };
        self.all.found().handles.push(handle.clone());
        let (mut changes, loss) = (lease.status_changes(), lease.lost());
        let (all, recorder) = (self.all.clone(), Arc::clone(&handle.recorder));
        let (lane, id, name) = (self.lane.clone(), lease.id(), self.name.clone());
        self.host.spawn(async move {
            let mut bar: Option<OpenCall> = None;
            let mut last = None;
            while let Some(status) = changes.next().await {
                let status = self::status(&status);
                locked(&recorder).told(all.world.now(), Some(status));
                end_bar(bar.take(), last);
                if status.is_valid() {
                    bar = Some(lane.begin_call(format_args!("{id} {status:?}")));
                }
                last = Some(status);
            }
            end_bar(bar, last);
            locked(&recorder).told(all.world.now(), None);
            let reason = Status::Lost(loss.await.reason);
            if last != Some(reason) {
                let problem = format!("{name}: its changes end with {last:?}, {reason:?} is told");
                all.found().problems.push(problem);
            }
        });
        handle
    }

    /// Uses a lease for a while, asking it again and again; returns whether that was the last one.
    async fn hold(&mut self, lease: &Lease, handle: &Handle) -> bool {
        let all = self.all.clone();
        let world = &all.world;
        let mut until = world.now() + Duration::from_millis(self.rng.below(HELD_MS));
        let ends_early = self.rng.below(3) > 0;
        let sampler = Sampler { all: all.clone(), host: self.host.clone(), handle: handle.clone() };
        let (mut sampling, mut pace) = (sampler, Rng::new(self.rng.next_u64()));
        let sample = async {
            loop {
                sampling.sample(lease);
                world.sleep(Duration::from_millis(50 + pace.below(50))).await;
            }
        };
        let work = async {
            let mut is_last = false;
            loop {
                if let Some(healed) = all.healed()
                    && !is_last
                {
                    // Long enough for two renewals.
                    is_last = true;
                    until = healed.max(world.now()) + SETTLE + lease.ttl();
                }
                if world.now() >= until && (is_last || ends_early) || !lease.is_valid() {
                    return is_last && lease.is_valid();
                }
                self.pause(1_000).await;
                if !is_last {
                    self.use_once(lease).await;
                }
            }
        };
        work.or(async {
            sample.await;
            false
        })
        .await
    }

    /// Does something with a lease, or with one of somebody else.
    async fn use_once(&mut self, lease: &Lease) {
        let id = lease.id();
        let result = match self.rng.below(16) {
            0..=2 => self.client.put(self.key(), "held").lease(id).await.map(drop),
            3 => self.client.keep_alive_once(id).await.map(drop),
            4 => self.client.time_to_live(id).await.map(drop),
            5 if self.rng.below(3) == 0 => {
                let Some(other) = self.all.any_shared(&mut self.rng) else { return };
                // Those of this client that have it are told so.
                self.give_up(LeaseId(other), LossReason::Revoked);
                self.client.revoke(LeaseId(other)).await.map(drop)
            }
            _ => return,
        };
        self.count(result.is_ok());
    }

    /// Lets go of a lease, in one of the ways that there are.
    async fn end(&mut self, lease: Lease, handle: &Handle) {
        match self.rng.below(5) {
            0 => {
                self.give_up(lease.id(), LossReason::Revoked);
                let result = lease.revoke().await;
                self.count(result.is_ok());
                // Valid for nobody, whatever became of the request.
                if lease.is_valid() {
                    let problem = format!("{} is valid after it was revoked", self.name);
                    self.all.found().problems.push(problem);
                }
            }
            1 => {
                self.give_up(lease.id(), LossReason::Orphaned);
                lease.orphan();
            }
            2 => {
                locked(&handle.recorder).give_up(LossReason::Orphaned);
                self.give_up(lease.id(), LossReason::Revoked);
                drop(lease.revoke_on_drop());
            }
            // Held until the client is closed.
            3 if self.all.healed().is_some() => self.all.found().kept.push(lease),
            _ => {
                locked(&handle.recorder).give_up(LossReason::Orphaned);
                drop(lease.clone());
                drop(lease);
            }
        }
    }

    fn give_up(&self, lease: LeaseId, reason: LossReason) {
        let mut found = self.all.found();
        found.given_up.entry((self.number, lease.0)).or_default().push(reason);
    }

    fn key(&self) -> String {
        format!("leased/{}", self.name)
    }

    fn count(&self, is_ok: bool) {
        let mut found = self.all.found();
        found.tally.calls += 1;
        found.tally.failed += u64::from(!is_ok);
    }

    async fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(1 + self.rng.below(most_ms));
        self.all.world.sleep(pause).await;
    }
}

/// Asks a handle how it does.
struct Sampler {
    all: Leasing,
    host: Host,
    handle: Handle,
}

impl Sampler {
    fn sample(&mut self, lease: &Lease) {
        let rt = self.host.runtime();
        let at: Instant = self.all.world.now();
        let valid_until = at + lease.valid_until().saturating_since(rt.now());
        let status = status(&lease.status());
        let expiry = self.all.etcd.lease_expiry(lease.id().0);
        locked(&self.handle.recorder).sample(Sample { at, valid_until, status, expiry });
        if lease.is_valid() != status.is_valid() || (status.is_valid() && valid_until <= at) {
            let problem = format!("{lease:?} disagrees at {at:?}: {valid_until:?}, {status:?}");
            self.all.found().problems.push(problem);
        }
    }
}

fn status(status: &LeaseStatus) -> Status {
    match status {
        LeaseStatus::Late { .. } => Status::Late,
        LeaseStatus::Lost(lost) => Status::Lost(lost.reason),
        _ => Status::Ok,
    }
}

fn end_bar(bar: Option<OpenCall>, status: Option<Status>) {
    let Some(bar) = bar else { return };
    match status {
        Some(Status::Ok) => bar.end(CallEnd::Completed, ""),
        _ => bar.end(CallEnd::Error, "late"),
    }
}
