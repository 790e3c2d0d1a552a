//! What becomes of a request between its arrival and its answer.
//!
//! ```text
//!  write:    Proposing ──▶ Proposed ──────────▶ Done
//!            no leader yet    until it is applied here
//!  read:     Reading ─────▶ Catching ─────────▶ Done
//!            asks the leader  until applied far enough
//!  lease:    Asking ──────────────────────────▶ Done
//!            renewals and times to live are for the leader
//! ```
//!
//! Every stage ends in Done at the deadline, too: with `request timed out`.

use super::config::draw;
use super::log::{Command, Entry};
use super::{Call, Cluster, Output, Power, Ticket, membership};
use crate::model::auth::Caller;
use crate::model::check::Rules;
use crate::model::personality::Personality;
use crate::model::refusal::refuse;
use crate::model::replica::{check_form, cost};
use crate::model::rpc::{Request, RpcResult, raw_auth_error, unimplemented};
use crate::model::txn::{is_read_only, is_serializable};
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::Instant;
use etcd3::{ServerError, Status};
use pb::alarm_request::AlarmAction;
use prost::Message;

/// A request under way.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    pub(super) member: u64,
    deadline: Instant,
    token: Option<String>,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Waiting for a leader to propose to.
    Proposing { command: Command, caller: Option<Caller> },
    /// Waiting to be committed and applied, or lost already.
    Proposed,
    /// Waiting for the leader to confirm that it leads.
    Reading { request: Request, ready: Instant },
    /// Waiting until the member has applied what was committed then.
    Catching { request: Request, known: usize },
    /// Waiting for the leader's response about a lease.
    Asking { request: Request, ready: Instant, revision: i64, hangs: bool },
    /// Can be answered.
    Done(RpcResult),
}

impl Pending {
    pub(super) fn finish(&mut self, result: RpcResult) {
        self.stage = Stage::Done(result);
    }
}

impl Cluster {
    /// Hands a request to a member. It is answered by a later [`poll`](Self::poll), unless the
    /// member is killed before; one that is down already never answers.
    pub fn submit(&mut self, now: Instant, call: Call) -> Ticket {
        self.advance(now);
        let ticket = Ticket(self.number());
        let member = call.member;
        if self.members.get(&member).is_some_and(|member| member.power != Power::Down) {
            let token = call.token.clone();
            let stage = match self.admit(now, call) {
                Ok(stage) => stage,
                Err(status) => Stage::Done(Err(status)),
            };
            let deadline = now + self.config.request_timeout();
            self.pending.insert(ticket, Pending { member, deadline, token, stage });
            self.settle(now);
        }
        ticket
    }

    /// Forgets a request: its client is gone. What it does, it does all the same.
    pub fn forget(&mut self, ticket: Ticket) {
        self.pending.remove(&ticket);
    }

    /// Checks a request in the order of a server, and finds the way that it goes.
    fn admit(&mut self, now: Instant, call: Call) -> Result<Stage, Status> {
        let id = call.member;
        let personality = self.config.personality;
        let mut request = call.request;
        let is_missing = match request {
            Request::AuthStatus(_) => !personality.has_auth_status,
            Request::Downgrade(_) => !personality.has_downgrade,
            _ => false,
        };
        if is_missing {
            return Err(unimplemented(request.path()));
        }
        self.serves(id, &request)?;
        if call.requires_leader && self.leader_seen_by(now, id).is_none() {
            return Err(refuse(ServerError::NoLeader));
        }
        self.check_quota(now, id, &request)?;
        check_form(&request, Rules::new(&personality, self.config.max_txn_ops))?;
        membership::check_urls(&request)?;
        if let Request::LeaseGrant(grant) = &mut request
            && grant.id == 0
        {
            grant.id = i64::try_from(self.rng.next_u64() >> 1).unwrap_or(1).max(1);
        }
        let ready = now + draw(&mut self.rng, self.config.delays.read);
        if is_local(&request, personality) {
            return Ok(Stage::Done(self.answer_local(now, id, call.token.as_deref(), &request)));
        }
        if is_linearizable_read(&request, personality) {
            return Ok(Stage::Reading { request, ready });
        }
        if matches!(request, Request::LeaseKeepAlive(_) | Request::LeaseTimeToLive(_)) {
            self.check_lease_call(now, id, call.token.as_deref(), &request)?;
            // That of the arrival (L13).
            let revision = self.members[&id].replica.store().revision();
            let hangs = self.hangs_on_leader(now, id);
            return Ok(Stage::Asking { request, ready, revision, hangs });
        }
        let caller = self.check_write(now, id, call.token.as_deref(), &request)?;
        Ok(Stage::Proposing { command: Command::Request(request), caller })
    }

    /// Whether the member serves this at all: a learner does not.
    // M13
    fn serves(&self, id: u64, request: &Request) -> Result<(), Status> {
        let is_open = match request {
            Request::Range(range) => range.serializable,
            Request::Status(_) => true,
            _ => false,
        };
        if is_open || !self.members[&id].config.is_learner {
            return Ok(());
        }
        let text = ServerError::NotSupportedForLearner.text();
        Err(Status::new(self.config.personality.learner_code, text))
    }

    /// Refuses what the quota has no room for, and raises the alarm.
    // M21
    fn check_quota(&mut self, now: Instant, id: u64, request: &Request) -> Result<(), Status> {
        if self.members[&id].replica.has_room(cost(request)) {
            return Ok(());
        }
        let alarm = pb::AlarmRequest {
            action: AlarmAction::Activate.into(),
            member_id: id,
            alarm: pb::AlarmType::Nospace.into(),
        };
        if self.in_touch(id) {
            let command = Command::Request(Request::Alarm(alarm));
            self.append(now, Entry { ticket: None, caller: None, command });
        }
        Err(refuse(ServerError::NoSpace))
    }

    /// Finds out who writes, and refuses what is refused before it is proposed.
    fn check_write(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
        request: &Request,
    ) -> Result<Option<Caller>, Status> {
        let personality = self.config.personality;
        let is_raw = matches!(request, Request::Alarm(_)) && personality.raw_alarms;
        let raw = |status| if is_raw { raw_auth_error(status) } else { status };
        let caller = self.identify(now, id, token).map_err(raw)?;
        let auth = self.members[&id].replica.auth();
        if let Request::RoleGrantPermission(grant) = request {
            auth.check_grant(grant)?;
        }
        if membership::is_change(request) {
            auth.permits_admin(caller.as_ref())?;
            self.check_change(now, id, request)?;
        }
        if personality.guards_everything {
            match request {
                Request::LeaseGrant(_) | Request::LeaseRevoke(_) => {
                    auth.requires_user(caller.as_ref())?;
                }
                Request::Alarm(alarm) if alarm.action == i32::from(AlarmAction::Get) => {
                    auth.requires_user(caller.as_ref())?;
                }
                Request::Compact(_) | Request::Alarm(_) | Request::Downgrade(_) => {
                    auth.permits_admin(caller.as_ref())?;
                }
                _ => {}
            }
        }
        if entry_len(id, caller.as_ref(), request) > self.config.max_request_bytes {
            return Err(refuse(ServerError::RequestTooLarge));
        }
        Ok(caller)
    }

    pub(super) fn identify(
        &mut self,
        now: Instant,
        id: u64,
        token: Option<&str>,
    ) -> Result<Option<Caller>, Status> {
        let Some(member) = self.members.get_mut(&id) else { return Ok(None) };
        member.replica.auth_mut().identify(now, token)
    }

    /// Returns when a request may move on by itself.
    pub(super) fn pending_times(&self, pending: &Pending) -> impl Iterator<Item = Instant> {
        let is_up = self.members[&pending.member].is_up();
        let ready = match &pending.stage {
            Stage::Reading { ready, .. } | Stage::Asking { ready, .. } => Some(*ready),
            _ => None,
        };
        [ready, Some(pending.deadline)].into_iter().flatten().filter(move |_| is_up)
    }

    /// Moves every request on that can move, and hands out the answers.
    pub(super) fn move_pending(&mut self, now: Instant) -> bool {
        let tickets: Vec<_> = self.pending.keys().copied().collect();
        let mut has_moved = false;
        for ticket in tickets {
            let Some(mut pending) = self.pending.remove(&ticket) else { continue };
            if self.members[&pending.member].is_up() {
                while let Some(stage) = self.next_stage(now, ticket, &pending) {
                    has_moved = true;
                    if matches!(stage, Stage::Proposing { .. }) {
                        // A proposal has a time limit of its own.
                        pending.deadline = now + self.config.request_timeout();
                    }
                    pending.stage = stage;
                }
                if let Stage::Done(mut result) = pending.stage {
                    if let Ok(response) = &mut result {
                        self.fill_header(pending.member, response);
                    }
                    self.outputs.push(Output::Answer(ticket, result));
                    continue;
                }
            }
            self.pending.insert(ticket, pending);
        }
        has_moved
    }

    /// Returns the stage that follows now, if any.
    fn next_stage(&mut self, now: Instant, ticket: Ticket, pending: &Pending) -> Option<Stage> {
        let id = pending.member;
        // Its time may have passed while the member was paused.
        let is_late = pending.deadline < now;
        let next = match &pending.stage {
            Stage::Done(_) => return None,
            _ if is_late => None,
            Stage::Proposing { command, caller } => self.propose(now, id, || Entry {
                ticket: Some((id, ticket)),
                caller: caller.clone(),
                command: command.clone(),
            }),
            Stage::Reading { request, ready } => (*ready <= now && self.in_touch(id))
                .then(|| Stage::Catching { request: request.clone(), known: self.log.len() }),
            Stage::Catching { request, known } => (self.members[&id].applied >= *known)
                .then(|| self.read(now, id, pending.token.as_deref(), request)),
            Stage::Asking { request, ready, revision, .. } if *ready <= now => {
                self.ask_leader(now, id, request, *revision).map(Stage::Done)
            }
            Stage::Proposed | Stage::Asking { .. } => None,
        };
        next.or_else(|| {
            (pending.deadline <= now).then(|| Stage::Done(Err(self.timeout(now, pending))))
        })
    }

    /// How a request ends whose time is up, as measured with two of three members stopped.
    fn timeout(&self, now: Instant, pending: &Pending) -> Status {
        match pending.stage {
            Stage::Proposing { .. } => {
                Status::new(self.config.personality.deadline_code, "context deadline exceeded")
            }
            Stage::Asking { hangs: false, .. }
                if self.leader_seen_by(now, pending.member).is_none() =>
            {
                refuse(ServerError::NoLeader)
            }
            _ => refuse(ServerError::Timeout),
        }
    }

    /// Tells whether a question to the leader that a member believes in will just not be answered.
    /// A process that has ended refuses at once, and the member looks for another leader.
    fn hangs_on_leader(&self, now: Instant, id: u64) -> bool {
        let leader = self.leader_seen_by(now, id).and_then(|leader| self.members.get(&leader));
        leader.is_some_and(|leader| {
            leader.power != Power::Down && !leader.reaches(&self.members[&id])
        })
    }

    /// Proposes, if the member knows a leader. One that it only believes in gets nothing.
    fn propose(&mut self, now: Instant, id: u64, entry: impl FnOnce() -> Entry) -> Option<Stage> {
        let reaches_leader =
            self.leader.is_some_and(|leader| self.members[&leader].reaches(&self.members[&id]));
        if reaches_leader {
            self.append(now, entry());
            return Some(Stage::Proposed);
        }
        self.leader_seen_by(now, id).map(|_| Stage::Proposed)
    }

    /// Carries out a read once the member may.
    fn read(&mut self, now: Instant, id: u64, token: Option<&str>, request: &Request) -> Stage {
        if let Request::Authenticate(auth) = request {
            let checked = self.members.get_mut(&id).map_or(Ok(()), |member| {
                member.replica.auth_mut().check_password(&auth.name, &auth.password)
            });
            return match checked {
                Ok(()) => {
                    let (name, letters) = (auth.name.clone(), self.letters());
                    Stage::Proposing { command: Command::Token { name, letters }, caller: None }
                }
                Err(status) => Stage::Done(Err(status)),
            };
        }
        Stage::Done(self.answer_local(now, id, token, request))
    }

    /// Returns the letters of a new token.
    fn letters(&mut self) -> String {
        const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut letter = || usize::try_from(self.rng.below(52)).unwrap_or(0);
        (0..16).map(|_| char::from(LETTERS[letter()])).collect()
    }

    /// An election ends reads that wait for the leader's word.
    pub(super) fn disturb_reads(&mut self) {
        let in_touch: Vec<_> =
            self.member_ids().into_iter().filter(|id| self.in_touch(*id)).collect();
        for pending in self.pending.values_mut() {
            if matches!(pending.stage, Stage::Reading { .. }) && in_touch.contains(&pending.member)
            {
                pending.finish(Err(refuse(ServerError::LeaderChanged)));
            }
        }
    }
}

/// Tells whether the member answers by itself.
fn is_local(request: &Request, personality: Personality) -> bool {
    match request {
        Request::Range(range) => range.serializable,
        Request::Txn(txn) => is_read_only(txn) && is_serializable(txn),
        Request::MemberList(list) => !(list.linearizable && personality.has_auth_status),
        Request::LeaseLeases(_)
        | Request::Status(_)
        | Request::MoveLeader(_)
        | Request::Defragment(_)
        | Request::Hash(_)
        | Request::HashKv(_) => true,
        _ => false,
    }
}

/// Tells whether the answer is read from the store, after the leader was asked.
// K15
fn is_linearizable_read(request: &Request, personality: Personality) -> bool {
    match request {
        Request::Range(_) | Request::Authenticate(_) => true,
        Request::Txn(txn) => is_read_only(txn),
        Request::MemberList(_) => personality.has_auth_status,
        _ => false,
    }
}

/// Returns the size of the entry that a request would become, in bytes: a header with a number for
/// the request and the caller, and the request.
// C40
fn entry_len(id: u64, caller: Option<&Caller>, request: &Request) -> usize {
    let field = |len: usize| 1 + prost::length_delimiter_len(len) + len;
    let varint = |number: u64| 1 + prost::encoding::encoded_len_varint(number);
    let mut header = varint((id << 48) | (1 << 40));
    if let Some(caller) = caller {
        header += field(caller.user.len()) + varint(caller.revision);
    }
    let body = match request {
        Request::Put(put) => put.encoded_len(),
        Request::DeleteRange(delete) => delete.encoded_len(),
        Request::Txn(txn) => txn.encoded_len(),
        Request::UserAdd(user) => user.encoded_len(),
        Request::RoleAdd(role) => role.encoded_len(),
        Request::RoleGrantPermission(grant) => grant.encoded_len(),
        // What cannot be large.
        _ => 0,
    };
    1 + field(header) + field(body)
}
