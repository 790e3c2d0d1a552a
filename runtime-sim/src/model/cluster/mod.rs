//! Several members with one log, in virtual time, with faults.
//!
//! ```text
//!                    submit                       in order, in its own time
//!  client ──▶ member ──────▶ leader's tail ──▶ log ──────▶ replica of each member
//!     ▲          │  timeout         │ commit, by a quorum     │
//!     └──────────┴──────────────────┴─────────────────────────┘
//!       answer, of the member that was asked, once it has applied the entry
//! ```
//!
//! [`Cluster::poll`] makes everything happen that is due, each thing at its own time, so that it
//! makes no difference how often it is called; [`Cluster::next_deadline`] says when there is
//! something next. Members can be killed, paused and cut off at any time. A request of a member
//! that is killed is never answered: whoever serves the connection closes it.

mod answers;
mod calls;
mod config;
mod faults;
mod log;
mod member;
mod past;
mod streams;

use super::lease::min_ttl;
use super::personality::Personality;
use super::replica::Replica;
use super::rpc::{Request, RpcResult};
use calls::Pending;
pub use config::{ClusterConfig, Delays, MemberConfig};
use etcd3::Status;
use etcd3::proto::etcdserverpb::WatchResponse;
use etcd3::proto::mvccpb::Event;
use etcd3::runtime::Instant;
use etcd3_core::rng::Rng;
use log::{Entry, Proposal};
use member::{Member, Power};
pub use past::LeaseEnd;
use past::Past;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use streams::Stream;
pub use streams::StreamOptions;

/// A request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// An open watch stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u64);

/// A request to a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The member that is asked.
    pub member: u64,
    /// What for.
    pub request: Request,
    /// The token in the metadata of the call.
    pub token: Option<String>,
    /// Whether the metadata asks for a leader (`hasleader`).
    pub requires_leader: bool,
}

impl Call {
    /// A call without metadata.
    pub fn new(member: u64, request: impl Into<Request>) -> Self {
        Self { member, request: request.into(), token: None, requires_leader: false }
    }

    /// Adds a token.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Asks for a leader.
    #[must_use]
    pub fn with_leader(mut self) -> Self {
        self.requires_leader = true;
        self
    }
}

/// What comes out of a cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// A request is answered.
    Answer(Ticket, RpcResult),
    /// The next message of a watch stream.
    Watch(StreamId, WatchResponse),
    /// A watch stream is over.
    WatchEnd(StreamId, Status),
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    config: ClusterConfig,
    id: u64,
    rng: Rng,
    /// Up to when everything has happened.
    now: Instant,
    members: BTreeMap<u64, Member>,
    /// What is committed.
    log: Vec<Entry>,
    /// What is not yet.
    tail: VecDeque<Proposal>,
    past: Past,
    leader: Option<u64>,
    term: u64,
    quorum_lost_at: Option<Instant>,
    election_due: Option<Instant>,
    /// Leases whose end the leader has proposed already.
    expiring: BTreeSet<i64>,
    /// Numbers for tickets and streams.
    next: u64,
    pending: BTreeMap<Ticket, Pending>,
    streams: BTreeMap<StreamId, Stream>,
    outputs: Vec<Output>,
}

impl Cluster {
    /// Makes a cluster of so many voters, with etcd's defaults. One of them leads already.
    #[must_use]
    pub fn new(members: usize, personality: Personality, seed: u64) -> Self {
        Self::with_config(ClusterConfig::new(members, personality, seed))
    }

    /// Makes a cluster. The first voter leads.
    #[must_use]
    pub fn with_config(config: ClusterConfig) -> Self {
        let mut rng = Rng::new(config.seed);
        let id = rng.next_u64();
        let min_ttl = min_ttl(config.election_timeout);
        let replica =
            Replica::new(config.personality, min_ttl, config.token_ttl, config.quota_bytes);
        let members: Vec<_> = config
            .members
            .iter()
            .map(|member| Member::new(rng.next_u64().max(1), member.clone(), replica.clone()))
            .collect();
        let leader = members.iter().find(|member| member.votes()).map(|member| member.id);
        let mut cluster = Self {
            config,
            id,
            rng,
            now: Instant::ORIGIN,
            members: members.into_iter().map(|member| (member.id, member)).collect(),
            log: Vec::new(),
            tail: VecDeque::new(),
            past: Past::default(),
            leader,
            term: 2,
            quorum_lost_at: None,
            election_due: None,
            expiring: BTreeSet::new(),
            next: 0,
            pending: BTreeMap::new(),
            streams: BTreeMap::new(),
            outputs: Vec::new(),
        };
        if let Some(member) = leader.and_then(|leader| cluster.members.get_mut(&leader)) {
            member.replica.store_mut().leases.promote(Instant::ORIGIN, Duration::ZERO);
        }
        cluster.survey(Instant::ORIGIN);
        cluster
    }

    /// Returns what the cluster is made of.
    #[must_use]
    pub fn config(&self) -> &ClusterConfig {
        &self.config
    }

    /// Returns the cluster's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns the ids of the members, in order of the ids.
    #[must_use]
    pub fn member_ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    /// How a member was configured.
    #[must_use]
    pub fn member(&self, id: u64) -> Option<&MemberConfig> {
        self.members.get(&id).map(|member| &member.config)
    }

    /// Returns what a member has stored.
    #[must_use]
    pub fn replica(&self, member: u64) -> Option<&Replica> {
        self.members.get(&member).map(|member| &member.replica)
    }

    /// Returns whether a member has come to the entry of the log that made this token. Before that
    /// a server lets a request wait.
    // A8
    #[must_use]
    pub fn has_reached(&self, member: u64, token: &str) -> bool {
        let made_at = token.rsplit_once('.').and_then(|(_, index)| index.parse::<u64>().ok());
        let applied = self.members.get(&member).map(|it| self.index(it.applied) - 1);
        made_at.zip(applied).is_none_or(|(made_at, applied)| made_at <= applied)
    }

    /// Returns all changes that any member has applied, in order, what has been compacted included.
    #[must_use]
    pub fn changes(&self) -> &[Event] {
        &self.past.events
    }

    /// Returns the revisions of all compactions that any member has applied, in order.
    #[must_use]
    pub fn compactions(&self) -> &[i64] {
        &self.past.compactions
    }

    /// Returns how leases ended, in order, as the members noted it that were the first to know.
    #[must_use]
    pub fn lease_ends(&self) -> &[LeaseEnd] {
        &self.past.lease_ends
    }

    /// Returns the leader, even if nobody reaches it.
    #[must_use]
    pub fn leader(&self) -> Option<u64> {
        self.leader
    }

    /// Returns the raft term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Number of requests that are not answered yet.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Lets everything happen that is due, and returns what came out, in order.
    pub fn poll(&mut self, now: Instant) -> Vec<Output> {
        self.advance(now);
        std::mem::take(&mut self.outputs)
    }

    /// Returns when to poll next, if nothing goes in before; `None` when nothing will ever happen.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.outputs.is_empty() { self.next_event() } else { Some(self.now) }
    }

    /// Returns the next point in time at which something happens. What is due and has not happened
    /// yet waits for something else.
    fn next_event(&self) -> Option<Instant> {
        let appliers = self.members.values().filter(|m| m.is_up()).filter_map(|m| m.apply_due);
        let pending = self.pending.values().flat_map(|pending| self.pending_times(pending));
        let streams = self.streams.iter().filter_map(|(id, stream)| self.stream_due(*id, stream));
        let times = [self.commit_due(), self.step_down_due(), self.election_due, self.lease_due()];
        let times = times.into_iter().flatten();
        let times = times.chain(appliers).chain(pending).chain(streams);
        times.filter(|time| *time > self.now).min()
    }

    /// Settles one event after the other until `now`.
    fn advance(&mut self, now: Instant) {
        while let Some(due) = self.next_event().filter(|due| *due < now) {
            self.settle(due);
        }
        self.settle(now);
    }

    /// Does all there is to do at one point in time.
    fn settle(&mut self, now: Instant) {
        self.now = self.now.max(now);
        let now = self.now;
        loop {
            let mut has_moved = false;
            if self.step_down_due().is_some_and(|due| due <= now) {
                self.step_down();
                has_moved = true;
            }
            if self.election_due.is_some_and(|due| due <= now) {
                self.elect(now);
                has_moved = true;
            }
            has_moved |= self.expire_leases(now);
            has_moved |= self.commit(now);
            has_moved |= self.spread(now);
            has_moved |= self.move_pending(now);
            if !has_moved {
                break;
            }
        }
        self.drain_streams(now);
    }

    /// Proposes the end of leases that have run out, on the ticks of the leader.
    // L6
    fn expire_leases(&mut self, now: Instant) -> bool {
        if self.lease_due().is_none_or(|due| due > now) {
            return false;
        }
        let Some(leader) = self.leader else { return false };
        let leases = self.members[&leader].replica.store().leases();
        let is_new = |(id, since): &(i64, Instant)| *since <= now && !self.expiring.contains(id);
        let expired: Vec<_> = leases.expiries().filter(is_new).collect();
        for (lease, since) in &expired {
            self.expiring.insert(*lease);
            let (lease, since, term) = (*lease, *since, self.term);
            let command = log::Command::Expire { lease, since, term };
            self.append(now, Entry { ticket: None, caller: None, command });
        }
        !expired.is_empty()
    }

    /// Returns the next tick of the leader at which a lease has run out.
    fn lease_due(&self) -> Option<Instant> {
        let leader = self.leader.filter(|leader| self.has_quorum(*leader))?;
        let leases = self.members[&leader].replica.store().leases();
        let pending = leases.expiries().filter(|(id, _)| !self.expiring.contains(id));
        let expiry = pending.map(|(_, expiry)| expiry).min()?;
        let tick = u64::try_from(self.config.lease_tick.as_nanos()).unwrap_or(u64::MAX).max(1);
        Some(Instant::from_nanos(expiry.as_nanos().div_ceil(tick).saturating_mul(tick)))
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}
