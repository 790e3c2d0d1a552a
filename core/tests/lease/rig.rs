//! Drives the leases of one stream by hand, in milliseconds, and answers as a server would.

use etcd3_core::backoff::Backoff;
use etcd3_core::call::{Attempt, Sent, SentToken};
use etcd3_core::channel::EndpointId;
use etcd3_core::frame::Decoder;
use etcd3_core::lease::{
    Input, KeepAlive, LeaseLost, LossReason, Output, Renewal, Settings, SingleRenewal,
};
use etcd3_core::proto::etcdserverpb::LeaseKeepAliveRequest;
use etcd3_core::transport::Event;
use etcd3_core::{Error, Instant, LeaseId, Machine, Next, ServerError};
use prost::Message;
use std::time::Duration;

pub(crate) use super::server::{CLUSTER, answer, end, granted, head, lost};

pub(crate) fn settings() -> Settings {
    Settings {
        backoff: Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(3) },
        max_message_bytes: 1 << 20,
        require_leader: true,
        only: None,
        linger: Duration::from_secs(1),
        seed: 1,
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One stream, driven by hand.
pub(crate) struct Rig {
    pub(crate) leases: KeepAlive,
    pub(crate) now: Instant,
    wake: Option<Instant>,
    /// What the machine wanted and nobody looked at yet, and when.
    outputs: Vec<(Instant, Output)>,
    renewed: Vec<(i64, Renewal)>,
    late: Vec<(i64, Instant, Option<Error>)>,
    endpoint: u32,
    /// How often the machine was asked what to do.
    pub(crate) steps: usize,
}

impl Rig {
    /// Makes a stream that is not open, some time after the clock began.
    pub(crate) fn new() -> Self {
        let now = Instant::ORIGIN + secs(1_000);
        let leases = KeepAlive::new(settings());
        Self {
            leases,
            now,
            wake: None,
            outputs: vec![],
            renewed: vec![],
            late: vec![],
            endpoint: 0,
            steps: 0,
        }
    }

    /// Makes a stream that is open, with leases of this time to live that were granted just now.
    pub(crate) fn with_leases(count: i64, ttl: u64) -> Self {
        let mut rig = Self::new();
        for id in 1..=count {
            rig.grant(id, ttl);
        }
        rig.open();
        rig
    }

    pub(crate) fn feed(&mut self, input: Input) -> &mut Self {
        self.leases.handle(self.now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        loop {
            self.steps += 1;
            match self.leases.poll(self.now) {
                Next::Do(Output::Renewed(id, renewal)) => self.renewed.push((id.0, renewal)),
                Next::Do(Output::Late(id, since, error)) => self.late.push((id.0, since, error)),
                Next::Do(output) => self.outputs.push((self.now, output)),
                Next::Wait(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    /// Lets the machine do the next thing that it would do by itself, up to a moment; returns
    /// whether there was one.
    fn advance(&mut self, end: Instant) -> bool {
        let Some(wake) = self.wake.filter(|wake| *wake <= end) else { return false };
        self.now = self.now.max(wake);
        self.drain();
        true
    }

    /// Lets this much time pass.
    pub(crate) fn rest(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while self.advance(end) {}
        self.now = end;
        self.drain();
        self
    }

    /// Lets the time pass until the machine has done what is looked for, for an hour at most.
    #[track_caller]
    pub(crate) fn rest_until<T>(&mut self, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = self.now + secs(3_600);
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(self.advance(end), "it is never done: {:?}", self.outputs);
        }
    }

    /// Lets this much time pass; each request is answered at once.
    pub(crate) fn serve(&mut self, time: Duration, ttl: i64) -> Vec<(Instant, i64)> {
        let end = self.now + time;
        let mut all = vec![];
        loop {
            for id in self.asked() {
                all.push((self.now, id));
                self.answer(id, ttl);
            }
            if !self.has_request() && !self.advance(end) {
                self.now = end;
                return all;
            }
        }
    }

    pub(crate) fn has_request(&self) -> bool {
        self.outputs.iter().any(|(_, it)| matches!(it, Output::Send(_)))
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: u64) -> &mut Self {
        self.feed(Input::Add(LeaseId(id), granted(self.now, ttl)))
    }

    pub(crate) fn remove(&mut self, id: i64) -> &mut Self {
        self.feed(Input::Remove(LeaseId(id)))
    }

    /// Opens the stream that the machine wants, with a head.
    #[track_caller]
    pub(crate) fn open(&mut self) -> &mut Self {
        self.take_attempt().expect("an attempt");
        self.open_at(self.endpoint + 1)
    }

    pub(crate) fn open_at(&mut self, endpoint: u32) -> &mut Self {
        self.open_with(endpoint, None)
    }

    /// The same, with a token in the head of the request.
    pub(crate) fn open_with(&mut self, endpoint: u32, token: Option<SentToken>) -> &mut Self {
        self.endpoint = endpoint;
        let sent = Sent { endpoint: EndpointId(endpoint), has_choice: true, token, seen: 0 };
        self.feed(Input::Sent(sent));
        self.feed(Input::Stream(head()))
    }

    /// Lets the time pass until the stream is wanted, and opens it.
    #[track_caller]
    pub(crate) fn reopen(&mut self) -> Attempt {
        let attempt = self.rest_until(Self::take_attempt);
        self.open_at(self.endpoint + 1);
        attempt
    }

    /// Takes what `pick` wants of what the machine wanted.
    pub(crate) fn take<T>(&mut self, mut pick: impl FnMut(&Output) -> Option<T>) -> Vec<T> {
        let mut taken = vec![];
        self.outputs.retain(|(_, output)| {
            let picked = pick(output);
            let is_kept = picked.is_none();
            taken.extend(picked);
            is_kept
        });
        taken
    }

    pub(crate) fn take_attempt(&mut self) -> Option<Attempt> {
        let attempts = self.take(|it| match it {
            Output::Attempt(attempt) => Some(*attempt),
            _ => None,
        });
        assert!(attempts.len() <= 1, "{attempts:?}");
        attempts.into_iter().next()
    }

    /// Takes the leases that were asked for on the stream.
    pub(crate) fn asked(&mut self) -> Vec<i64> {
        let mut decoder = Decoder::new(1 << 20);
        for frames in self.take(|it| match it {
            Output::Send(frames) => Some(frames.clone()),
            _ => None,
        }) {
            decoder.push(frames);
        }
        let mut asked = vec![];
        while let Some(message) = decoder.next_message().expect("a frame") {
            asked.push(LeaseKeepAliveRequest::decode(message).expect("a request").id);
        }
        asked
    }

    /// Lets the time pass until a lease is asked for on the stream.
    #[track_caller]
    pub(crate) fn rest_until_asked(&mut self) -> Vec<i64> {
        self.rest_until(|rig| Some(rig.asked()).filter(|asked| !asked.is_empty()))
    }

    /// Takes the renewals by calls of their own, and when each is to be given up.
    pub(crate) fn singles(&mut self) -> Vec<(SingleRenewal, Instant)> {
        self.take(|it| match it {
            Output::RenewSingly(single, until) => Some((*single, *until)),
            _ => None,
        })
    }

    /// Lets the time pass until one lease is renewed by a call of its own.
    #[track_caller]
    pub(crate) fn rest_until_single(&mut self) -> SingleRenewal {
        let singles = self.rest_until(|rig| Some(rig.singles()).filter(|it| !it.is_empty()));
        assert_eq!(singles.len(), 1, "{singles:?}");
        singles[0].0
    }

    pub(crate) fn renewed(&mut self) -> Vec<(i64, Renewal)> {
        std::mem::take(&mut self.renewed)
    }

    pub(crate) fn late(&mut self) -> Vec<(i64, Instant, Option<Error>)> {
        std::mem::take(&mut self.late)
    }

    pub(crate) fn losses(&mut self) -> Vec<(i64, LeaseLost)> {
        self.take(|it| match it {
            Output::Lost(id, lost) => Some((id.0, lost.clone())),
            _ => None,
        })
    }

    pub(crate) fn lost(&mut self) -> Vec<(i64, LossReason)> {
        self.losses().into_iter().map(|(id, lost)| (id, lost.reason)).collect()
    }

    pub(crate) fn confirms(&mut self) -> Vec<i64> {
        self.take(|it| match it {
            Output::Confirm(id) => Some(id.0),
            _ => None,
        })
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        !self.take(|it| matches!(it, Output::Close).then_some(())).is_empty()
    }

    /// Takes the rest; there must be none.
    #[track_caller]
    pub(crate) fn nothing(&mut self) {
        assert_eq!(std::mem::take(&mut self.outputs), []);
        assert_eq!((self.renewed(), self.late()), (vec![], vec![]));
    }

    pub(crate) fn until(&self, id: i64) -> Option<Instant> {
        self.leases.valid_until(LeaseId(id))
    }

    /// Has the server answer with this time to live, in seconds.
    pub(crate) fn answer(&mut self, id: i64, ttl: i64) -> &mut Self {
        self.feed(Input::Stream(Event::Data(answer(CLUSTER, id, ttl))))
    }

    /// Has a call of its own answered, which was sent at this moment.
    pub(crate) fn answer_single(
        &mut self,
        single: SingleRenewal,
        sent: Instant,
        result: Result<u64, Error>,
    ) -> &mut Self {
        self.feed(Input::Single(single, sent, result.map(secs)))
    }

    pub(crate) fn confirm(&mut self, id: i64, result: Result<bool, Error>) -> &mut Self {
        self.feed(Input::Confirmed(LeaseId(id), result))
    }

    /// Has the server end the stream with this error.
    pub(crate) fn end_with(&mut self, error: ServerError) -> &mut Self {
        self.feed(Input::Stream(end(error)))
    }

    pub(crate) fn lose(&mut self) -> &mut Self {
        self.feed(Input::Stream(lost()))
    }
}
