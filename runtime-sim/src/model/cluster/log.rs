//! The log: how a proposal is committed, applied, or lost, and who leads.
//!
//! Not raft, but what comes of it. Proposals wait in a tail behind the leader. One is committed
//! when its time has come and the leader has a quorum, so that a proposal may be committed long
//! after its client was told that it timed out. A new leader keeps of the tail what had reached it,
//! by the seed; the rest never happened.

use super::config::draw;
use super::{Cluster, StreamId, Ticket, membership};
use crate::model::auth::Caller;
use crate::model::rpc::{Request, RpcResult};
use crate::model::txn::without_reads;
use crate::model::watch::Source;
use etcd3::runtime::Instant;
use std::collections::BTreeSet;
use std::time::Duration;

/// What an entry of the log does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// The first entry of a leader does nothing.
    Nothing,
    /// A request of a client.
    Request(Request),
    /// A token for a user who gave the right password.
    Token { name: String, letters: String },
    /// A lease has run out: at this moment, for the leader of this term.
    Expire { lease: i64, since: Instant, term: u64 },
}

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The caller that waits for the result, at which member.
    pub(super) ticket: Option<(u64, Ticket)>,
    pub(super) caller: Option<Caller>,
    pub(super) command: Command,
}

/// An entry that is not committed yet.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    entry: Entry,
    /// Not to be committed before.
    due: Instant,
    leader: u64,
    /// The members that may have it.
    holders: BTreeSet<u64>,
}

impl Cluster {
    /// Tells whether a leader reaches a majority of those who vote.
    pub(super) fn has_quorum(&self, leader: u64) -> bool {
        let Some(leader) = self.members.get(&leader).filter(|leader| leader.is_up()) else {
            return false;
        };
        let voters = self.members.values().filter(|member| member.votes());
        let reached = voters.clone().filter(|member| leader.reaches(member)).count();
        reached > voters.count() / 2
    }

    /// Tells whether a member hears from a leader that leads.
    pub(super) fn in_touch(&self, member: u64) -> bool {
        let Some(leader) = self.leader.filter(|leader| self.has_quorum(*leader)) else {
            return false;
        };
        self.members[&leader].reaches(&self.members[&member])
    }

    /// Returns the leader as a member sees it: for an election timeout it trusts the one it has
    /// lost.
    #[must_use]
    pub fn leader_seen_by(&self, now: Instant, member: u64) -> Option<u64> {
        let member = self.members.get(&member)?;
        let is_lost =
            member.lost_leader_at.is_some_and(|at| at + self.config.election_timeout <= now);
        member.leader.filter(|_| !is_lost)
    }

    /// Hands a proposal to the leader, which must be within reach of whoever proposes.
    pub(super) fn append(&mut self, now: Instant, entry: Entry) {
        let Some(leader) = self.leader else { return };
        let due = now + draw(&mut self.rng, self.config.delays.commit);
        let holders = self.reached_by(leader);
        self.tail.push_back(Proposal { entry, due, leader, holders });
    }

    fn reached_by(&self, leader: u64) -> BTreeSet<u64> {
        let leader = &self.members[&leader];
        self.members.values().filter(|m| leader.reaches(m)).map(|m| m.id).collect()
    }

    /// Commits what is due.
    pub(super) fn commit(&mut self, now: Instant) -> bool {
        let mut has_committed = false;
        while self.leader.is_some_and(|leader| self.has_quorum(leader))
            && self.tail.front().is_some_and(|proposal| proposal.due <= now)
        {
            self.log.extend(self.tail.pop_front().map(|proposal| proposal.entry));
            has_committed = true;
        }
        has_committed
    }

    /// Returns when the next proposal can be committed.
    pub(super) fn commit_due(&self) -> Option<Instant> {
        self.leader.filter(|leader| self.has_quorum(*leader))?;
        self.tail.front().map(|proposal| proposal.due)
    }

    /// Tells members in touch how far the log is committed, and lets them apply it.
    pub(super) fn spread(&mut self, now: Instant) -> bool {
        let committed = self.log.len();
        let mut has_applied = false;
        for id in self.member_ids() {
            let is_in_touch = self.in_touch(id);
            let Some(member) = self.members.get_mut(&id) else { continue };
            if is_in_touch && member.known < committed {
                member.by_snapshot |= committed - member.applied > self.config.snapshot_gap;
                member.known = committed;
            }
            if !member.is_up() || member.is_held || member.applied == member.known {
                member.apply_due = None;
                continue;
            }
            let delays = self.config.delays.apply;
            let due = member.apply_due.get_or_insert_with(|| now + draw(&mut self.rng, delays));
            if *due <= now {
                member.apply_due = None;
                self.apply_known(now, id);
                has_applied = true;
            }
        }
        has_applied
    }

    fn apply_known(&mut self, now: Instant, id: u64) {
        let (known, by_snapshot) = {
            let member = &self.members[&id];
            (member.known, member.by_snapshot)
        };
        for at in self.members[&id].applied..known {
            self.apply_one(now, id, at);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.by_snapshot = false;
        }
        if by_snapshot {
            for stream in self.streams.values_mut().filter(|stream| stream.member == id) {
                stream.watches.restore(now);
            }
        }
    }

    fn apply_one(&mut self, now: Instant, id: u64, at: usize) {
        let index = self.index(at);
        let entry = self.log[at].clone();
        let leaves_reads_out = self.config.personality.leaves_unawaited_reads_out;
        let changed = match &entry.command {
            Command::Request(request) if membership::is_change(request) => {
                Some(self.apply_change(now, at, request))
            }
            _ => None,
        };
        let Some(member) = self.members.get_mut(&id) else { return };
        member.applied = at + 1;
        let before = member.replica.store().revision();
        let ending = self.past.ending(at, &entry.command, member.replica.store());
        let result = match &entry.command {
            Command::Nothing => None,
            Command::Expire { lease, .. } => {
                member.replica.store_mut().revoke(*lease);
                if self.leader == Some(id) {
                    self.expiring.remove(lease);
                }
                None
            }
            Command::Request(_) if changed.is_some() => changed,
            Command::Request(request) => {
                let is_awaited =
                    entry.ticket.is_some_and(|(at, it)| at == id && self.pending.contains_key(&it));
                let stripped = match request {
                    Request::Txn(txn) if leaves_reads_out && !is_awaited => {
                        Some(Request::Txn(without_reads(txn)))
                    }
                    _ => None,
                };
                let request = stripped.as_ref().unwrap_or(request);
                Some(member.replica.apply(now, entry.caller.as_ref(), request))
            }
            // A snapshot has no tokens in it.
            Command::Token { .. } if member.by_snapshot => None,
            Command::Token { name, letters } => {
                let token = format!("{letters}.{index}");
                Some(member.replica.apply_token(now, name, token))
            }
        };
        self.past.note(member.replica.store());
        self.past.end_lease(now, self.term, ending, member.replica.store());
        if member.by_snapshot {
            return;
        }
        if member.replica.store().revision() > before {
            self.notify(now, id);
        }
        if let (Some((at_member, ticket)), Some(result)) = (entry.ticket, result)
            && at_member == id
        {
            self.resolve(ticket, result);
        }
    }

    /// Tells the streams of a member of the revision that it has just applied.
    fn notify(&mut self, now: Instant, id: u64) {
        let member = &self.members[&id];
        let store = member.replica.store();
        let revision = store.revision();
        let Some(events) = store.log.get(&revision) else { return };
        let source = Source { store, header: self.header(id) };
        for stream in self.streams.values_mut().filter(|stream| stream.member == id) {
            stream.watches.notify(now, &source, revision, events);
        }
    }

    /// Returns the index of an entry, counted as etcd does: a new cluster has written two entries
    /// for each member, and two more, before the first request.
    pub(super) fn index(&self, at: usize) -> u64 {
        (2 * self.config.members.len() + 2 + at + 1) as u64
    }

    /// Looks at who reaches whom, after that has changed or an election was held.
    pub(super) fn survey(&mut self, now: Instant) {
        if self.leader.is_some_and(|leader| self.has_quorum(leader)) {
            self.quorum_lost_at = None;
            self.election_due = None;
        } else {
            self.quorum_lost_at.get_or_insert(now);
            if self.electorate().is_none() {
                self.election_due = None;
            } else if self.election_due.is_none() {
                let timeout = self.config.election_timeout;
                let extra = draw(&mut self.rng, (Duration::ZERO, timeout));
                self.election_due = Some(now + timeout + extra);
            }
        }
        for id in self.member_ids() {
            let is_in_touch = self.in_touch(id);
            let (leader, term) = (self.leader, self.term);
            let Some(member) = self.members.get_mut(&id) else { continue };
            if is_in_touch {
                member.in_touch_since.get_or_insert(now);
                (member.leader, member.term, member.lost_leader_at) = (leader, term, None);
            } else {
                member.in_touch_since = None;
                member.lost_leader_at.get_or_insert(now);
            }
        }
    }

    /// A leader without a quorum gives up after an election timeout.
    pub(super) fn step_down_due(&self) -> Option<Instant> {
        self.leader?;
        self.quorum_lost_at.map(|at| at + self.config.election_timeout)
    }

    pub(super) fn step_down(&mut self) {
        if let Some(member) = self.leader.take().and_then(|leader| self.members.get_mut(&leader)) {
            member.replica.store_mut().leases.demote();
        }
    }

    /// Those who can elect a leader, and of them those who can be elected.
    fn electorate(&self) -> Option<Vec<u64>> {
        let voters = || self.members.values().filter(|member| member.votes());
        let center = voters().find(|member| self.has_quorum(member.id))?;
        let able = voters().filter(|m| center.reaches(m) && m.known == self.log.len());
        Some(able.map(|member| member.id).collect())
    }

    /// Holds an election.
    pub(super) fn elect(&mut self, now: Instant) {
        self.election_due = None;
        let Some(able) = self.electorate() else { return };
        // A vote goes to who holds no less of the tail, of which each member holds a beginning.
        let held = |id: u64| self.tail.iter().take_while(|p| p.holders.contains(&id)).count();
        let majority = self.members.values().filter(|member| member.votes()).count() / 2 + 1;
        let votes = |id: u64| able.iter().filter(|voter| held(**voter) <= held(id)).count();
        let most = able.iter().map(|id| votes(*id)).max().unwrap_or(0).min(majority);
        let best: Vec<u64> = able.iter().copied().filter(|id| votes(*id) >= most).collect();
        let Ok(choices) = u64::try_from(best.len()) else { return };
        let chosen = usize::try_from(self.rng.below(choices)).unwrap_or(0);
        if let Some(winner) = best.get(chosen) {
            self.lead(now, *winner);
        }
    }

    /// Makes a member the leader.
    pub(super) fn lead(&mut self, now: Instant, winner: u64) {
        self.step_down();
        self.term += 1;
        self.leader = Some(winner);
        self.keep_tail(now, winner);
        let extend = self.config.election_timeout;
        if let Some(member) = self.members.get_mut(&winner) {
            member.replica.store_mut().leases.promote(now, extend);
        }
        self.expiring.clear();
        self.append(now, Entry { ticket: None, caller: None, command: Command::Nothing });
        self.survey(now);
        self.disturb_reads();
    }

    /// Hands the whole tail to a member that is about to lead.
    pub(super) fn own_tail(&mut self, leader: u64) {
        self.tail.iter_mut().for_each(|proposal| proposal.leader = leader);
    }

    /// What had reached the new leader stays; the seed knows what had.
    fn keep_tail(&mut self, now: Instant, winner: u64) {
        let mut kept = 0;
        for proposal in &self.tail {
            let is_own = proposal.leader == winner;
            let has_reached = proposal.holders.contains(&winner) && self.rng.below(2) == 0;
            if !is_own && !has_reached {
                break;
            }
            kept += 1;
        }
        self.tail.truncate(kept);
        let due = now + draw(&mut self.rng, self.config.delays.commit);
        let holders = self.reached_by(winner);
        for proposal in &mut self.tail {
            proposal.due = proposal.due.max(due);
            proposal.holders.clone_from(&holders);
            proposal.leader = winner;
        }
    }

    /// Ends streams that need a leader and have had none for three election timeouts.
    // W18
    pub(super) fn cut_due(&self, id: StreamId) -> Option<Instant> {
        let stream = self.streams.get(&id).filter(|stream| stream.requires_leader)?;
        let lost = self.members.get(&stream.member)?.lost_leader_at?;
        Some(lost + 4 * self.config.election_timeout)
    }

    /// Ends what waits for a ticket.
    pub(super) fn resolve(&mut self, ticket: Ticket, result: RpcResult) {
        if let Some(pending) = self.pending.get_mut(&ticket) {
            pending.finish(result);
        }
    }
}
