//! One member of the cluster.

use super::config::MemberConfig;
use crate::model::replica::Replica;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;

/// Whether the process of a member runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Up,
    /// Stopped, as by SIGSTOP: it keeps its connections and says nothing.
    Paused,
    Down,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) config: MemberConfig,
    pub(super) power: Power,
    /// The side of a partition; members reach those of the same side only.
    pub(super) side: u64,
    pub(super) replica: Replica,
    /// How many entries of the log it knows to be committed.
    pub(super) known: usize,
    /// How many it has applied.
    pub(super) applied: usize,
    /// When it applies those that it knows.
    pub(super) apply_due: Option<Instant>,
    /// It applies nothing for now.
    pub(super) is_held: bool,
    /// What it has not applied yet comes as a snapshot.
    pub(super) by_snapshot: bool,
    /// The leader that it knew last, and since when it has had no news of it.
    pub(super) leader: Option<u64>,
    pub(super) lost_leader_at: Option<Instant>,
    pub(super) term: u64,
    /// It belongs to the cluster no more.
    pub(super) is_removed: bool,
    /// When its process ends, if it was removed.
    pub(super) stop_due: Option<Instant>,
    /// Since when it has heard from the leader.
    pub(super) in_touch_since: Option<Instant>,
}

impl Member {
    pub(super) fn new(id: u64, config: MemberConfig, replica: Replica) -> Self {
        Self {
            id,
            config,
            power: Power::Up,
            side: 0,
            replica,
            known: 0,
            applied: 0,
            apply_due: None,
            is_held: false,
            by_snapshot: false,
            leader: None,
            lost_leader_at: None,
            term: 0,
            is_removed: false,
            stop_due: None,
            in_touch_since: None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.power == Power::Up
    }

    pub(super) fn votes(&self) -> bool {
        !self.config.is_learner && !self.is_removed
    }

    /// Tells whether it was ever started.
    // M12
    pub(super) fn is_started(&self) -> bool {
        !self.config.name.is_empty()
    }

    /// Tells whether two members reach each other.
    pub(super) fn reaches(&self, other: &Self) -> bool {
        let is_member = !self.is_removed && !other.is_removed;
        is_member && self.is_up() && other.is_up() && self.side == other.side
    }

    pub(super) fn listed(&self) -> pb::Member {
        pb::Member {
            id: self.id,
            name: self.config.name.clone(),
            peer_urls: self.config.peer_urls.clone(),
            client_urls: self.config.client_urls.clone(),
            is_learner: self.config.is_learner,
        }
    }
}
