//! Drives the watches of one stream by hand, in milliseconds, and answers as a server would.

use bytes::Bytes;
use etcd3_core::auth::Generation;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::{Attempt, Sent, SentToken};
use etcd3_core::channel::EndpointId;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::proto::etcdserverpb::{
    ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcd3_core::proto::mvccpb;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Item, Output, Settings, WatchOptions, WatcherKey, Watches};
use etcd3_core::{Code, Error, Instant, Machine, Next, Outcome};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message;
use std::time::Duration;

pub(crate) const CLUSTER: u64 = 7;

pub(crate) fn settings() -> Settings {
    Settings {
        backoff: Backoff { first: Duration::from_millis(50), cap: Duration::from_secs(3) },
        max_message_bytes: 1 << 20,
        max_request_bytes: 1 << 20,
        max_batch_bytes: 1 << 22,
        require_leader: true,
        only: None,
        probe_interval: Duration::from_secs(15),
        answer_timeout: Duration::from_secs(5),
        linger: Duration::from_secs(1),
        seed: 1,
    }
}

/// One stream, driven by hand.
pub(crate) struct Rig {
    pub(crate) watches: Watches,
    pub(crate) now: Instant,
    wake: Option<Instant>,
    /// What the machine wanted and nobody looked at yet.
    outputs: Vec<Output>,
    endpoint: u32,
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        let watches = Watches::new(settings);
        Self { watches, now: Instant::ORIGIN, wake: None, outputs: vec![], endpoint: 0 }
    }

    pub(crate) fn feed(&mut self, input: Input) -> &mut Self {
        self.watches.handle(self.now, input);
        self.drain();
        self
    }

    fn drain(&mut self) {
        loop {
            match self.watches.poll(self.now) {
                Next::Do(output) => self.outputs.push(output),
                Next::Wait(wake) => {
                    self.wake = wake;
                    return;
                }
            }
        }
    }

    /// Lets this much time pass.
    pub(crate) fn rest(&mut self, for_ms: u64) -> &mut Self {
        let end = self.now + Duration::from_millis(for_ms);
        while let Some(wake) = self.wake.filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.drain();
        }
        self.now = end;
        self.drain();
        self
    }

    /// Takes all that the machine wanted.
    pub(crate) fn take(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Watches a key or a range under this number.
    pub(crate) fn watch(&mut self, key: u64, options: WatchOptions) -> &mut Self {
        self.feed(Input::Create(WatcherKey(key), options))
    }

    /// Opens the stream that the machine wants, with a head.
    pub(crate) fn open(&mut self) -> &mut Self {
        self.open_with(None)
    }

    /// The same, with a token in the head of the request.
    pub(crate) fn open_with(&mut self, token: Option<Generation>) -> &mut Self {
        self.take_attempt().expect("an attempt");
        self.endpoint += 1;
        let token = token.map(|generation| SentToken { generation, since: self.now });
        let sent = Sent { endpoint: EndpointId(self.endpoint), has_choice: true, token, seen: 0 };
        self.feed(Input::Sent(sent));
        let wanted = self.outputs.iter().position(|it| matches!(it, Output::Identify(_)));
        self.outputs.remove(wanted.expect("a stream to identify"));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        self.feed(Input::Stream(Event::Head { status: StatusCode::OK, headers }))
    }

    /// Takes the attempt that the machine wants, if it does.
    pub(crate) fn take_attempt(&mut self) -> Option<Attempt> {
        let wanted = self.outputs.iter().position(|it| matches!(it, Output::Attempt(_)))?;
        match self.outputs.remove(wanted) {
            Output::Attempt(attempt) => Some(attempt),
            _ => None,
        }
    }

    /// Returns the attempt that the machine wants, which it goes on wanting.
    pub(crate) fn attempt(&self) -> Attempt {
        let attempt = self.outputs.iter().find_map(|output| match output {
            Output::Attempt(attempt) => Some(*attempt),
            _ => None,
        });
        attempt.expect("an attempt")
    }

    /// Takes all but the attempt that the machine wants, if it does.
    pub(crate) fn take_all_but_attempt(&mut self) {
        self.outputs.retain(|it| matches!(it, Output::Attempt(_)));
    }

    /// Takes one output that is equal to this, and returns whether there was one.
    pub(crate) fn took(&mut self, output: &Output) -> bool {
        let place = self.outputs.iter().position(|it| it == output);
        place.map(|at| self.outputs.remove(at)).is_some()
    }

    /// Lets the time pass until the stream is wanted again, and opens it.
    pub(crate) fn reopen(&mut self) -> &mut Self {
        self.rest_until_attempt();
        self.open()
    }

    /// Lets the time pass until the stream is wanted, for an hour at most.
    pub(crate) fn rest_until_attempt(&mut self) -> &mut Self {
        let end = self.now + Duration::from_secs(3_600);
        while !self.outputs.iter().any(|it| matches!(it, Output::Attempt(_))) {
            let wake = self.wake.filter(|wake| *wake <= end).expect("the stream is not wanted");
            self.now = self.now.max(wake);
            self.drain();
        }
        self
    }

    /// Takes the ids whose cancellation was sent; there must be nothing else.
    pub(crate) fn cancels(&mut self) -> Vec<i64> {
        let requests = self.requests().into_iter();
        requests
            .map(|request| match request {
                RequestUnion::CancelRequest(cancel) => cancel.watch_id,
                other => panic!("not a cancellation: {other:?}"),
            })
            .collect()
    }

    /// Takes the requests for progress that were sent, and returns how many; there must be nothing
    /// else.
    pub(crate) fn progress_requests(&mut self) -> usize {
        let requests = self.requests();
        assert!(
            requests.iter().all(|it| matches!(it, RequestUnion::ProgressRequest(_))),
            "not only progress: {requests:?}"
        );
        requests.len()
    }

    /// Has the server end the stream with this status.
    pub(crate) fn end_with(&mut self, code: Code, text: &str) -> &mut Self {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", u16::from(code.number()).into());
        trailers.insert("grpc-message", text.parse().expect("a text"));
        self.feed(Input::Stream(Event::End(Some(trailers))))
    }

    /// Takes the errors with which watches ended.
    pub(crate) fn ends(&mut self) -> Vec<(u64, Error)> {
        let mut ends = vec![];
        self.outputs.retain(|output| {
            let Output::End(key, error) = output else { return true };
            ends.push((key.0, error.clone()));
            false
        });
        ends
    }

    /// Takes the only error with which a watch ended.
    pub(crate) fn the_end(&mut self) -> Error {
        let mut ends = self.ends();
        assert_eq!(ends.len(), 1, "{ends:?}");
        ends.remove(0).1
    }

    /// Begins a watch from revision 5 on a stream of its own, which the server takes; returns the
    /// id.
    pub(crate) fn live(&mut self, options: WatchOptions) -> i64 {
        self.watch(1, options).open();
        let id = self.create_all(3)[0].watch_id;
        assert_eq!(self.delivered(), [(1, "created".to_owned())]);
        id
    }

    /// Takes the requests that were sent.
    pub(crate) fn requests(&mut self) -> Vec<RequestUnion> {
        let mut decoder = Decoder::new(1 << 20);
        let mut requests = vec![];
        self.outputs.retain(|output| {
            let Output::Send(frame) = output else { return true };
            decoder.push(frame.clone());
            let message = decoder.next_message().expect("a frame").expect("a message");
            let request = WatchRequest::decode(message).expect("a request");
            requests.push(request.request_union.expect("a kind"));
            false
        });
        requests
    }

    /// Takes the creations that were sent; there must be nothing else.
    pub(crate) fn creations(&mut self) -> Vec<WatchCreateRequest> {
        let requests = self.requests().into_iter();
        requests
            .map(|request| match request {
                RequestUnion::CreateRequest(create) => create,
                other => panic!("not a creation: {other:?}"),
            })
            .collect()
    }

    /// Takes the creations that were sent, and answers each as a server at this revision; drops
    /// other requests.
    pub(crate) fn create_all(&mut self, revision: i64) -> Vec<WatchCreateRequest> {
        let mut all = vec![];
        loop {
            let requests = self.requests().into_iter();
            let creations: Vec<_> = requests
                .filter_map(|request| match request {
                    RequestUnion::CreateRequest(create) => Some(create),
                    _ => None,
                })
                .collect();
            if creations.is_empty() {
                return all;
            }
            for create in creations {
                self.answer(created(create.watch_id, revision));
                all.push(create);
            }
        }
    }

    /// Has the server send this.
    #[allow(clippy::needless_pass_by_value, reason = "it is made for this")]
    pub(crate) fn answer(&mut self, response: WatchResponse) -> &mut Self {
        self.feed(Input::Stream(Event::Data(framed(&response))))
    }

    pub(crate) fn lose(&mut self) -> &mut Self {
        let lost = Lost { outcome: Outcome::Unknown, reset: None, cause: None };
        self.feed(Input::Stream(Event::Lost(lost)))
    }

    /// Takes how many bytes of events were delivered to a watch.
    pub(crate) fn bytes_delivered(&mut self, key: u64) -> usize {
        let mut bytes = 0;
        self.outputs.retain(|output| match output {
            Output::Deliver(to, Item::Events(_, len)) if to.0 == key => {
                bytes += len;
                false
            }
            _ => true,
        });
        bytes
    }

    /// Takes what was delivered: the revisions of events, and what else there is, in words.
    pub(crate) fn delivered(&mut self) -> Vec<(u64, String)> {
        let mut delivered = vec![];
        self.outputs.retain(|output| {
            let (key, what) = match output {
                Output::Deliver(key, item) => (key, show(item)),
                Output::End(key, error) => (key, format!("{:?}", error.kind())),
                _ => return true,
            };
            delivered.push((key.0, what));
            false
        });
        delivered
    }
}

fn show(item: &Item) -> String {
    match item {
        Item::Created(_) => "created".to_owned(),
        Item::Events(batch, _) => {
            let revisions: Vec<i64> =
                batch.events.iter().map(etcd3_core::watch::Event::revision).collect();
            format!("events {revisions:?}")
        }
        Item::Progress(revision) => format!("progress {revision}"),
        Item::Resumed(revision) => format!("resumed {revision}"),
    }
}

pub(crate) fn framed(response: &WatchResponse) -> Bytes {
    frame::encode(response, usize::MAX).expect("a frame")
}

#[allow(clippy::unnecessary_wraps, reason = "as responses have it")]
pub(crate) const fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: CLUSTER, member_id: 1, revision, raft_term: 2 })
}

pub(crate) fn created(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, created: true, ..Default::default() }
}

/// The refusal of a creation by etcd; that of its proxy has no reason, and no header.
pub(crate) fn refused(reason: &str) -> WatchResponse {
    WatchResponse {
        header: header(1).filter(|_| !reason.is_empty()),
        watch_id: -1,
        created: true,
        canceled: true,
        cancel_reason: reason.to_owned(),
        ..Default::default()
    }
}

/// Puts of one key, at these revisions.
pub(crate) fn events(watch_id: i64, key: &str, revisions: &[i64]) -> WatchResponse {
    let events = revisions.iter().map(|revision| put(key, *revision)).collect();
    WatchResponse { header: header(1_000), watch_id, events, ..Default::default() }
}

/// The put of a key.
pub(crate) fn put(key: &str, revision: i64) -> mvccpb::Event {
    mvccpb::Event {
        r#type: 0,
        kv: Some(mvccpb::KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            mod_revision: revision,
            create_revision: 2,
            version: 2,
            ..Default::default()
        }),
        prev_kv: None,
    }
}

/// Puts of one key, in a response of which more parts follow.
pub(crate) fn part(watch_id: i64, key: &str, revisions: &[i64]) -> WatchResponse {
    WatchResponse { fragment: true, ..events(watch_id, key, revisions) }
}

/// The end of a watch whose next changes are compacted.
pub(crate) fn compacted(watch_id: i64, compact_revision: i64) -> WatchResponse {
    WatchResponse { header: header(0), compact_revision, ..canceled(watch_id) }
}

pub(crate) fn progress(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, ..Default::default() }
}

pub(crate) fn canceled(watch_id: i64) -> WatchResponse {
    WatchResponse { header: header(1), watch_id, canceled: true, ..Default::default() }
}
