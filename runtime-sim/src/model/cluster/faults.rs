//! What can happen to members.

use super::{Cluster, Power};
use etcd3::runtime::Instant;

impl Cluster {
    /// Ends the process of a member. What it has stored stays; its requests and streams are gone
    /// without an answer, and so are its tokens.
    pub fn kill(&mut self, now: Instant, member: u64) {
        self.change(now, |cluster| {
            if let Some(member) = cluster.members.get_mut(&member) {
                member.power = Power::Down;
                member.apply_due = None;
                member.replica.auth_mut().forget_tokens();
            }
            cluster.pending.retain(|_, pending| pending.member != member);
            cluster.streams.retain(|_, stream| stream.member != member);
            if cluster.leader == Some(member) {
                cluster.step_down();
            }
        });
    }

    /// Starts a member that was killed.
    pub fn restart(&mut self, now: Instant, member: u64) {
        self.set_power(now, member, Power::Down, Power::Up);
    }

    /// Stops a member as SIGSTOP does: it keeps its connections and says nothing.
    pub fn pause(&mut self, now: Instant, member: u64) {
        self.set_power(now, member, Power::Up, Power::Paused);
    }

    /// Lets a paused member go on. What should have happened meanwhile happens now.
    pub fn resume(&mut self, now: Instant, member: u64) {
        self.set_power(now, member, Power::Paused, Power::Up);
    }

    /// Tells whether a member runs: it is neither killed nor paused.
    #[must_use]
    pub fn is_up(&self, member: u64) -> bool {
        self.members.get(&member).is_some_and(super::Member::is_up)
    }

    /// Cuts the network between members into parts that do not reach each other. Members that are
    /// not named form another part.
    pub fn partition(&mut self, now: Instant, parts: &[&[u64]]) {
        self.change(now, |cluster| {
            for member in cluster.members.values_mut() {
                let part = parts.iter().position(|part| part.contains(&member.id));
                member.side = part.map_or(0, |part| part as u64 + 1);
            }
        });
    }

    /// Cuts one member off from all others.
    pub fn isolate(&mut self, now: Instant, member: u64) {
        self.partition(now, &[&[member]]);
    }

    /// Repairs the network between members.
    pub fn heal(&mut self, now: Instant) {
        self.partition(now, &[]);
    }

    /// Stops a member from applying what is committed, or lets it go on: it lags behind.
    pub fn hold_applying(&mut self, now: Instant, member: u64, is_held: bool) {
        self.change(now, |cluster| {
            if let Some(member) = cluster.members.get_mut(&member) {
                member.is_held = is_held;
            }
        });
    }

    /// Lets a member get all that it has not applied yet as a snapshot: its store jumps ahead, and
    /// its watchers catch up from the log of the store.
    pub fn send_snapshot(&mut self, now: Instant, member: u64) {
        self.change(now, |cluster| {
            if let Some(member) = cluster.members.get_mut(&member) {
                member.by_snapshot = member.applied < member.known;
                member.is_held = false;
            }
        });
    }

    /// Makes the leader give up; an election follows. Nothing happens without a leader.
    pub fn depose(&mut self, now: Instant) {
        self.change(now, Self::step_down);
    }

    /// Hands the leadership over, at once and with all that waits to be committed. Says whether the
    /// member could take it.
    pub fn transfer_leadership(&mut self, now: Instant, to: u64) -> bool {
        self.advance(now);
        let has_moved = self.transfer(now, to);
        self.settle(now);
        has_moved
    }

    pub(super) fn transfer(&mut self, now: Instant, to: u64) -> bool {
        let is_able = self.in_touch(to) && self.members[&to].votes();
        if is_able {
            self.own_tail(to);
            self.lead(now, to);
        }
        is_able
    }

    fn set_power(&mut self, now: Instant, member: u64, from: Power, to: Power) {
        self.change(now, |cluster| {
            if let Some(member) = cluster.members.get_mut(&member).filter(|m| m.power == from) {
                member.power = to;
            }
        });
    }

    /// Lets the past happen, then the fault, then what follows from it at once.
    pub(super) fn change(&mut self, now: Instant, fault: impl FnOnce(&mut Self)) {
        self.advance(now);
        fault(self);
        self.survey(now);
        self.settle(now);
    }
}
