//! The machine of watches with a hostile server: the laws, and what it promises whatever is said
//! (I1, I2, I4–I7, I-W2, I-W4, I-W8, I-W10, I-W12, I-W14).

use arbitrary::Arbitrary;
use etcd3_core::auth::Generation;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::{Sent, SentToken};
use etcd3_core::channel::{Denied, EndpointId};
use etcd3_core::frame::{self, Decoder};
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::proto::etcdserverpb::{ResponseHeader, WatchRequest, WatchResponse};
use etcd3_core::proto::mvccpb;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{
    self, Input, Item, Output, Settings, WatchOptions, WatcherKey, Watches, watch,
};
use etcd3_core::{Bytes, Error, ErrorKind, Instant, Machine, Next, Outcome, ServerError, laws};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Arbitrary)]
struct Run {
    backoff_ms: (u8, u16),
    limits: (u16, u16),
    probe_ms: u16,
    answer_ms: u16,
    linger_ms: u16,
    seed: u64,
}

/// What happens next, some milliseconds after the step before, and whether the server then does all
/// that is asked of it.
#[derive(Debug, Arbitrary)]
enum Step {
    Create { key: u8, start: i8, buffer: Option<u8> },
    Cancel(u8),
    Taken(u8, u16),
    RequestProgress(u8),
    Ordered(bool),
    Confirmed(Option<(bool, i8)>),
    Throttled,
    Sent { endpoint: u8, token: Option<u8> },
    Head,
    Created { id: i8, revision: i64 },
    Refused { id: i8, reason: u8 },
    Canceled { id: i8, compacted: i64 },
    Events { id: i8, key: u8, from: i64, count: u8, is_part: bool, is_foreign: bool },
    Progress { id: i8, revision: i64 },
    Data(Vec<u8>),
    End(u8),
    Lost(bool),
    Migrate,
    Closed,
}

/// Refusals, in the words of servers.
const REASONS: [&str; 5] = [
    "",
    "mvcc: duplicate watch ID provided on the WatchStream",
    "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
    "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
    "etcdserver: mvcc: required revision has been compacted",
];

/// Runs the machine with whatever a server may say.
///
/// # Panics
///
/// When it breaks a law or a promise.
pub fn watch_machine(data: &[u8]) {
    let Some((run, steps)) = crate::steps::<Run, (u8, bool, Step)>(data, 200) else { return };
    let watches = Watches::new(settings(&run));
    let mut judge = Judge::new(watches.clone());
    let (mut script, mut now) = (Vec::new(), Instant::ORIGIN);
    for (after, is_proper, step) in &steps {
        now = now + Duration::from_millis(u64::from(*after) * 8);
        judge.advance(now);
        let mut next = Some(judge.input(step));
        while let Some(input) = next {
            script.push((now, input.clone()));
            judge.feed(&input);
            next = judge.proper().filter(|_| *is_proper);
        }
    }
    laws::check_machine(&watches, &script);
}

fn settings(run: &Run) -> Settings {
    let ms = |ms: u16| Duration::from_millis(ms.into());
    Settings {
        backoff: Backoff { first: ms(run.backoff_ms.0.into()), cap: ms(run.backoff_ms.1) },
        max_message_bytes: run.limits.0.into(),
        max_request_bytes: 1 << 20,
        max_batch_bytes: run.limits.1.into(),
        require_leader: true,
        only: None,
        probe_interval: ms(run.probe_ms),
        answer_timeout: ms(run.answer_ms),
        linger: ms(run.linger_ms),
        seed: run.seed,
    }
}

fn command(step: &Step) -> Option<Input> {
    let key = |key: &u8| WatcherKey(u64::from(key % 8));
    Some(match step {
        Step::Create { key: of, start, buffer } => {
            let mut options = watch(name(*of)).from_revision(i64::from(*start));
            if let Some(buffer) = buffer {
                options = options.max_buffered_bytes(usize::from(*buffer) * 8);
            }
            Input::Create(key(of), options)
        }
        Step::Cancel(of) => Input::Cancel(key(of)),
        Step::Taken(of, bytes) => Input::Taken(key(of), usize::from(*bytes)),
        Step::RequestProgress(of) => Input::RequestProgress(key(of)),
        Step::Ordered(is_ordered) => Input::OrderedProgress(*is_ordered),
        Step::Confirmed(None) => Input::Confirmed(Err(Error::new(ErrorKind::ConnectionLost))),
        Step::Confirmed(Some((is_foreign, revision))) => {
            Input::Confirmed(Ok(header(*is_foreign, i64::from(*revision)).into()))
        }
        Step::Throttled => Input::Denied(Denied::Throttled),
        Step::Sent { endpoint, token } => {
            let endpoint = u32::from(endpoint % 3);
            // The age of some of them, in seconds, beside their generation.
            let token = token.map(|token| SentToken {
                generation: Generation(u64::from(token % 8)),
                since: Instant::ORIGIN + Duration::from_secs(u64::from(token / 8)),
            });
            Input::Sent(Sent { endpoint: EndpointId(endpoint), has_choice: true, token, seen: 0 })
        }
        Step::Migrate => Input::Migrate,
        Step::Closed => Input::Closed(ErrorKind::Closed),
        _ => return None,
    })
}

/// Returns what the stream tells; `known` are the watchers that were to be created on it.
fn event(step: &Step, known: &[(i64, u8)]) -> Event {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    match step {
        Step::Head => Event::Head { status: StatusCode::OK, headers },
        Step::End(code) => {
            let error = ServerError::ALL[usize::from(*code) % ServerError::ALL.len()];
            headers.insert("grpc-status", u16::from(error.code().number()).into());
            headers.insert("grpc-message", HeaderValue::from_static(error.text()));
            Event::End(Some(headers))
        }
        Step::Lost(is_unsent) => {
            let outcome = if *is_unsent { Outcome::NotSent } else { Outcome::Unknown };
            Event::Lost(Lost { outcome, reset: None, cause: None })
        }
        Step::Data(bytes) => Event::Data(bytes.clone().into()),
        said => {
            let response = response(said, known);
            Event::Data(frame::encode(&response, usize::MAX).unwrap_or_default())
        }
    }
}

/// Reads an id: mostly that of a watcher that was to be created, and then with its key.
fn id_of(id: i8, known: &[(i64, u8)]) -> (i64, Option<u8>) {
    let place = usize::try_from(id).ok().filter(|_| id % 8 != 7);
    let place = place.and_then(|place| place.checked_rem(known.len()));
    place.map_or((id.into(), None), |at| (known[at].0, Some(known[at].1)))
}

fn response(step: &Step, known: &[(i64, u8)]) -> WatchResponse {
    let empty = WatchResponse::default();
    match *step {
        Step::Created { id, revision } => WatchResponse {
            header: Some(header(false, revision)),
            watch_id: id_of(id, known).0,
            created: true,
            ..empty
        },
        Step::Refused { id, reason } => WatchResponse {
            watch_id: id.into(),
            created: true,
            canceled: true,
            cancel_reason: REASONS[usize::from(reason) % REASONS.len()].to_owned(),
            ..empty
        },
        Step::Canceled { id, compacted: compact_revision } => {
            let watch_id = id_of(id, known).0;
            WatchResponse { watch_id, canceled: true, compact_revision, ..empty }
        }
        Step::Progress { id, revision } => {
            let (header, watch_id) = (Some(header(false, revision)), id_of(id, known).0);
            WatchResponse { header, watch_id, ..empty }
        }
        Step::Events { id, key, from, count, is_part, is_foreign } => {
            let (watch_id, own) = id_of(id, known);
            let key = own.filter(|_| key % 16 != 15).unwrap_or(key);
            let from = if key % 4 == 3 { from } else { from % 64 };
            let revisions = (0..i64::from(count % 8)).map(|at| from.wrapping_add(at / 2));
            WatchResponse {
                header: Some(header(is_foreign, from)),
                watch_id,
                events: revisions.map(|revision| put(key, revision)).collect(),
                fragment: is_part,
                ..empty
            }
        }
        _ => empty,
    }
}

fn header(is_foreign: bool, revision: i64) -> ResponseHeader {
    ResponseHeader { cluster_id: 7 + u64::from(is_foreign), revision, ..Default::default() }
}

fn name(key: u8) -> String {
    format!("k{}", key % 8)
}

fn put(key: u8, mod_revision: i64) -> mvccpb::Event {
    let kv = mvccpb::KeyValue { key: name(key).into(), mod_revision, ..Default::default() };
    mvccpb::Event { kv: Some(kv), ..Default::default() }
}

/// Sees only what goes into the machine and comes out.
struct Judge {
    watches: Watches,
    now: Instant,
    wake: Option<Instant>,
    watched: BTreeMap<WatcherKey, Watched>,
    /// The watchers that were to be created on the stream that is open: their ids and keys.
    known: Vec<(i64, u8)>,
    /// Those of them whose creations are not answered.
    unanswered: Vec<i64>,
    /// Whether the stream is wanted, and whether its head came.
    is_wanted: bool,
    has_head: bool,
    /// When streams were opened, since one was left without a failure.
    opened: Vec<Instant>,
}

struct Watched {
    options: WatchOptions,
    last: i64,
    position: i64,
    waiting: usize,
    is_created: bool,
}

impl Judge {
    fn new(watches: Watches) -> Self {
        Self {
            watches,
            now: Instant::ORIGIN,
            wake: None,
            watched: BTreeMap::new(),
            known: vec![],
            unanswered: vec![],
            is_wanted: false,
            has_head: false,
            opened: vec![],
        }
    }

    /// Reads a step, as what has been said until now makes it.
    fn input(&self, step: &Step) -> Input {
        command(step).unwrap_or_else(|| Input::Stream(event(step, &self.known)))
    }

    /// Returns what a server that keeps the rules does next.
    fn proper(&mut self) -> Option<Input> {
        if std::mem::take(&mut self.is_wanted) {
            self.has_head = false;
            return command(&Step::Sent { endpoint: 0, token: Some(1) });
        }
        if !self.watches.is_streaming() {
            return None;
        }
        if !std::mem::replace(&mut self.has_head, true) {
            return Some(Input::Stream(event(&Step::Head, &[])));
        }
        let watch_id = (!self.unanswered.is_empty()).then(|| self.unanswered.remove(0))?;
        let header = Some(header(false, 40));
        let created = WatchResponse { header, watch_id, created: true, ..Default::default() };
        let frame = frame::encode(&created, usize::MAX).unwrap_or_default();
        Some(Input::Stream(Event::Data(frame)))
    }

    fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
        }
        self.now = at;
    }

    fn feed(&mut self, input: &Input) {
        match input {
            Input::Create(key, options) => {
                let (start, options) = (options.start(), options.clone());
                self.watched.entry(*key).or_insert(Watched {
                    options,
                    last: start.saturating_sub(1),
                    position: start,
                    waiting: 0,
                    is_created: false,
                });
            }
            Input::Cancel(key) => {
                self.watched.remove(key);
            }
            Input::Taken(key, bytes) => {
                if let Some(watched) = self.watched.get_mut(key) {
                    watched.waiting = watched.waiting.saturating_sub(*bytes);
                }
            }
            Input::Migrate => self.opened.clear(),
            _ => {}
        }
        let was_open = self.watches.is_streaming();
        self.watches.handle(self.now, input.clone());
        if !was_open && self.watches.is_streaming() {
            self.opened.push(self.now);
            self.known.clear();
            self.unanswered.clear();
            if let [.., first, _, _, _, _, _, _, _, _, _, last] = &self.opened[..] {
                let within = last.saturating_since(*first);
                assert!(within >= Duration::from_secs(10), "I-W12: {within:?}");
            }
        }
        self.drain();
        assert_eq!(self.watches.len(), self.watched.len());
        for (key, watched) in &mut self.watched {
            let position = self.watches.position(*key).expect("a position");
            assert!(position >= watched.position && position > watched.last, "I-W4");
            watched.position = position;
        }
    }

    fn drain(&mut self) {
        for _ in 0..2_000 {
            match self.watches.poll(self.now) {
                Next::Do(output) => self.judge(output),
                Next::Wait(wake) => {
                    assert!(wake.is_none_or(|wake| wake > self.now), "would spin");
                    self.wake = wake;
                    return;
                }
            }
        }
        panic!("never stops");
    }

    fn judge(&mut self, output: Output) {
        match output {
            Output::Close => {
                assert!(self.watched.is_empty(), "closed, and something is watched");
                self.opened.clear();
            }
            Output::Send(frame) => self.judge_request(frame),
            Output::Deliver(key, item) => self.judge_item(key, item),
            Output::End(key, _) => assert!(self.watched.remove(&key).is_some(), "I4: {key:?}"),
            Output::Attempt(_) => self.is_wanted = true,
            Output::Identify(_) | Output::Confirm | Output::Suspended(_) => {}
        }
    }

    /// I-W4: a watch goes on where it is.
    fn judge_request(&mut self, frame: Bytes) {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(frame);
        let message = decoder.next_message().expect("a frame").expect("a message");
        let request = WatchRequest::decode(message).expect("a request");
        if let Some(RequestUnion::CreateRequest(create)) = request.request_union
            && create.key != [0].as_slice()
        {
            let of = create.key.last().map_or(0, |digit| digit - b'0');
            let watched = &self.watched[&WatcherKey(of.into())];
            assert!(create.start_revision >= watched.position.max(watched.last + 1), "I-W4");
            self.known.push((create.watch_id, of));
            self.unanswered.push(create.watch_id);
        }
    }

    fn judge_item(&mut self, key: WatcherKey, item: Item) {
        let watched = self.watched.get_mut(&key).expect("I4: a watch that is not over");
        assert_eq!(watched.is_created, !matches!(item, Item::Created(_)), "W71: {item:?}");
        match item {
            Item::Created(_) => watched.is_created = true,
            Item::Events(batch, bytes) => {
                assert!(batch.events.is_sorted_by_key(watch::Event::revision), "I1");
                let first = batch.events.first().map(watch::Event::revision);
                assert!(first > Some(watched.last), "I-W2: {first:?} after {}", watched.last);
                assert!(batch.events.iter().all(|event| watched.options.wants(event)), "I-W14");
                let limit = watched.options.buffer_limit();
                watched.waiting += bytes;
                assert!(watched.waiting <= limit.max((limit / 2).saturating_add(bytes)), "I-W10");
                watched.last = batch.revision();
            }
            Item::Progress(revision) => assert!(revision >= watched.last, "W68"),
            Item::Resumed(next) => assert!(next > watched.last),
        }
    }
}
