//! Drives the watches of one stream by hand, in milliseconds, and answers as a server would.

use bytes::Bytes;
use etcd3_core::backoff::Backoff;
use etcd3_core::call::Sent;
use etcd3_core::channel::EndpointId;
use etcd3_core::frame::{self, Decoder};
use etcd3_core::proto::etcdserverpb::watch_request::RequestUnion;
use etcd3_core::proto::etcdserverpb::{
    ResponseHeader, WatchCreateRequest, WatchRequest, WatchResponse,
};
use etcd3_core::proto::mvccpb;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Item, Output, Settings, WatchOptions, WatcherKey, Watches};
use etcd3_core::{Instant, Machine, Next, Outcome};
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

pub(crate) fn ms(at: u64) -> Instant {
    Instant::ORIGIN + Duration::from_millis(at)
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
        let wanted = self.outputs.iter().position(|it| matches!(it, Output::Attempt(_)));
        self.outputs.remove(wanted.expect("an attempt"));
        self.endpoint += 1;
        let sent = Sent { endpoint: EndpointId(self.endpoint), has_choice: true, token: None };
        self.feed(Input::Sent(sent));
        let wanted = self.outputs.iter().position(|it| matches!(it, Output::Identify(_)));
        self.outputs.remove(wanted.expect("a stream to identify"));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        self.feed(Input::Stream(Event::Head { status: StatusCode::OK, headers }))
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

    /// Takes the creations that were sent and answers each as a server at this revision.
    pub(crate) fn create_all(&mut self, revision: i64) -> Vec<WatchCreateRequest> {
        let mut all = vec![];
        loop {
            let creations = self.creations();
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
    pub(crate) fn answer(&mut self, response: WatchResponse) -> &mut Self {
        self.feed(Input::Stream(Event::Data(framed(&response))))
    }

    pub(crate) fn lose(&mut self) -> &mut Self {
        let lost = Lost { outcome: Outcome::Unknown, reset: None, cause: None };
        self.feed(Input::Stream(Event::Lost(lost)))
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
            let revisions: Vec<i64> = batch.events.iter().map(|event| event.revision()).collect();
            format!("events {revisions:?}")
        }
        Item::Progress(revision) => format!("progress {revision}"),
        Item::Resumed(revision) => format!("resumed {revision}"),
    }
}

pub(crate) fn framed(response: &WatchResponse) -> Bytes {
    frame::encode(response, usize::MAX).expect("a frame")
}

pub(crate) fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { cluster_id: CLUSTER, member_id: 1, revision, raft_term: 2 })
}

pub(crate) fn created(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, created: true, ..Default::default() }
}

pub(crate) fn refused(reason: &str) -> WatchResponse {
    WatchResponse {
        header: header(1),
        watch_id: -1,
        created: true,
        canceled: true,
        cancel_reason: reason.to_owned(),
        ..Default::default()
    }
}

/// Puts of one key, at these revisions.
pub(crate) fn events(watch_id: i64, key: &str, revisions: &[i64]) -> WatchResponse {
    let event = |revision: &i64| mvccpb::Event {
        r#type: 0,
        kv: Some(mvccpb::KeyValue {
            key: Bytes::copy_from_slice(key.as_bytes()),
            mod_revision: *revision,
            create_revision: 2,
            version: 2,
            ..Default::default()
        }),
        prev_kv: None,
    };
    let events = revisions.iter().map(event).collect();
    WatchResponse { header: header(1_000), watch_id, events, ..Default::default() }
}

pub(crate) fn progress(watch_id: i64, revision: i64) -> WatchResponse {
    WatchResponse { header: header(revision), watch_id, ..Default::default() }
}

pub(crate) fn canceled(watch_id: i64) -> WatchResponse {
    WatchResponse { header: header(1), watch_id, canceled: true, ..Default::default() }
}
