//! The members of a cluster, and how fast it is.

use crate::model::personality::Personality;
use crate::model::watch::WatchConfig;
use etcd3_core::rng::Rng;
use std::time::Duration;

/// One member, as `MemberList` tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberConfig {
    /// The name.
    pub name: String,
    /// Where other members would reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// A learner has no vote and serves almost nothing.
    // M13
    pub is_learner: bool,
}

/// How long things take: each time is drawn between two bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    /// From a proposal until it is committed.
    pub commit: (Duration, Duration),
    /// From a commit until a member applies it.
    pub apply: (Duration, Duration),
    /// For a linearizable read to ask the leader, and for a lease to be renewed.
    pub read: (Duration, Duration),
    /// From the registration of a watcher until its created message is sent.
    // H1
    pub created: (Duration, Duration),
}

impl Default for Delays {
    /// A fast network: a millisecond or two for each step.
    fn default() -> Self {
        let some = (Duration::from_micros(200), Duration::from_millis(2));
        Self { commit: some, apply: (Duration::ZERO, some.1), read: some, created: some }
    }
}

impl Delays {
    /// Everything happens at once.
    pub const NONE: Self = Self {
        commit: (Duration::ZERO, Duration::ZERO),
        apply: (Duration::ZERO, Duration::ZERO),
        read: (Duration::ZERO, Duration::ZERO),
        created: (Duration::ZERO, Duration::ZERO),
    };
}

/// Draws a time between two bounds, both included.
pub(super) fn draw(rng: &mut Rng, bounds: (Duration, Duration)) -> Duration {
    let spread = bounds.1.saturating_sub(bounds.0).as_nanos();
    let spread = u64::try_from(spread).unwrap_or(u64::MAX);
    bounds.0 + Duration::from_nanos(rng.below(spread.saturating_add(1)))
}

/// What a cluster is made of. Defaults are those of etcd.
#[derive(Debug, Clone)]
pub struct ClusterConfig {
    /// The members, three voters by default.
    pub members: Vec<MemberConfig>,
    /// The version of all members.
    pub personality: Personality,
    /// The seed of every time and number that is drawn.
    pub seed: u64,
    /// `--election-timeout`, one second.
    pub election_timeout: Duration,
    /// `--max-request-bytes`, 1.5 MiB.
    // C40
    pub max_request_bytes: usize,
    /// `--max-txn-ops`, 128.
    // K31
    pub max_txn_ops: usize,
    /// `--max-concurrent-streams`, unlimited.
    // C44
    pub max_concurrent_streams: Option<u32>,
    /// `--strict-reconfig-check`, on.
    // M14
    pub strict_reconfig: bool,
    /// `--max-learners`, one.
    // M13
    pub max_learners: usize,
    /// How long the members have been connected when the cluster begins, an hour: they refuse to
    /// change the membership in the first five seconds.
    // M14
    pub age: Duration,
    /// `--quota-backend-bytes`; `None` for no limit. The size of the store is only estimated.
    pub quota_bytes: Option<u64>,
    /// `--auth-token-ttl`, 300 seconds.
    // A8
    pub token_ttl: Duration,
    /// How often the leader looks for leases that have run out; 500 ms.
    pub lease_tick: Duration,
    /// The number of entries that a member may be behind before it gets a snapshot instead of them;
    /// 5000.
    pub snapshot_gap: usize,
    /// Sizes and times of watch streams.
    pub watch: WatchConfig,
    /// How long things take.
    pub delays: Delays,
}

impl ClusterConfig {
    /// Returns the defaults of etcd, for so many voters.
    #[must_use]
    pub fn new(members: usize, personality: Personality, seed: u64) -> Self {
        let member = |n: usize| MemberConfig {
            name: format!("member-{n}"),
            peer_urls: vec![format!("http://member-{n}:2380")],
            client_urls: vec![Self::client_url(n)],
            is_learner: false,
        };
        Self {
            members: (0..members).map(member).collect(),
            personality,
            seed,
            election_timeout: Duration::from_secs(1),
            max_request_bytes: 1536 * 1024,
            max_txn_ops: 128,
            max_concurrent_streams: None,
            strict_reconfig: true,
            max_learners: 1,
            age: Duration::from_secs(3600),
            quota_bytes: None,
            token_ttl: Duration::from_secs(300),
            lease_tick: Duration::from_millis(500),
            snapshot_gap: 5000,
            watch: WatchConfig::default(),
            delays: Delays::default(),
        }
    }

    /// Returns where clients reach a member, unless it is told otherwise.
    pub(crate) fn client_url(member: usize) -> String {
        format!("http://member-{member}:2379")
    }

    /// Returns how long a member waits for the cluster before it gives up on a request: 5 s and two
    /// election timeouts.
    // C49
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_secs(5) + 2 * self.election_timeout
    }
}
