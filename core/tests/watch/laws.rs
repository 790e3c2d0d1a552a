//! The laws of the machine, and what it promises whatever a server says.

use crate::rig::{CLUSTER, created, events, framed, part, progress, put, settings};
use etcd3_core::auth::Generation;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::{Sent, SentToken};
use etcd3_core::channel::{Denied, EndpointId};
use etcd3_core::frame::Decoder;
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::proto::etcdserverpb::{ResponseHeader, WatchRequest, WatchResponse};
use etcd3_core::rng::Rng;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Item, Output, Settings, WatchOptions, WatcherKey, Watches, watch};
use etcd3_core::{Error, ErrorKind, Instant, Machine, Next, Outcome, ServerError, laws};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many watches there are in a run, each begun once.
const WATCHES: u64 = 5;

fn below(rng: &mut Rng, count: u64) -> i64 {
    i64::try_from(rng.below(count)).unwrap_or_default()
}

fn options(key: u64) -> WatchOptions {
    let name = format!("k{key}");
    let start = i64::try_from(key).unwrap_or_default() * 3;
    match key {
        0 => watch(name).from_revision(1).progress_notify(),
        1 => watch(name).from_revision(start).max_buffered_bytes(1),
        2 => watch(name).from_revision(start).max_buffered_bytes(700).fragment(false),
        3 => watch(name).from_revision(start).without_deletes(),
        _ => watch(name).from_revision(start),
    }
}

fn random_settings(rng: &mut Rng) -> Settings {
    let some = |rng: &mut Rng, most_ms| Duration::from_millis(rng.below(most_ms));
    Settings {
        backoff: Backoff { first: some(rng, 100), cap: some(rng, 3_000) },
        max_message_bytes: if rng.below(4) == 0 { 200 } else { 1 << 20 },
        max_batch_bytes: if rng.below(4) == 0 { 1_000 } else { 1 << 20 },
        probe_interval: some(rng, 2_000),
        answer_timeout: some(rng, 1_000),
        linger: some(rng, 1_000),
        seed: rng.next_u64(),
        ..settings()
    }
}

/// A message of a server that knows the fields, and little else.
fn random_response(rng: &mut Rng) -> WatchResponse {
    let reasons = [
        "",
        "mvcc: duplicate watch ID provided on the WatchStream",
        "rpc error: code = Unauthenticated desc = etcdserver: invalid auth token",
        "etcdserver: mvcc: required revision has been compacted",
    ];
    let revision = below(rng, 40) - 1;
    let cluster_id = if rng.below(30) == 0 { CLUSTER + 1 } else { CLUSTER };
    let header = ResponseHeader { cluster_id, revision, ..Default::default() };
    let watch_id = below(rng, 9) - 1;
    let mut response = WatchResponse { header: Some(header), watch_id, ..WatchResponse::default() };
    let kind = rng.below(20);
    response.created = kind <= 7;
    response.canceled = kind == 7 || kind == 8;
    if response.canceled {
        response.cancel_reason = reasons[usize::try_from(rng.below(4)).unwrap_or_default()].into();
        response.compact_revision = below(rng, 2) * below(rng, 20);
    }
    if kind > 9 {
        let name = format!("k{}", if rng.below(20) == 0 { 1 } else { watch_id - 1 });
        let mut at = revision;
        for _ in 0..rng.below(4) {
            response.events.push(put(&name, at));
            at += below(rng, 3) - i64::from(rng.below(40) == 0);
        }
        response.fragment = rng.below(5) == 0;
    }
    response
}

fn random_event(rng: &mut Rng) -> Event {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    match rng.below(60) {
        0 => Event::Lost(Lost { outcome: Outcome::Unknown, reset: None, cause: None }),
        1 => Event::Lost(Lost { outcome: Outcome::NotSent, reset: None, cause: None }),
        2 => {
            let texts =
                [ServerError::NoLeader, ServerError::InvalidAuthToken, ServerError::Stopped];
            let error = texts[usize::try_from(rng.below(3)).unwrap_or_default()];
            headers.insert("grpc-status", u16::from(error.code().number()).into());
            headers.insert("grpc-message", HeaderValue::from_static(error.text()));
            Event::End(Some(headers))
        }
        3 => Event::Data(vec![0, 0, 0, 0, 2, 0xff, 0xff].into()),
        4 => Event::Data(vec![0, 0x7f, 0, 0, 0].into()),
        5..=12 => Event::Head { status: StatusCode::OK, headers },
        _ => Event::Data(framed(&random_response(rng))),
    }
}

fn random_input(rng: &mut Rng) -> Input {
    let key = WatcherKey(rng.below(WATCHES));
    match rng.below(40) {
        0..=3 => Input::Create(key, options(key.0)),
        4 if rng.below(3) == 0 => Input::Cancel(key),
        5..=6 => Input::Taken(key, usize::try_from(rng.below(2_000)).unwrap_or_default()),
        7 => Input::RequestProgress(key),
        8 => Input::OrderedProgress(rng.below(2) == 0),
        9 if rng.below(4) == 0 => Input::Denied(Denied::Throttled),
        9 if rng.below(8) == 0 => Input::NoToken(None),
        10 if rng.below(4) == 0 => Input::Migrate,
        11 if rng.below(100) == 0 => Input::Closed(ErrorKind::Closed),
        12 if rng.below(2) == 0 => Input::Confirmed(Err(Error::new(ErrorKind::ConnectionLost))),
        12 => {
            let cluster_id = if rng.below(4) == 0 { CLUSTER + 1 } else { CLUSTER };
            let revision = below(rng, 80);
            let header = ResponseHeader { cluster_id, revision, ..Default::default() };
            Input::Confirmed(Ok(header.into()))
        }
        13..=15 => sent(rng),
        _ => Input::Stream(random_event(rng)),
    }
}

fn sent(rng: &mut Rng) -> Input {
    let endpoint = EndpointId(u32::try_from(rng.below(3)).unwrap_or_default());
    let token = (rng.below(2) == 0).then(|| {
        let since = Instant::ORIGIN + Duration::from_secs(rng.below(20));
        SentToken { generation: Generation(rng.below(5)), since }
    });
    Input::Sent(Sent { endpoint, has_choice: true, token, seen: 0 })
}

/// Sees only what goes into the machine and comes out.
struct Judge {
    watches: Watches,
    now: Instant,
    wake: Option<Instant>,
    watched: BTreeMap<WatcherKey, Watched>,
    /// The ids of the stream that is open that are to be forgotten by the server.
    canceled: BTreeSet<i64>,
    /// The creations that were sent and not answered, and the watchers that were answered for: the
    /// ids, and the names of their keys.
    creating: Vec<(i64, String)>,
    live: Vec<(i64, String)>,
    /// When streams were opened after one that failed.
    opened: Vec<Instant>,
    /// Whether the machine asked for a stream that it did not get yet.
    is_wanted: bool,
    batches: u64,
    /// Whether the server has said what it made up.
    is_odd: bool,
}

/// What is known of one watch.
struct Watched {
    options: WatchOptions,
    /// The last revision that was delivered.
    last: i64,
    progress: i64,
    position: i64,
    waiting: usize,
    is_created: bool,
}

impl Judge {
    fn new(settings: Settings) -> Self {
        Self {
            watches: Watches::new(settings),
            now: Instant::ORIGIN,
            wake: None,
            watched: BTreeMap::new(),
            canceled: BTreeSet::new(),
            creating: vec![],
            live: vec![],
            opened: vec![],
            is_wanted: false,
            batches: 0,
            is_odd: false,
        }
    }

    /// Returns what a server would say: the answer to a creation, or the next events of a watcher.
    fn proper(&mut self, rng: &mut Rng, revision: i64) -> Input {
        if !self.creating.is_empty() {
            let (watch_id, name) = self.creating.remove(0);
            self.live.push((watch_id, name));
            return framed_input(&created(watch_id, revision));
        }
        if self.live.is_empty() {
            return Input::OrderedProgress(true);
        }
        let place = usize::try_from(rng.below(self.live.len() as u64)).unwrap_or_default();
        let (watch_id, name) = &self.live[place];
        match rng.below(8) {
            0 => framed_input(&progress(-1, revision)),
            1 => framed_input(&progress(*watch_id, revision)),
            2 => framed_input(&part(*watch_id, name, &[revision])),
            _ => framed_input(&events(*watch_id, name, &[revision, revision + 1])),
        }
    }

    fn advance(&mut self, at: Instant) {
        while let Some(wake) = self.wake.filter(|wake| *wake <= at) {
            self.now = wake;
            self.drain();
        }
        self.now = at;
    }

    fn feed(&mut self, input: Input) {
        match &input {
            Input::Create(key, options) if !self.watched.contains_key(key) => {
                let start = options.start();
                let watched = Watched {
                    options: options.clone(),
                    last: start - 1,
                    progress: 0,
                    position: start,
                    waiting: 0,
                    is_created: false,
                };
                self.watched.insert(*key, watched);
            }
            Input::Cancel(key) => {
                self.watched.remove(key);
            }
            Input::Taken(key, bytes) => {
                if let Some(watched) = self.watched.get_mut(key) {
                    watched.waiting = watched.waiting.saturating_sub(*bytes);
                }
            }
            Input::Sent(_) if self.is_wanted => {
                self.is_wanted = false;
                self.canceled.clear();
                self.creating.clear();
                self.live.clear();
            }
            // A server may give an id out again once it has forgotten its watcher.
            Input::Stream(Event::Data(frame)) => {
                let message = frame.get(5..).unwrap_or_default();
                if let Ok(WatchResponse { watch_id, created, canceled, .. }) =
                    WatchResponse::decode(message)
                    && (created || canceled)
                {
                    self.canceled.remove(&watch_id);
                }
            }
            // Whatever follows at once is not after a failure.
            Input::Migrate => self.opened.clear(),
            _ => {}
        }
        let is_sent = matches!(input, Input::Sent(_)) && !self.watches.is_streaming();
        self.watches.handle(self.now, input);
        if is_sent && self.watches.is_streaming() {
            self.opened.push(self.now);
        }
        self.drain();
        self.judge_positions();
        self.judge_rate();
    }

    fn drain(&mut self) {
        for _ in 0..1_000 {
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
            Output::Attempt(_) => self.is_wanted = true,
            Output::Close => {
                assert!(self.watched.is_empty(), "closed, and something is watched");
                // What is watched next does not follow a failure.
                self.opened.clear();
            }
            Output::Send(frame) => self.judge_request(frame),
            Output::Deliver(key, item) => self.judge_item(key, item),
            Output::End(key, _) => assert!(self.watched.remove(&key).is_some(), "I4: {key:?}"),
            Output::Identify(_) | Output::Confirm | Output::Suspended(_) => {}
        }
    }

    /// I6, I7, I-W4: what is asked of the server.
    fn judge_request(&mut self, frame: bytes::Bytes) {
        let mut decoder = Decoder::new(1 << 20);
        decoder.push(frame);
        let message = decoder.next_message().expect("a frame").expect("a message");
        let request = WatchRequest::decode(message).expect("a request");
        match request.request_union.expect("a kind") {
            RequestUnion::CreateRequest(create) if create.start_revision < i64::MAX / 2 => {
                let name = String::from_utf8_lossy(&create.key).into_owned();
                let key = name[1..].parse().map(WatcherKey).expect("a key of ours");
                let watched = &self.watched[&key];
                // From now on, or exactly from where it is.
                let start = create.start_revision;
                let next = watched.position.max(watched.last + 1);
                assert!(start == next || start == 0, "I-W4: {start} for {next}");
                let is_under_way = self.creating.iter().any(|it| it.1 == name);
                assert!(!is_under_way || self.is_odd, "I6: {name} is being created");
                self.creating.push((create.watch_id, name));
                // One that nobody had may have been cancelled by this id.
                self.canceled.remove(&create.watch_id);
            }
            RequestUnion::CancelRequest(cancel) => {
                assert!(self.canceled.insert(cancel.watch_id), "I7: {}", cancel.watch_id);
            }
            _ => {}
        }
    }

    fn judge_item(&mut self, key: WatcherKey, item: Item) {
        let watched = self.watched.get_mut(&key);
        let watched = watched.unwrap_or_else(|| panic!("I4: {key:?} gets {item:?}"));
        assert_eq!(watched.is_created, !matches!(item, Item::Created(_)), "W71: {item:?}");
        match item {
            Item::Created(_) => watched.is_created = true,
            Item::Events(batch, bytes) => {
                self.batches += 1;
                assert!(batch.events.is_sorted_by_key(etcd3_core::watch::Event::revision), "I1");
                let first = batch.events.first().expect("events").revision();
                assert!(first > watched.last, "I1, I-W2, I2: {first} after {}", watched.last);
                assert!(batch.events.iter().all(|it| watched.options.wants(it)), "I-W14");
                let limit = watched.options.buffer_limit();
                watched.waiting += bytes;
                assert!(watched.waiting <= limit.max(limit / 2 + bytes), "I5, I-W10");
                watched.last = batch.revision();
            }
            Item::Progress(revision) => {
                assert!(revision >= watched.last && revision >= watched.options.start() - 1, "W68");
                watched.progress = revision;
            }
            Item::Resumed(next) => assert!(next > watched.last),
        }
    }

    /// I-W4
    fn judge_positions(&mut self) {
        assert_eq!(self.watches.len(), self.watched.len());
        for (key, watched) in &mut self.watched {
            let position = self.watches.position(*key).expect("a position");
            assert!(position >= watched.position && position > watched.last, "I-W4");
            watched.position = position;
        }
    }

    /// I-W12
    fn judge_rate(&self) {
        if let [.., first, _, _, _, _, _, _, _, _, _, last] = &self.opened[..] {
            let within = last.saturating_since(*first);
            assert!(within >= Duration::from_secs(10), "11 streams within {within:?}");
        }
    }
}

/// Returns whether it is what a server says.
const fn is_of_server(input: &Input) -> bool {
    matches!(input, Input::Stream(Event::Data(_)))
}

fn framed_input(response: &WatchResponse) -> Input {
    Input::Stream(Event::Data(framed(response)))
}

// The laws of every machine, whatever the server says.
#[test]
fn watches_obey_the_laws() {
    let mut outputs = 0;
    for seed in 0..1_500 {
        let mut rng = Rng::new(seed);
        let watches = Watches::new(random_settings(&mut rng));
        let script = laws::script(seed, 80, Duration::from_millis(400), random_input);
        outputs += laws::check_machine(&watches, &script).len();
    }
    assert!(outputs > 20_000, "too tame: {outputs} outputs");
}

// I1, I2, I4–I7, I-W2, I-W4, I-W8, I-W10, I-W12, I-W14: whatever the server says.
#[test]
fn watches_keep_their_promises_whatever_the_server_says() {
    let (mut batches, mut opened) = (0, 0);
    for seed in 0..2_000 {
        let mut rng = Rng::new(seed);
        let mut revision = 10;
        let mut judge = Judge::new(random_settings(&mut rng));
        for (at, input) in laws::script(seed, 150, Duration::from_millis(200), random_input) {
            judge.advance(at);
            // In some runs hardly ever, in others always: what no server says.
            if rng.below(8) < seed % 8 && is_of_server(&input) {
                revision += below(&mut rng, 3);
                let proper = judge.proper(&mut rng, revision);
                judge.feed(proper);
            } else {
                judge.is_odd |= is_of_server(&input);
                judge.feed(input);
            }
            // A stream that is wanted comes before long.
            if judge.is_wanted && rng.below(3) > 0 {
                judge.feed(sent(&mut rng));
                let mut headers = HeaderMap::new();
                headers.insert("content-type", HeaderValue::from_static("application/grpc"));
                judge.feed(Input::Stream(Event::Head { status: StatusCode::OK, headers }));
            }
        }
        batches += judge.batches;
        opened += judge.opened.len();
    }
    assert!(batches > 5_000 && opened > 4_000, "too tame: {batches} batches, {opened} streams");
}
