//! Changes of the membership: which are refused when, and what they do.
//!
//! A change goes through the log like a write. It is judged twice, as by etcd: by the member that
//! is asked, for the sake of the majority, and when it is applied, by what is there then. Whichever
//! member applies it first changes the cluster; the others come to the same result.

// M11–M17

use super::config::MemberConfig;
use super::member::{Member, Power};
use super::{Cluster, min_ttl};
use crate::model::refusal::{crash, refuse};
use crate::model::replica::Replica;
use crate::model::rpc::{Request, Response, RpcResult};
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;
use etcd3::{ServerError, Status};
use std::time::Duration;

/// How long members must have been connected before the membership may change.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// How long a process goes on after its member was removed.
const STOP_DELAY: Duration = Duration::from_secs(1);

/// Tells whether a request changes the membership.
pub(super) fn is_change(request: &Request) -> bool {
    matches!(
        request,
        Request::MemberAdd(_)
            | Request::MemberRemove(_)
            | Request::MemberUpdate(_)
            | Request::MemberPromote(_)
    )
}

/// Refuses addresses of peers that cannot be read; those of a member that is there end a server. The
/// client checks them in full, and this looks at what they most often lack.
// M11
pub(super) fn check_urls(request: &Request) -> Result<(), Status> {
    let urls = match request {
        Request::MemberAdd(add) => &add.peer_urls,
        Request::MemberUpdate(update) => &update.peer_urls,
        _ => return Ok(()),
    };
    let is_good = |url: &String| match url.split_once("://") {
        Some(("http" | "https", rest)) => rest.contains(':') && !rest.contains('/'),
        _ => url.starts_with("unix:") || url.starts_with("unixs:"),
    };
    if !urls.is_empty() && urls.iter().all(is_good) {
        return Ok(());
    }
    match request {
        Request::MemberAdd(_) => Err(refuse(ServerError::MemberBadUrls)),
        _ => Err(crash("the addresses of a member that nobody can read")),
    }
}

impl Cluster {
    /// Starts the process of a member that was added, under this name.
    pub fn start_member(&mut self, now: Instant, id: u64, name: &str, client_urls: Vec<String>) {
        self.change(now, |cluster| {
            if let Some(member) = cluster.members.get_mut(&id).filter(|m| !m.is_started()) {
                name.clone_into(&mut member.config.name);
                member.config.client_urls = client_urls;
                member.power = Power::Up;
            }
        });
    }

    /// Returns how many changes of the membership were applied.
    #[must_use]
    pub fn membership_changes(&self) -> usize {
        self.changes.values().filter(|result| result.is_ok()).count()
    }

    /// Tells whether a member was removed from the cluster.
    #[must_use]
    pub fn is_removed(&self, member: u64) -> bool {
        self.members.get(&member).is_some_and(|member| member.is_removed)
    }

    /// Returns the members whose processes have ended since this was asked last, because they were
    /// removed.
    pub fn take_stopped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.stopped)
    }

    /// Judges a change before it is proposed.
    // M14
    pub(super) fn check_change(
        &self,
        now: Instant,
        id: u64,
        request: &Request,
    ) -> Result<(), Status> {
        let refused = |error| Err(refuse(error));
        let strict = self.config.strict_reconfig;
        match request {
            Request::MemberAdd(add) if strict => {
                if !add.is_learner && !self.may_add_voter() {
                    return refused(ServerError::MemberNotEnoughStarted);
                }
                if !self.is_connected_for_addition(now, id) {
                    return refused(ServerError::Unhealthy);
                }
                Ok(())
            }
            Request::MemberRemove(remove) if strict => {
                let is_voter = self.members.get(&remove.id).is_some_and(Member::votes);
                if !is_voter {
                    return Ok(());
                }
                if !self.has_started_majority_without(remove.id) {
                    return refused(ServerError::MemberNotEnoughStarted);
                }
                self.may_lose(now, id, remove.id)
            }
            Request::MemberPromote(promote) => self.is_in_sync(promote.id),
            _ => Ok(()),
        }
    }

    /// The new one counts as a voter that is not started; one member may have it all the same.
    fn may_add_voter(&self) -> bool {
        let voters = self.voters().count() + 1;
        let started = self.voters().filter(|member| member.is_started()).count();
        (started == 1 && voters == 2) || started > voters / 2
    }

    fn has_started_majority_without(&self, removed: u64) -> bool {
        let rest = || self.voters().filter(|member| member.id != removed);
        rest().filter(|member| member.is_started()).count() > rest().count() / 2
    }

    /// Tells whether enough voters have been connected for long enough to add a member.
    fn is_connected_for_addition(&self, now: Instant, id: u64) -> bool {
        let (voters, after) = (self.voters().count(), self.voters().count() + 1);
        let needed =
            if self.config.personality.adds_with_member_down { after / 2 + 1 } else { voters };
        self.connected(now, id) >= needed.min(voters)
    }

    /// Refuses to remove a voter whose loss would leave too few that are connected. One that is
    /// away already is no loss.
    fn may_lose(&self, now: Instant, id: u64, removed: u64) -> Result<(), Status> {
        let is_away = removed != id && !self.in_touch(removed);
        let left = self.connected(now, id).saturating_sub(1);
        let needed = 1 + self.voters().count().saturating_sub(2) / 2;
        if is_away || left >= needed { Ok(()) } else { Err(refuse(ServerError::Unhealthy)) }
    }

    /// Counts the voters that the member has been connected with for long enough, itself included.
    fn connected(&self, now: Instant, id: u64) -> usize {
        let is_old = |since: Instant| {
            let before = if since == Instant::ORIGIN { self.config.age } else { Duration::ZERO };
            since + HEALTH_INTERVAL <= now + before
        };
        let is_connected =
            |member: &&Member| member.id == id || member.in_touch_since.is_some_and(is_old);
        self.voters().filter(is_connected).count()
    }

    /// Refuses a learner that lacks more than a tenth of the leader's log.
    // M13
    fn is_in_sync(&self, id: u64) -> Result<(), Status> {
        let Some(member) = self.members.get(&id).filter(|member| !member.is_removed) else {
            return Err(refuse(ServerError::MemberNotFound));
        };
        let has = if member.is_started() { self.index(member.known) } else { 0 };
        if member.config.is_learner && has * 10 < self.index(self.log.len()) * 9 {
            return Err(refuse(ServerError::LearnerNotReady));
        }
        Ok(())
    }

    /// Returns the members that vote, in order of their ids.
    fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.votes())
    }

    /// Applies a change at this place of the log, once; returns what its caller is told.
    pub(super) fn apply_change(&mut self, now: Instant, at: usize, request: &Request) -> RpcResult {
        if let Some(known) = self.changes.get(&at) {
            return known.clone();
        }
        let result = self.change_members(now, request);
        self.changes.insert(at, result.clone());
        if result.is_ok() {
            self.survey(now);
        }
        result
    }

    fn change_members(&mut self, now: Instant, request: &Request) -> RpcResult {
        let answer = match request {
            Request::MemberAdd(add) => {
                let member = self.add(now, add)?;
                let members = self.listed();
                let member = Some(member);
                Response::MemberAdd(pb::MemberAddResponse { header: None, member, members })
            }
            Request::MemberRemove(remove) => {
                self.remove(now, remove.id)?;
                let members = self.listed();
                Response::MemberRemove(pb::MemberRemoveResponse { header: None, members })
            }
            Request::MemberUpdate(update) => {
                self.update(update)?;
                let members = self.listed();
                Response::MemberUpdate(pb::MemberUpdateResponse { header: None, members })
            }
            Request::MemberPromote(promote) => {
                let member = self.member_mut(promote.id)?;
                if !std::mem::take(&mut member.config.is_learner) {
                    return Err(refuse(ServerError::MemberNotLearner));
                }
                let members = self.listed();
                Response::MemberPromote(pb::MemberPromoteResponse { header: None, members })
            }
            _ => return Err(refuse(ServerError::MemberNotFound)),
        };
        Ok(answer)
    }

    fn add(&mut self, now: Instant, add: &pb::MemberAddRequest) -> Result<pb::Member, Status> {
        let peer_urls = sorted(&add.peer_urls);
        let id = self.id_of(now, &peer_urls);
        if self.members.contains_key(&id) {
            return Err(refuse(ServerError::MemberExist));
        }
        if self.has_urls(&peer_urls, id) {
            return Err(refuse(ServerError::PeerUrlExist));
        }
        let learners = self.members.values().filter(|it| !it.is_removed && it.config.is_learner);
        if add.is_learner && learners.count() >= self.config.max_learners {
            return Err(refuse(ServerError::TooManyLearners));
        }
        let config = MemberConfig {
            name: String::new(),
            peer_urls,
            client_urls: Vec::new(),
            is_learner: add.is_learner,
        };
        let Self { config: of, .. } = self;
        let min_ttl = min_ttl(of.election_timeout);
        let replica = Replica::new(of.personality, min_ttl, of.token_ttl, of.quota_bytes);
        let mut member = Member::new(id, config, replica);
        member.power = Power::Down;
        let listed = member.listed();
        self.members.insert(id, member);
        Ok(listed)
    }

    fn remove(&mut self, now: Instant, id: u64) -> Result<(), Status> {
        let member = self.member_mut(id)?;
        member.is_removed = true;
        if member.power == Power::Up {
            member.stop_due = Some(now + STOP_DELAY);
        }
        if self.leader == Some(id) {
            self.step_down();
        }
        Ok(())
    }

    fn update(&mut self, update: &pb::MemberUpdateRequest) -> Result<(), Status> {
        let peer_urls = sorted(&update.peer_urls);
        self.member_mut(update.id)?;
        if self.has_urls(&peer_urls, update.id) {
            return Err(refuse(ServerError::PeerUrlExist));
        }
        let loses_role = self.config.personality.update_forgets_learner;
        let member = self.member_mut(update.id)?;
        member.config.peer_urls = peer_urls;
        member.config.is_learner &= !loses_role;
        Ok(())
    }

    fn member_mut(&mut self, id: u64) -> Result<&mut Member, Status> {
        let member = self.members.get_mut(&id).filter(|member| !member.is_removed);
        member.ok_or_else(|| refuse(ServerError::MemberNotFound))
    }

    /// Tells whether a member other than this one has one of these addresses.
    fn has_urls(&self, urls: &[String], but: u64) -> bool {
        let others = self.members.values().filter(|it| it.id != but && !it.is_removed);
        others.flat_map(|it| &it.config.peer_urls).any(|url| urls.contains(url))
    }

    /// Returns the id of a member that is added: made of its addresses and the second.
    fn id_of(&self, now: Instant, urls: &[String]) -> u64 {
        // FNV-1a, where etcd takes a part of SHA-1.
        let seconds = now.as_nanos() / 1_000_000_000;
        let numbers = [self.id.to_be_bytes(), seconds.to_be_bytes()];
        let bytes = urls.iter().flat_map(|url| url.bytes()).chain(numbers.into_iter().flatten());
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        bytes.fold(0xcbf2_9ce4_8422_2325, fold).max(1)
    }

    /// Lists the members, in order of their ids.
    pub(super) fn listed(&self) -> Vec<pb::Member> {
        self.members.values().filter(|it| !it.is_removed).map(Member::listed).collect()
    }

    /// Ends the processes of members that were removed a while ago.
    pub(super) fn stop_removed(&mut self, now: Instant) -> bool {
        let is_due = |member: &Member| member.stop_due.is_some_and(|due| due <= now);
        let due: Vec<u64> = self.members.values().filter(|it| is_due(it)).map(|it| it.id).collect();
        for id in &due {
            if let Some(member) = self.members.get_mut(id) {
                member.stop_due = None;
                member.power = Power::Down;
                member.apply_due = None;
            }
            self.pending.retain(|_, pending| pending.member != *id);
            self.streams.retain(|_, stream| stream.member != *id);
            self.stopped.push(*id);
        }
        !due.is_empty()
    }

    /// Returns when the next process of a removed member ends.
    pub(super) fn stop_due(&self) -> Option<Instant> {
        self.members.values().filter_map(|member| member.stop_due).min()
    }
}

fn sorted(urls: &[String]) -> Vec<String> {
    let mut urls = urls.to_vec();
    urls.sort_unstable();
    urls
}
