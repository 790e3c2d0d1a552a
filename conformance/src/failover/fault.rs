//! What is done to a member.

use etcd3_lab::{Cluster, Result};
use std::fmt;

/// What happens to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemberFault {
    /// `SIGKILL`, and a restart after six seconds, once the client is calm.
    Kill,
    /// `SIGSTOP` for fourteen seconds.
    Stop,
    /// No connection to the other members for fourteen seconds; clients still reach it.
    Partition,
}

/// Whether the member leads when the fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It does.
    Leader,
    /// Another one does.
    Follower,
}

impl Role {
    /// Returns a member that has this role in a cluster with that leader.
    pub(crate) fn member(self, cluster: &Cluster, leader: usize) -> usize {
        match self {
            Self::Leader => leader,
            Self::Follower => (leader + 1) % cluster.len(),
        }
    }
}

impl MemberFault {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Kill, Self::Stop, Self::Partition];

    /// Begins it.
    pub(crate) fn begin(self, cluster: &Cluster, member: usize) -> Result<()> {
        match self {
            Self::Kill => cluster.member(member).kill(),
            Self::Stop => cluster.member(member).stop(),
            Self::Partition => cluster.partition(member),
        }
    }

    /// Ends it; partitions all end together.
    pub(crate) fn end(self, cluster: &Cluster, member: usize) -> Result<()> {
        match self {
            Self::Kill => cluster.member(member).restart(),
            Self::Stop => cluster.member(member).cont(),
            Self::Partition => cluster.heal(),
        }
    }
}

impl fmt::Display for MemberFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Partition => "partition",
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        })
    }
}

/// A fault, and the member that it hit.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) fault: MemberFault,
    pub(super) member: usize,
    pub(super) role: Role,
    /// Whether the client read from the member right before.
    pub(super) used: bool,
    /// The member's address for clients.
    pub(super) url: String,
}
