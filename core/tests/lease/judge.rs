//! Sees only what goes into the machine and comes out, and knows what the servers could have meant.

use super::server::head;
use etcd3_core::frame::Decoder;
use etcd3_core::lease::{Input, KeepAlive, Known, LossReason, Output, SingleRenewal};
use etcd3_core::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseKeepAliveResponse};
use etcd3_core::transport::Event;
use etcd3_core::{Bytes, Instant, LeaseId, Machine, Next};
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many leases are renewed by calls of their own at once, at most.
const MAX_SINGLES: usize = 64;

/// A moment and how long the machine had been suspended until then; in this order they are in the
/// order in which they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Sent(Instant, Duration);

/// What the last acknowledgement says.
#[derive(Debug, Clone, Copy)]
struct Claim {
    sent: Sent,
    ttl: Duration,
}

/// One request on the stream.
#[derive(Debug, Clone, Copy)]
struct Asked {
    lease: LeaseId,
    sent: Sent,
    /// Whether the lease ended since.
    is_void: bool,
}

/// One lease.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact by itself")]
#[derive(Debug, Clone, Default)]
struct Lease {
    /// The newest request that was acknowledged; `None` if nothing is known.
    claim: Option<Claim>,
    is_new: bool,
    is_confirming: bool,
    /// Whether it may be renewed before it is due.
    is_hurried: bool,
    is_late: bool,
    /// The calls of its own that are wanted, and when each was.
    singles: Vec<(SingleRenewal, Instant)>,
    /// Whether the input that is being judged says that it does not exist.
    is_denied: bool,
}

/// The judge.
pub(crate) struct Judge {
    pub(crate) leases: KeepAlive,
    pub(crate) now: Instant,
    wake: Option<Instant>,
    suspended: Vec<(Instant, Duration)>,
    known: BTreeMap<LeaseId, Lease>,
    /// What was asked for on the stream that is open, and not answered.
    asked: VecDeque<Asked>,
    /// The cluster of the leases; 0 if that is not known.
    cluster_id: u64,
    opened: Vec<Instant>,
    pub(crate) is_wanted: bool,
    is_closed: bool,
    pub(crate) renewals: usize,
    pub(crate) losses: usize,
}

impl Judge {
    pub(crate) fn new(leases: KeepAlive) -> Self {
        Self {
            leases,
            now: Instant::ORIGIN,
            wake: None,
            suspended: vec![],
            known: BTreeMap::new(),
            asked: VecDeque::new(),
            cluster_id: 0,
            opened: vec![],
            is_wanted: false,
            is_closed: false,
            renewals: 0,
            losses: 0,
        }
    }

    /// Returns the lease that a server would answer for next.
    pub(crate) fn next_asked(&self) -> Option<LeaseId> {
        self.asked.front().map(|it| it.lease)
    }

    /// Returns a call that is under way, and since when.
    pub(crate) fn next_single(&self) -> Option<(SingleRenewal, Instant)> {
        self.known.values().find_map(|lease| lease.singles.first().copied())
    }

    /// Returns a lease that is to be confirmed.
    pub(crate) fn next_confirmation(&self) -> Option<LeaseId> {
        self.known.iter().find(|it| it.1.is_confirming).map(|it| *it.0)
    }

    pub(crate) fn ttl(&self, id: LeaseId) -> Option<Duration> {
        self.known.get(&id)?.claim.map(|claim| claim.ttl)
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    pub(crate) fn late(&self) -> usize {
        self.known.values().filter(|lease| lease.is_late).count()
    }

    /// Returns what the clock said and did not count at a moment.
    fn sent(&self, at: Instant) -> Sent {
        let before = self.suspended.iter().filter(|it| it.0 < at);
        Sent(at, before.map(|it| it.1).sum())
    }

    /// Returns when something ends that began then, by the clock of now.
    fn end(&self, Claim { sent, ttl }: Claim) -> Instant {
        let all: Duration = self.suspended.iter().map(|it| it.1).sum();
        (sent.0 + ttl) - all.saturating_sub(sent.1)
    }

    /// Lets the time pass up to a moment.
    pub(crate) fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
            self.judge_all();
        }
        self.now = at;
    }

    /// Opens the stream that is wanted, with a head.
    pub(crate) fn open(&mut self, input: &Input) {
        self.is_wanted = false;
        self.feed(input);
        self.feed(&Input::Stream(head()));
    }

    pub(crate) fn feed(&mut self, input: &Input) {
        self.note(input);
        let was_open = self.leases.is_streaming();
        self.leases.handle(self.now, input.clone());
        if !self.leases.is_streaming() || !was_open {
            self.asked.clear();
        }
        if !was_open && self.leases.is_streaming() {
            self.opened.push(self.now);
            self.judge_openings();
        }
        self.drain();
        self.judge_all();
        for lease in self.known.values_mut() {
            lease.is_denied = false;
        }
    }

    /// Takes note of what an input means.
    fn note(&mut self, input: &Input) {
        if self.known.is_empty() {
            self.cluster_id = 0;
        }
        match input {
            Input::Add(id, known) if !self.is_closed => {
                if known.cluster_id != 0 && !self.known.contains_key(id) {
                    self.cluster_id = known.cluster_id;
                }
                let suspended = self.suspended.iter().map(|it| it.1).sum();
                self.known.entry(*id).or_insert_with(|| Lease::new(*known, suspended));
            }
            Input::Add(id, _) => {
                self.known.insert(*id, Lease::default());
            }
            Input::Renew(id) => self.known.entry(*id).or_default().is_hurried = true,
            Input::Remove(id) => {
                self.known.remove(id);
            }
            Input::Revoked(id) => {
                self.known.remove(id);
                self.void(*id);
            }
            Input::Suspended(by) => {
                // It was suspended at this moment, after all that was done by now.
                self.suspended.push((self.now, *by));
                for lease in self.known.values_mut() {
                    lease.is_hurried = true;
                }
            }
            Input::Migrate => self.opened.clear(),
            Input::Closed(_) => self.is_closed = true,
            Input::Stream(Event::Data(frame)) if self.leases.is_streaming() => self.answer(frame),
            Input::Single(single, sent, result) => {
                let sent = self.sent((*sent).min(self.now));
                let Some(lease) = self.known.get_mut(&single.lease) else { return };
                let Some(at) = lease.singles.iter().position(|it| it.0 == *single) else { return };
                lease.singles.remove(at);
                if let Ok(ttl) = result {
                    self.hear(single.lease, sent, *ttl);
                }
            }
            Input::Confirmed(id, result) => {
                let Some(lease) = self.known.get_mut(id).filter(|it| it.is_confirming) else {
                    return;
                };
                lease.is_confirming = false;
                lease.is_denied |= *result == Ok(false);
                lease.is_hurried = true;
            }
            _ => {}
        }
    }

    /// A lease does not exist any more: what was asked before says nothing of one that comes again.
    fn void(&mut self, id: LeaseId) {
        for asked in self.asked.iter_mut().filter(|it| it.lease == id) {
            asked.is_void = true;
        }
    }

    /// An answer on the stream.
    fn answer(&mut self, frame: &Bytes) {
        let message = frame.get(5..).unwrap_or_default();
        let Ok(answer) = LeaseKeepAliveResponse::decode(message) else { return };
        let found = answer.header.map_or(0, |header| header.cluster_id);
        if self.cluster_id != 0 && found != self.cluster_id {
            return;
        }
        let id = LeaseId(answer.id);
        let Some(at) = self.asked.iter().position(|it| it.lease == id) else { return };
        let Some(asked) = self.asked.remove(at) else { return };
        if asked.is_void {
            if let Some(lease) = self.known.get_mut(&id) {
                lease.is_hurried = true;
            }
            return;
        }
        if answer.ttl > 0 && self.known.contains_key(&id) {
            self.cluster_id = found;
        }
        self.hear(id, asked.sent, Duration::from_secs(answer.ttl.try_into().unwrap_or_default()));
    }

    /// A request was answered.
    fn hear(&mut self, id: LeaseId, sent: Sent, ttl: Duration) {
        let claim = Claim { sent, ttl };
        let is_over = self.end(claim) <= self.now;
        let Some(lease) = self.known.get_mut(&id) else { return };
        if lease.claim.is_some_and(|newest| sent.0 < newest.sent.0) {
            lease.is_hurried = true;
        } else if ttl.is_zero() {
            lease.is_denied |= !lease.is_new;
        } else if !is_over {
            lease.claim = Some(claim);
            lease.is_new = false;
            lease.is_confirming = false;
            lease.is_hurried = false;
        }
    }

    fn drain(&mut self) {
        for _ in 0..5_000 {
            match self.leases.poll(self.now) {
                Next::Do(output) => self.judge(&output),
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("never stops");
    }

    fn judge(&mut self, output: &Output) {
        match output {
            Output::Attempt(_) => {
                self.is_wanted = true;
                self.asked.clear();
            }
            Output::Close => {
                let is_due = self.known.is_empty() || self.is_closed;
                assert!(is_due, "closed, and there are leases");
                (self.is_wanted, self.opened) = (false, vec![]);
            }
            Output::Send(frames) => self.judge_requests(frames),
            Output::RenewSingly(single, until) => self.judge_single(*single, *until),
            Output::Confirm(id) => {
                let lease = self.of(*id);
                assert!(lease.is_new && !lease.is_confirming, "I-L4: {id} is confirmed");
                lease.is_confirming = true;
            }
            Output::Renewed(id, renewal) => {
                let claim = self.of(*id).claim.expect("I-L1: nothing was acknowledged");
                assert_eq!((renewal.until, renewal.ttl), (self.end(claim), claim.ttl), "I-L1");
                let lease = self.of(*id);
                (lease.is_late, lease.singles) = (false, vec![]);
                self.renewals += 1;
            }
            Output::Late(id, since, _) => {
                let now = self.now;
                let lease = self.of(*id);
                assert!(!std::mem::replace(&mut lease.is_late, true), "late twice: {id}");
                assert!(*since <= now, "late since {since:?}");
            }
            Output::Lost(id, lost) => self.judge_loss(*id, lost.reason),
        }
    }

    /// Returns the lease, which is not to be lost.
    fn of(&mut self, id: LeaseId) -> &mut Lease {
        self.known.get_mut(&id).unwrap_or_else(|| panic!("I-L4: {id} is not kept alive"))
    }

    /// I-L2, L46: one at a time, and none before it is due.
    fn judge_requests(&mut self, frames: &Bytes) {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(frames.clone());
        while let Some(message) = decoder.next_message().expect("a frame") {
            let id = LeaseId(LeaseKeepAliveRequest::decode(message).expect("a request").id);
            assert!(self.asked.iter().all(|it| it.lease != id), "L46: {id} is asked for twice");
            let now = self.now;
            let due = self.known.get(&id).and_then(|lease| lease.claim);
            let due = due.map(|Claim { sent, ttl }| Claim { sent, ttl: ttl / 10 * 3 });
            let due = due.map(|due| self.end(due));
            let lease = self.of(id);
            let is_due = due.is_none_or(|due| due <= now);
            assert!(is_due || lease.is_hurried, "I-L2: {id} is asked for before {due:?}");
            let sent = Sent(now, self.suspended.iter().map(|it| it.1).sum());
            self.asked.push_back(Asked { lease: id, sent, is_void: false });
        }
    }

    fn judge_single(&mut self, single: SingleRenewal, until: Instant) {
        let id = single.lease;
        if let Some(claim) = self.of(id).claim {
            assert_eq!(until, self.end(claim), "it may last as long as the lease");
        }
        let now = self.now;
        let lease = self.of(id);
        assert!(lease.singles.iter().all(|it| it.0 == single), "{:?}", lease.singles);
        lease.singles.push((single, now));
        let all: usize = self.known.values().map(|lease| lease.singles.len()).sum();
        assert!(all <= MAX_SINGLES, "{all} calls at once");
    }

    /// I-L4, I-L5, L46: once, and never while a server could still have it.
    fn judge_loss(&mut self, id: LeaseId, reason: LossReason) {
        let end = self.known.get(&id).and_then(|lease| lease.claim).map(|it| self.end(it));
        let (now, is_closed) = (self.now, self.is_closed);
        let lease = self.of(id);
        let is_true = match reason {
            LossReason::Expired => lease.is_denied,
            LossReason::Closed => is_closed,
            _ => end.is_some_and(|end| end <= now),
        };
        assert!(is_true, "I-L4: {id} is lost, {reason:?}, and ends at {end:?}: {lease:?}");
        if reason == LossReason::Expired {
            self.void(id);
        }
        self.known.remove(&id);
        self.losses += 1;
    }

    /// I-L1, L46: valid for exactly as long as servers say, and not a moment longer.
    fn judge_all(&self) {
        assert_eq!(self.leases.len(), self.known.len());
        for (id, lease) in &self.known {
            let end = lease.claim.map(|claim| self.end(claim));
            assert_eq!(self.leases.valid_until(*id), end, "I-L1: {id}");
            assert!(end.is_none_or(|end| end > self.now), "L46: {id} is over since {end:?}");
            assert!(!lease.is_denied, "I-L4: {id} does not exist");
        }
    }

    /// I-W12
    fn judge_openings(&self) {
        if let [.., first, _, _, _, _, _, _, _, _, _, last] = &self.opened[..] {
            let within = last.saturating_since(*first);
            assert!(within >= Duration::from_secs(10), "11 streams within {within:?}");
        }
    }
}

impl Lease {
    fn new(known: Known, suspended: Duration) -> Self {
        let claim = known.until.zip(known.ttl);
        let claim = claim.map(|(until, ttl)| Claim { sent: Sent(until - ttl, suspended), ttl });
        Self { claim, is_new: known.is_new, ..Self::default() }
    }
}
