//! The machine, a server, and two leases; and what of it must hold at any time.

use crate::search::World;
use bytes::Bytes;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::EndpointId;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::lease::{Input, KeepAlive, Known, LossReason, Output, Settings, SingleRenewal};
use etcd3_core::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Error, ErrorKind, Instant, LeaseId, Machine, Next, Outcome};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

const TTL: Duration = Duration::from_secs(6);
const SUSPENSION: Duration = Duration::from_millis(900);

/// How often each fault may happen in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    /// How often the time moves to the machine's next deadline.
    pub(super) ticks: u8,
    pub(super) cuts: u8,
    /// Streams that end with a status.
    pub(super) ends: u8,
    /// Calls that fail.
    pub(super) failures: u8,
    /// Leases that are revoked by somebody else.
    pub(super) revocations: u8,
    pub(super) suspensions: u8,
    /// Leases that are removed, and granted anew under the same id.
    pub(super) regrants: u8,
}

pub(super) const NONE: Budget =
    Budget { ticks: 0, cuts: 0, ends: 0, failures: 0, revocations: 0, suspensions: 0, regrants: 0 };

#[derive(Debug, Clone, Copy)]
pub(crate) enum Action {
    /// The server takes the next request of the stream.
    Serve,
    /// The answer at this place comes, before others.
    Deliver(usize),
    /// A call of its own is handled and answered.
    Single(usize),
    FailSingle(usize),
    Confirm(usize),
    Revoke(usize),
    Regrant(usize),
    End,
    Cut,
    Suspend,
    Tick,
}

type Verdict = Result<(), String>;

/// What is on its way to the server, or back with a time to live, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Packet {
    at: usize,
    /// On the clock that counts suspensions.
    sent: Instant,
    ttl: i64,
}

/// One lease, at the server and as its holder sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Lease {
    /// When it ends at the server; on the clock that counts suspensions.
    expires: Option<Instant>,
    /// The newest acknowledgement that came: when it was sent, and until when it holds.
    claim: (Instant, Instant),
    is_lost: bool,
    is_confirming: bool,
}

#[derive(Clone)]
pub(super) struct Leases {
    machine: KeepAlive,
    now: Instant,
    wake: Option<Instant>,
    /// For how long the machine was suspended.
    suspended: Duration,
    held: [Lease; 2],
    is_open: bool,
    requests: Vec<Packet>,
    answers: Vec<Packet>,
    singles: Vec<(SingleRenewal, Instant, Duration)>,
    budget: Budget,
    path: Vec<Action>,
}

fn id(at: usize) -> LeaseId {
    LeaseId(if at == 0 { 1 } else { 2 })
}

fn place(id: LeaseId) -> usize {
    usize::from(id == LeaseId(2))
}

impl Leases {
    pub(super) fn new(budget: Budget) -> Result<Self, String> {
        let settings = Settings {
            backoff: Backoff { first: Duration::ZERO, cap: Duration::ZERO },
            max_message_bytes: 1 << 20,
            require_leader: true,
            only: None,
            linger: Duration::from_secs(1),
            seed: 0,
        };
        let mut world = Self {
            machine: KeepAlive::new(settings),
            now: Instant::ORIGIN + Duration::from_secs(100),
            wake: None,
            suspended: Duration::ZERO,
            held: [Lease { is_lost: true, ..Lease::default() }; 2],
            is_open: false,
            requests: vec![],
            answers: vec![],
            singles: vec![],
            budget,
            path: vec![],
        };
        world.grant(0)?;
        world.grant(1)?;
        Ok(world)
    }

    /// Returns the time on the clock that counts suspensions.
    fn time(&self) -> Instant {
        self.now + self.suspended
    }

    fn grant(&mut self, at: usize) -> Verdict {
        let now = self.time();
        self.held[at] = Lease {
            expires: Some(now + TTL),
            claim: (now, now + TTL),
            is_lost: false,
            is_confirming: false,
        };
        let until = Some(self.now + TTL);
        let known = Known { ttl: Some(TTL), until, is_new: true, cluster_id: 7 };
        self.feed(Input::Add(id(at), known))
    }

    /// Has the server renew a lease; returns the time to live, in seconds.
    fn renew(&mut self, at: usize) -> i64 {
        let now = self.time();
        let lease = &mut self.held[at];
        lease.expires = lease.expires.filter(|expires| *expires > now).map(|_| now + TTL);
        if lease.expires.is_some() { 6 } else { 0 }
    }

    /// Notes that an acknowledgement comes to the machine.
    fn hear(&mut self, at: usize, sent: Instant, ttl: i64) {
        let now = self.time();
        let lease = &mut self.held[at];
        if ttl > 0 && sent >= lease.claim.0 && sent + TTL > now {
            lease.claim = (sent, sent + TTL);
        }
    }

    fn feed(&mut self, input: Input) -> Verdict {
        self.machine.handle(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Verdict {
        for _ in 0..200 {
            match self.machine.poll(self.now) {
                Next::Wait(wake) if wake.is_some_and(|wake| wake <= self.now) => {
                    return Err("it would spin".to_owned());
                }
                Next::Wait(wake) => {
                    self.wake = wake;
                    if !self.machine.is_streaming() {
                        self.close_stream();
                    }
                    return self.judge();
                }
                Next::Do(output) => self.carry_out(output)?,
            }
        }
        Err("it never stops".to_owned())
    }

    fn carry_out(&mut self, output: Output) -> Verdict {
        match output {
            Output::Attempt(_) => {
                self.close_stream();
                self.is_open = true;
                let sent = Sent { endpoint: EndpointId(1), has_choice: true, token: None, seen: 0 };
                self.machine.handle(self.now, Input::Sent(sent));
                let grpc = HeaderValue::from_static("application/grpc");
                let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, grpc)]);
                let head = Event::Head { status: StatusCode::OK, headers };
                self.machine.handle(self.now, Input::Stream(head));
            }
            Output::Send(frames) => return self.requests(frames),
            Output::RenewSingly(single, _) => {
                self.singles.push((single, self.now, self.suspended));
            }
            Output::Confirm(id) => self.held[place(id)].is_confirming = true,
            Output::Renewed(id, renewal) => {
                self.singles.retain(|it| it.0.lease != id);
                if renewal.until <= self.now {
                    return Err(format!("L46: {id} is renewed until {:?}", renewal.until));
                }
            }
            Output::Late(id, since, _) if since > self.now || self.held[place(id)].is_lost => {
                return Err(format!("{id} is late since {since:?}"));
            }
            Output::Late(..) => {}
            Output::Lost(id, lost) => return self.lose(place(id), lost.reason),
            Output::Close if self.held.iter().any(|lease| !lease.is_lost) => {
                return Err("closed, and there are leases".to_owned());
            }
            Output::Close => self.close_stream(),
        }
        Ok(())
    }

    fn close_stream(&mut self) {
        self.is_open = false;
        self.requests.clear();
        self.answers.clear();
    }

    /// L46: one request for each lease.
    fn requests(&mut self, frames: Bytes) -> Verdict {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(frames);
        while let Some(message) = decoder.next_message().map_err(|_| "not a frame")? {
            let request = LeaseKeepAliveRequest::decode(message).map_err(|it| it.to_string())?;
            let at = place(LeaseId(request.id));
            if self.requests.iter().chain(&self.answers).any(|packet| packet.at == at) {
                return Err(format!("L46: {at} is asked for twice"));
            }
            self.requests.push(Packet { at, sent: self.time(), ttl: 0 });
        }
        Ok(())
    }

    /// I-L4: once, and for a reason.
    fn lose(&mut self, at: usize, reason: LossReason) -> Verdict {
        let now = self.time();
        let lease = &mut self.held[at];
        self.singles.retain(|it| place(it.0.lease) != at);
        if std::mem::replace(&mut lease.is_lost, true) {
            return Err(format!("I-L4: {at} is lost twice"));
        }
        let is_true = match reason {
            LossReason::Expired => lease.expires.is_none_or(|expires| expires <= now),
            _ => lease.claim.1 <= now,
        };
        if is_true { Ok(()) } else { Err(format!("I-L4: {at} is lost, {reason:?}: {lease:?}")) }
    }

    /// I-L1, I-L8, L46: never valid after the server's own end, and as long as was acknowledged.
    fn judge(&self) -> Verdict {
        for (at, lease) in self.held.iter().enumerate().filter(|it| !it.1.is_lost) {
            let until = self.machine.valid_until(id(at)).ok_or(format!("{at} was forgotten"))?;
            let until = until + self.suspended;
            if lease.expires.is_some_and(|expires| until > expires) {
                return Err(format!("I-L1: {at} is valid until {until:?}: {lease:?}"));
            }
            if until != lease.claim.1 || until <= self.time() {
                return Err(format!("L46: {at} is valid until {until:?}: {lease:?}"));
            }
        }
        Ok(())
    }

    fn answer_single(&mut self, place_of: usize, is_ok: bool) -> Verdict {
        let (single, sent, suspended) = self.singles.remove(place_of);
        let at = place(single.lease);
        if !is_ok {
            let error = Error::new(ErrorKind::ConnectionLost);
            return self.feed(Input::Single(single, sent, Err(error)));
        }
        let ttl = self.renew(at);
        self.hear(at, sent + suspended, ttl);
        let ttl = if ttl > 0 { TTL } else { Duration::ZERO };
        self.feed(Input::Single(single, sent, Ok(ttl)))
    }

    fn deliver(&mut self, place_of: usize) -> Verdict {
        let Packet { at, sent, ttl } = self.answers.remove(place_of);
        self.hear(at, sent, ttl);
        let response = LeaseKeepAliveResponse { header: None, id: id(at).0, ttl };
        let frame = frame::encode(&response, usize::MAX).map_err(|error| error.to_string())?;
        self.feed(Input::Stream(Event::Data(frame)))
    }

    fn end(&mut self) -> Verdict {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("7"));
        trailers.insert("grpc-message", HeaderValue::from_static("etcdserver: permission denied"));
        self.close_stream();
        self.feed(Input::Stream(Event::End(Some(trailers))))
    }

    fn cut(&mut self) -> Verdict {
        self.close_stream();
        let lost = Lost { outcome: Outcome::Unknown, reset: None, cause: None };
        self.feed(Input::Stream(Event::Lost(lost)))
    }

    fn act(&mut self, action: Action) -> Verdict {
        let budget = &mut self.budget;
        match action {
            Action::Serve => {
                let Packet { at, sent, .. } = self.requests.remove(0);
                let ttl = self.renew(at);
                self.answers.push(Packet { at, sent, ttl });
                self.judge()
            }
            Action::Deliver(at) => self.deliver(at),
            Action::Single(at) => self.answer_single(at, true),
            Action::FailSingle(at) => {
                budget.failures -= 1;
                self.answer_single(at, false)
            }
            Action::Confirm(at) => {
                let now = self.time();
                let lease = &mut self.held[at];
                lease.is_confirming = false;
                let exists = lease.expires.is_some_and(|expires| expires > now);
                self.feed(Input::Confirmed(id(at), Ok(exists)))
            }
            Action::Revoke(at) => {
                budget.revocations -= 1;
                self.held[at].expires = None;
                Ok(())
            }
            Action::Regrant(at) => {
                budget.regrants -= 1;
                self.singles.retain(|it| place(it.0.lease) != at);
                self.held[at].is_lost = true;
                self.feed(Input::Remove(id(at)))?;
                self.grant(at)
            }
            Action::End => {
                budget.ends -= 1;
                self.end()
            }
            Action::Cut => {
                budget.cuts -= 1;
                self.cut()
            }
            Action::Suspend => {
                budget.suspensions -= 1;
                self.suspended += SUSPENSION;
                self.feed(Input::Suspended(SUSPENSION))?;
                // What was begun now leaves after it, on any clock.
                self.now = self.now + Duration::from_nanos(1);
                let suspended = self.suspended;
                for (_, sent, _) in self.singles.iter_mut().filter(|it| it.2 == suspended) {
                    *sent = self.now;
                }
                self.drain()
            }
            Action::Tick => {
                budget.ticks -= 1;
                self.now = self.wake.unwrap_or(self.now);
                self.drain()
            }
        }
    }
}

impl World for Leases {
    type Action = Action;

    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.machine.digest(self.now, &mut hasher);
        let now = self.time();
        let since = |at: Instant| at.as_nanos().wrapping_sub(now.as_nanos());
        for lease in &self.held {
            let Lease { expires, claim, is_lost, is_confirming } = *lease;
            (expires.map(since), since(claim.0), since(claim.1)).hash(&mut hasher);
            (is_lost, is_confirming).hash(&mut hasher);
        }
        for packet in self.requests.iter().chain(&self.answers) {
            (packet.at, since(packet.sent), packet.ttl).hash(&mut hasher);
        }
        for (single, sent, suspended) in &self.singles {
            (single.lease, since(*sent + *suspended)).hash(&mut hasher);
        }
        (self.requests.len(), self.is_open, self.budget).hash(&mut hasher);
        hasher.finish()
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = vec![];
        let mut may = |condition: bool, action| {
            if condition {
                actions.push(action);
            }
        };
        let Budget { ticks, cuts, ends, failures, revocations, suspensions, regrants } =
            self.budget;
        may(!self.requests.is_empty(), Action::Serve);
        for at in 0..self.answers.len() {
            may(true, Action::Deliver(at));
        }
        for at in 0..self.singles.len() {
            may(true, Action::Single(at));
            may(failures > 0, Action::FailSingle(at));
        }
        for (at, lease) in self.held.iter().enumerate().filter(|it| !it.1.is_lost) {
            may(lease.is_confirming, Action::Confirm(at));
            may(revocations > 0 && lease.expires.is_some(), Action::Revoke(at));
            may(regrants > 0, Action::Regrant(at));
        }
        may(ends > 0 && self.is_open, Action::End);
        may(cuts > 0 && self.is_open, Action::Cut);
        let is_kept = self.held.iter().any(|lease| !lease.is_lost);
        may(suspensions > 0 && is_kept, Action::Suspend);
        may(ticks > 0 && self.wake.is_some() && is_kept, Action::Tick);
        actions
    }

    fn step(&mut self, action: Action) -> Verdict {
        self.path.push(action);
        self.act(action)
    }

    /// Each lease that is kept alive is renewed before long, and none is lost that exists.
    fn settle(&mut self) -> Verdict {
        self.budget = Budget { ticks: u8::MAX, ..NONE };
        let begun = self.time();
        for _ in 0..120 {
            while let Some(action) =
                self.actions().into_iter().find(|it| !matches!(it, Action::Tick))
            {
                self.step(action)?;
            }
            let is_done = |lease: &Lease| lease.is_lost || lease.claim.0 > begun;
            if self.held.iter().all(is_done) {
                return Ok(());
            }
            self.step(Action::Tick)?;
        }
        Err(format!("a lease is never renewed: {:?}", self.held))
    }

    fn path(&self) -> &[Action] {
        &self.path
    }
}
