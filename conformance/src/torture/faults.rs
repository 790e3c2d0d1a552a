//! What goes wrong in a torture, and how it ends again.

use super::board::{Board, choose};
use crate::load::{BlockingRuntime, Error, pause};
use etcd3::Client;
use etcd3::proto::etcdserverpb::MoveLeaderRequest;
use etcd3_core::rng::Rng;
use etcd3_lab::{Bridge, Cluster, Cut, Direction, Fault, Relays, until};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

/// The longest that a fault of a member lasts, so that it is over when the next one begins.
const LONGEST_MS: u64 = 1_700;
/// How long a snapshot may take to be needed and sent.
const SNAPSHOT_LIMIT: Duration = Duration::from_secs(60);

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// A member is killed and started again.
    Kill,
    /// A member is frozen for a while.
    Stop,
    /// A member is cut off from the others, by resets; clients reach it.
    Partition,
    /// The connections of all watches with a member are reset, some of them amid the bytes.
    Cut,
    /// What passes between all watches and a member disappears for a while.
    BlackHole,
    /// History is compacted.
    Compaction,
    /// Another member is made the leader.
    MoveLeader,
    /// What a member and the others send each other disappears for a second.
    // ROB-018
    PeerSilence,
    /// What a member and the others send each other comes late for a second.
    // ROB-020
    PeerDelay,
    /// A member is cut off until it needs a snapshot.
    // ROB-019
    UntilSnapshot,
}

impl Trouble {
    /// What is drawn from in a torture of three members.
    pub const DRAWN: [Self; 7] = [
        Self::Kill,
        Self::Stop,
        Self::Partition,
        Self::Cut,
        Self::BlackHole,
        Self::Compaction,
        Self::MoveLeader,
    ];
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Partition => "partition",
            Self::Cut => "cut",
            Self::BlackHole => "black hole",
            Self::Compaction => "compaction",
            Self::MoveLeader => "leader moved",
            Self::PeerSilence => "silent peers",
            Self::PeerDelay => "slow peers",
            Self::UntilSnapshot => "cut off until a snapshot",
        })
    }
}

/// A cluster with all there is to break.
pub(super) struct Site<'a> {
    pub(super) runtime: &'a BlockingRuntime,
    pub(super) cluster: &'a Cluster,
    /// Before each member, for the watches.
    pub(super) bridges: &'a [Bridge],
    pub(super) admin: &'a Client,
    pub(super) board: &'a Board,
    pub(super) counts: BTreeMap<Trouble, usize>,
    /// Black holes, and when they end.
    pub(super) holes: Vec<(usize, Instant)>,
}

impl Site<'_> {
    /// Makes one fault and ends it, but for black holes, which outlast others.
    pub(super) fn play(&mut self, trouble: Trouble, rng: &mut Rng) -> Result<(), Error> {
        *self.counts.entry(trouble).or_default() += 1;
        let members = self.cluster.len();
        let at = choose(rng, &(0..members).collect::<Vec<_>>());
        let some = Duration::from_millis(300 + rng.below(LONGEST_MS - 300));
        let member = self.cluster.member(at);
        match trouble {
            Trouble::Kill => {
                member.kill()?;
                std::thread::sleep(some / 2);
                member.launch(&[])?;
            }
            Trouble::Stop => {
                member.stop()?;
                std::thread::sleep(some);
                member.cont()?;
            }
            Trouble::Partition => {
                self.cluster.partition(at)?;
                std::thread::sleep(some);
                self.cluster.heal()?;
            }
            Trouble::Cut => self.cut(at, rng),
            Trouble::BlackHole => {
                self.bridges[at].blackhole();
                let lasts = Duration::from_millis(1_000 + rng.below(5_000));
                self.holes.push((at, Instant::now() + lasts));
            }
            Trouble::Compaction => self.compact(rng),
            Trouble::MoveLeader => self.move_leader(rng),
            Trouble::PeerSilence => self.disturb(at, Fault::new().silence())?,
            Trouble::PeerDelay => {
                let (latency, jitter) = (Duration::from_millis(75), Duration::from_millis(50));
                self.disturb(at, Fault::new().delay(latency, jitter).seed(rng.next_u64()))?;
            }
            Trouble::UntilSnapshot => self.until_snapshot(at)?,
        }
        Ok(())
    }

    /// Ends what outlasts other faults, as far as it is time.
    pub(super) fn fill_holes(&mut self, now: Option<Instant>) {
        let bridges = self.bridges;
        let is_over = |end: Instant| now.is_none_or(|now| end <= now);
        for (at, _) in self.holes.iter().filter(|hole| is_over(hole.1)) {
            bridges[*at].unblackhole();
        }
        self.holes.retain(|hole| !is_over(hole.1));
    }

    fn cut(&self, at: usize, rng: &mut Rng) {
        let bridge = &self.bridges[at];
        match rng.below(3) {
            0 => bridge.reset_all(),
            1 => bridge.drop_all(),
            _ => {
                let fault = Fault::new().cut(rng.below(4_000), Cut::Reset);
                for relay in bridge.relays() {
                    bridge.set_fault(Relays::One(relay), [Direction::Down], fault);
                }
            }
        }
    }

    fn disturb(&self, member: usize, fault: Fault) -> Result<(), Error> {
        self.cluster.set_peer_fault(member, fault)?;
        // The time is what the fault is about.
        std::thread::sleep(Duration::from_secs(1));
        Ok(self.cluster.heal()?)
    }

    fn compact(&self, rng: &mut Rng) {
        let keep = i64::try_from(choose(rng, &[0u64, 5, 50, 300])).unwrap_or_default();
        let revision = self.board.acknowledged() - keep;
        let mut state = self.board.lock();
        if revision > state.compactions.last().copied().unwrap_or(1) {
            state.compactions.push(revision);
            drop(state);
            let admin = self.admin.clone();
            // What comes of it, the watches tell.
            let _ = self.runtime.run(async move { admin.compact(revision).await });
        }
    }

    fn move_leader(&self, rng: &mut Rng) {
        let Some(leader) = self.cluster.leader() else { return };
        let others: Vec<_> = (0..self.cluster.len()).filter(|it| *it != leader).collect();
        if others.is_empty() {
            return;
        }
        let Ok(status) = self.cluster.member(choose(rng, &others)).status() else { return };
        let request = MoveLeaderRequest { target_id: status.member_id };
        if let Ok(pinned) = self.admin.pinned_to(self.cluster.member(leader).client_url()) {
            let limit = Duration::from_secs(2);
            let _ = self.runtime.run(async move { pinned.rpc(request).timeout(limit).await });
        }
    }

    /// Cuts a member off until the others have forgotten what it lacks.
    fn until_snapshot(&self, member: usize) -> Result<(), Error> {
        let before = self.board.acknowledged();
        self.cluster.partition(member)?;
        let rt = &self.runtime.rt;
        let far = || Ok((self.board.acknowledged() > before + 300).then_some(()));
        until(SNAPSHOT_LIMIT, "a member to lag by a snapshot", far)?;
        futures_lite::future::block_on(pause(rt, Duration::from_millis(300)));
        self.cluster.heal()?;
        let lagging = self.cluster.member(member);
        let sent = || Ok(lagging.log().contains("applied snapshot").then_some(()));
        Ok(until(SNAPSHOT_LIMIT, "a snapshot to be applied", sent)?)
    }
}
