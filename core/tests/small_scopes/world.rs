//! The machine, a server, and two who watch; and what of it must hold at any time.

use super::history::{EMPTY, Events, LAST};
use super::server::{Request, Response, Server, Store};
use bytes::Bytes;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::EndpointId;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::proto::etcdserverpb::WatchRequest;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Item, Output, Settings, WatchBatch, WatcherKey, Watches, watch};
use etcd3_core::{Error, ErrorKind, Instant, KeyRange, Machine, Next, Outcome};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How often each fault may happen in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) cuts: u8,
    pub(crate) compactions: u8,
    pub(crate) cancels: u8,
    pub(crate) refusals: u8,
    /// Requests for progress by those who watch.
    pub(crate) requests: u8,
    /// How often the time moves to the machine's next deadline.
    pub(crate) ticks: u8,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Write,
    /// The server takes the next request.
    Serve,
    Refuse,
    Send {
        id: i64,
        all: bool,
        cut: Option<u32>,
    },
    Deliver {
        is_news: bool,
    },
    Compact,
    Cut,
    Cancel(usize),
    /// All that waits is taken.
    Take(usize),
    RequestProgress(usize),
    Tick,
}

/// Why something is not as it must be.
pub(crate) type Verdict = Result<(), String>;

/// One who watches.
#[derive(Debug, Clone, Default, Hash)]
struct Reader {
    delivered: Events,
    progress: i64,
    /// The bytes that were delivered and not taken.
    waiting: usize,
    is_created: bool,
    is_over: bool,
    was_refused: bool,
}

/// All of it.
#[derive(Clone)]
pub(crate) struct World {
    watches: Watches,
    now: Instant,
    wake: Option<Instant>,
    store: Store,
    server: Option<Server>,
    /// The watchers that the machine has or is to get on the stream that is open, by their ids.
    asked_for: BTreeMap<i64, usize>,
    last_id: i64,
    readers: [Reader; 2],
    budget: Budget,
    is_ordered: bool,
    pub(crate) path: Vec<Action>,
}

const KEYS: [WatcherKey; 2] = [WatcherKey(0), WatcherKey(1)];

impl World {
    /// Makes a world in which two begin to watch at an empty store.
    pub(crate) fn new(budget: Budget, is_ordered: bool) -> Result<Self, String> {
        let mut world = Self {
            watches: Watches::new(settings()),
            now: Instant::ORIGIN,
            wake: None,
            store: Store { head: EMPTY, compacted: 0 },
            server: None,
            asked_for: BTreeMap::new(),
            last_id: 0,
            readers: Default::default(),
            budget,
            is_ordered,
            path: vec![],
        };
        // The first holds one batch and no more.
        let all = watch(KeyRange::from_wire("a", "c")).max_buffered_bytes(1).progress_notify();
        let options = [all, watch("b")];
        for (key, options) in KEYS.into_iter().zip(options) {
            world.feed(Input::Create(key, options.from_revision(EMPTY + 1)))?;
        }
        Ok(world)
    }

    /// Returns a number that is the same for worlds that go on in the same way.
    pub(crate) fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.watches.digest(self.now, &mut hasher);
        if let Some(server) = &self.server {
            server.digest(self.last_id, &mut hasher);
        }
        for (id, watcher) in &self.asked_for {
            (self.last_id - id, watcher).hash(&mut hasher);
        }
        let wake = self.wake.map(|wake| wake.saturating_since(self.now));
        (wake, self.store, &self.readers, self.budget).hash(&mut hasher);
        hasher.finish()
    }

    /// Returns all that can happen now.
    pub(crate) fn actions(&self) -> Vec<Action> {
        let mut actions = vec![];
        let mut may = |condition: bool, action| {
            if condition {
                actions.push(action);
            }
        };
        let Budget { cuts, compactions, cancels, refusals, requests, ticks } = self.budget;
        may(self.store.head < LAST, Action::Write);
        may(compactions > 0 && self.store.head > self.store.compacted, Action::Compact);
        may(ticks > 0 && self.wake.is_some() && self.may_wait(), Action::Tick);
        for (at, reader) in self.readers.iter().enumerate() {
            may(cancels > 0 && !reader.is_over, Action::Cancel(at));
            may(reader.waiting > 0 && !reader.is_over, Action::Take(at));
        }
        // By the first, which hears of everything, and slowly.
        may(requests > 0 && !self.readers[0].is_over, Action::RequestProgress(0));
        let Some(server) = &self.server else { return actions };
        let next = server.requests.front();
        may(next.is_some(), Action::Serve);
        may(refusals > 0 && matches!(next, Some(Request::Create { .. })), Action::Refuse);
        may(server.has_answers(), Action::Deliver { is_news: false });
        may(server.has_news(), Action::Deliver { is_news: true });
        may(cuts > 0, Action::Cut);
        for (id, count) in server.unsent(self.store.head) {
            may(true, Action::Send { id, all: false, cut: None });
            may(count > 1, Action::Send { id, all: true, cut: None });
            // Between the two events of one revision, where there are two.
            may(count > 2, Action::Send { id, all: true, cut: Some(2) });
        }
        actions
    }

    /// Returns whether time may pass. A server that answers requests for progress past the events
    /// has to be no slower with them than the machine waits for a second answer (W24): nothing else
    /// would tell.
    fn may_wait(&self) -> bool {
        let is_slow =
            |server: &Server| server.has_news() || server.unsent(self.store.head).next().is_some();
        self.is_ordered || !self.server.as_ref().is_some_and(is_slow)
    }

    /// Does it, and judges what comes of it.
    pub(crate) fn step(&mut self, action: Action) -> Verdict {
        self.path.push(action);
        let store = self.store;
        match action {
            Action::Write => self.store.head += 1,
            Action::Compact => {
                self.budget.compactions -= 1;
                self.store.compacted = self.store.head;
            }
            Action::Tick => {
                self.budget.ticks -= 1;
                self.now = self.wake.unwrap_or(self.now);
                self.drain()?;
            }
            Action::Cut => {
                self.budget.cuts -= 1;
                self.server = None;
                self.asked_for.clear();
                let lost = Lost { outcome: Outcome::Unknown, reset: None, cause: None };
                self.feed(Input::Stream(Event::Lost(lost)))?;
            }
            Action::Cancel(at) => {
                self.budget.cancels -= 1;
                self.readers[at].is_over = true;
                self.feed(Input::Cancel(KEYS[at]))?;
            }
            Action::Take(at) => {
                let bytes = std::mem::take(&mut self.readers[at].waiting);
                self.feed(Input::Taken(KEYS[at], bytes))?;
            }
            Action::RequestProgress(at) => {
                self.budget.requests -= 1;
                self.feed(Input::RequestProgress(KEYS[at]))?;
            }
            Action::Serve | Action::Refuse | Action::Send { .. } | Action::Deliver { .. } => {
                self.step_of_server(action, store)?;
            }
        }
        self.judge()
    }

    fn step_of_server(&mut self, action: Action, store: Store) -> Verdict {
        let Some(server) = &mut self.server else { return Ok(()) };
        match action {
            Action::Serve => server.take(store.head, false, self.is_ordered),
            Action::Refuse => {
                self.budget.refusals -= 1;
                if let Some(Request::Create { id, watcher, .. }) = server.requests.front() {
                    // A watch that was cancelled meanwhile does not learn of it.
                    if self.asked_for.get(id) == Some(watcher) {
                        self.readers[*watcher].was_refused = true;
                    }
                }
                server.take(store.head, true, self.is_ordered);
            }
            Action::Send { id, all, cut } => server.send(id, all, cut, store),
            Action::Deliver { is_news } => {
                let Some(response) = server.deliver(is_news) else { return Ok(()) };
                self.forget(response);
                let frame = frame::encode(&response.on_the_wire(), usize::MAX);
                let frame = frame.map_err(|error| error.to_string())?;
                self.feed(Input::Stream(Event::Data(frame)))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Notes what a response says is over.
    fn forget(&mut self, response: Response) {
        match response {
            // What is compacted the server keeps until it is cancelled (W8).
            Response::Canceled(id) => {
                self.asked_for.remove(&id);
            }
            Response::Refused => {
                // The oldest creation that was not answered; judged by what the reader hears.
                let readers = &self.readers;
                let was_refused = |at: &usize| readers.get(*at).is_some_and(|it| it.was_refused);
                self.asked_for.retain(|_, watcher| !was_refused(watcher));
            }
            _ => {}
        }
    }

    fn feed(&mut self, input: Input) -> Verdict {
        self.watches.handle(self.now, input);
        self.drain()
    }

    fn drain(&mut self) -> Verdict {
        for _ in 0..100 {
            match self.watches.poll(self.now) {
                Next::Wait(wake) if wake.is_some_and(|wake| wake <= self.now) => {
                    return Err("it would spin".to_owned());
                }
                Next::Wait(wake) => {
                    self.wake = wake;
                    return Ok(());
                }
                Next::Do(output) => self.carry_out(output)?,
            }
        }
        Err("it never stops".to_owned())
    }

    fn carry_out(&mut self, output: Output) -> Verdict {
        match output {
            Output::Attempt(_) => {
                self.server = Some(Server::default());
                self.asked_for.clear();
                let endpoint = EndpointId(1);
                self.watches.handle(
                    self.now,
                    Input::Sent(Sent { endpoint, has_choice: true, token: None, seen: 0 }),
                );
                self.watches.handle(self.now, Input::OrderedProgress(self.is_ordered));
                let grpc = HeaderValue::from_static("application/grpc");
                let headers = HeaderMap::from_iter([(http::header::CONTENT_TYPE, grpc)]);
                let head = Event::Head { status: StatusCode::OK, headers };
                self.watches.handle(self.now, Input::Stream(head));
            }
            Output::Identify(_) | Output::Suspended(_) => {}
            Output::Confirm => return Err("there is nothing to confirm".to_owned()),
            Output::Send(frame) => return self.request(frame),
            Output::Deliver(key, item) => return self.deliver(usize_of(key), item),
            Output::End(key, error) => return self.end(usize_of(key), &error),
            Output::Close => {
                if self.readers.iter().any(|reader| !reader.is_over) {
                    return Err("closed while something is watched".to_owned());
                }
                (self.server, self.asked_for) = (None, BTreeMap::new());
            }
        }
        Ok(())
    }

    /// I6, I7: at most one creation under way, and one cancellation.
    fn request(&mut self, frame: Bytes) -> Verdict {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(frame);
        let message = decoder.next_message().ok().flatten().ok_or("not one message")?;
        let request = WatchRequest::decode(message).map_err(|error| error.to_string())?;
        let request = Request::read(&request.request_union.ok_or("an empty request")?);
        match request {
            Request::Create { id, watcher, start } if start <= LAST + 1 => {
                self.last_id = self.last_id.max(id);
                if self.asked_for.values().any(|of| *of == watcher) {
                    return Err(format!("I6: watcher {watcher} is created twice"));
                }
                self.asked_for.insert(id, watcher);
            }
            // The probe of a silent server, at the end of all revisions, is nobody's.
            Request::Create { id, .. } => {
                self.last_id = self.last_id.max(id);
                self.asked_for.insert(id, usize::MAX);
            }
            Request::Cancel(id) => {
                self.asked_for.remove(&id).ok_or(format!("I7: {id} is cancelled twice"))?;
            }
            Request::Progress => {}
        }
        let server = self.server.as_mut().ok_or("sent without a stream")?;
        server.requests.push_back(request);
        Ok(())
    }

    fn deliver(&mut self, at: usize, item: Item) -> Verdict {
        let position = self.watches.position(KEYS[at]);
        let reader = &mut self.readers[at];
        if reader.is_over {
            return Err(format!("I4: {at} gets {item:?} after its end"));
        }
        match item {
            Item::Created(_) if std::mem::replace(&mut reader.is_created, true) => {
                Err(format!("{at} is created twice"))
            }
            Item::Created(_) => Ok(()),
            _ if !reader.is_created => Err(format!("{at} gets {item:?} before it is created")),
            Item::Resumed(next) if Some(next) != position => Err(format!("{at} resumes at {next}")),
            Item::Resumed(_) => Ok(()),
            Item::Events(batch, bytes) => {
                reader.waiting += bytes;
                self.deliver_events(at, &batch)
            }
            Item::Progress(revision) => self.deliver_progress(at, revision),
        }
    }

    /// I1–I3: whole revisions, each event once, in their order, none left out.
    fn deliver_events(&mut self, at: usize, batch: &WatchBatch) -> Verdict {
        let reader = &mut self.readers[at];
        for revision in batch.revisions() {
            let mut events = Events::default();
            for event in revision {
                events = events.with(Events::one(event.revision(), &event.kv.key));
            }
            let number = revision.first().map_or(0, etcd3_core::watch::Event::revision);
            let whole = Events::of(at, number, number);
            let before = Events::of(at, EMPTY + 1, number - 1);
            if events != whole || revision.len() as u64 != u64::from(whole.len()) {
                return Err(format!("I1: {at} gets revision {number} torn: {revision:?}"));
            }
            if reader.delivered.overlaps(whole) || number <= reader.progress {
                return Err(format!("I-W2: {at} gets revision {number} again"));
            }
            if !before.without(reader.delivered).is_empty() {
                return Err(format!("I3: {at} gets revision {number} and not what was before"));
            }
            reader.delivered = reader.delivered.with(whole);
        }
        Ok(())
    }

    /// I-W7: everything up to it was delivered.
    fn deliver_progress(&mut self, at: usize, revision: i64) -> Verdict {
        let reader = &mut self.readers[at];
        let missing = Events::of(at, EMPTY + 1, revision).without(reader.delivered);
        if revision > self.store.head || !missing.is_empty() || revision < reader.progress {
            return Err(format!("I-W7: {at} is told of {revision}, without {missing:?}"));
        }
        reader.progress = revision;
        Ok(())
    }

    fn end(&mut self, at: usize, error: &Error) -> Verdict {
        let reader = &mut self.readers[at];
        if std::mem::replace(&mut reader.is_over, true) {
            return Err(format!("I4: {at} ends twice"));
        }
        let is_true = match error.kind() {
            ErrorKind::WatchCompacted { requested, compacted } => {
                let missing = Events::of(at, EMPTY + 1, requested - 1).without(reader.delivered);
                requested < compacted && compacted <= self.store.compacted && missing.is_empty()
            }
            ErrorKind::WatchRefused => reader.was_refused,
            _ => false,
        };
        if is_true { Ok(()) } else { Err(format!("{at} ends: {error:?}")) }
    }

    /// I-W1, I-W4: what was not delivered is not behind the position.
    fn judge(&self) -> Verdict {
        for (at, reader) in self.readers.iter().enumerate().filter(|it| !it.1.is_over) {
            let Some(position) = self.watches.position(KEYS[at]) else {
                return Err(format!("{at} was forgotten"));
            };
            let passed = Events::of(at, EMPTY + 1, position - 1);
            let lost = passed.without(reader.delivered);
            if !lost.is_empty() || position > self.store.head + 1 {
                return Err(format!("I-W1: {at} has passed {lost:?}, on to {position}"));
            }
        }
        Ok(())
    }

    /// Lets all go well from now on: everything has to be delivered.
    pub(crate) fn settle(&mut self) -> Verdict {
        self.budget = Budget { ticks: u8::MAX, ..Budget::NONE };
        for _ in 0..60 {
            while let Some(action) = self.actions().into_iter().find(is_progress) {
                self.step(action)?;
            }
            let is_done = |(at, reader): (usize, &Reader)| {
                reader.is_over || reader.delivered == Events::of(at, EMPTY + 1, LAST)
            };
            if self.readers.iter().enumerate().all(is_done) {
                return Ok(());
            }
            if self.wake.is_none() {
                break;
            }
            self.step(Action::Tick)?;
        }
        Err(format!("I3: something is never delivered: {:?}", self.readers))
    }
}

impl Budget {
    pub(crate) const NONE: Self =
        Self { cuts: 0, compactions: 0, cancels: 0, refusals: 0, requests: 0, ticks: 0 };
}

fn is_progress(action: &Action) -> bool {
    *action != Action::Tick
}

fn usize_of(key: WatcherKey) -> usize {
    usize::from(key == KEYS[1])
}

fn settings() -> Settings {
    // Without chance, and with so few faults that the rate does not matter.
    Settings {
        backoff: Backoff { first: Duration::ZERO, cap: Duration::ZERO },
        max_message_bytes: 1 << 20,
        max_request_bytes: 1 << 20,
        max_batch_bytes: 1 << 20,
        require_leader: true,
        only: None,
        probe_interval: Duration::from_secs(15),
        answer_timeout: Duration::from_secs(5),
        linger: Duration::from_secs(1),
        seed: 0,
    }
}
