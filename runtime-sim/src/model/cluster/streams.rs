//! Watch streams, each at one member.

use super::config::draw;
use super::{Cluster, Output, Power, StreamId};
use crate::model::auth::Access;
use crate::model::refusal::refuse;
use crate::model::watch::{Source, WatchStream};
use etcd3::proto::etcdserverpb::{WatchRequest, watch_request::RequestUnion};
use etcd3::runtime::Instant;
use etcd3::{Bytes, ServerError, Status};
use std::time::Duration;

/// How a watch stream is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamOptions {
    /// The member that is asked.
    pub member: u64,
    /// The token in the metadata; it holds for the whole life of the stream.
    // H8
    pub token: Option<String>,
    /// Whether the metadata asks for a leader.
    // W18
    pub requires_leader: bool,
}

impl StreamOptions {
    /// A stream without metadata.
    #[must_use]
    pub fn new(member: u64) -> Self {
        Self { member, token: None, requires_leader: false }
    }
}

/// An open stream.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    pub(super) member: u64,
    pub(super) requires_leader: bool,
    pub(super) watches: WatchStream,
    token: Option<String>,
}

impl Cluster {
    /// Opens a watch stream. One that is refused ends with the next [`poll`](Self::poll).
    pub fn open_watch(&mut self, now: Instant, options: StreamOptions) -> StreamId {
        self.advance(now);
        let id = StreamId(self.number());
        let member = options.member;
        let has_leader = self.leader_seen_by(now, member).is_some();
        let refusal = match self.members.get(&member).filter(|m| m.power != Power::Down) {
            None => return id,
            Some(member) if !member.votes() => {
                let text = ServerError::NotSupportedForLearner.text();
                Some(Status::new(self.config.personality.learner_code, text))
            }
            Some(_) if options.requires_leader && !has_leader => {
                Some(refuse(ServerError::NoLeader))
            }
            Some(_) => None,
        };
        if let Some(status) = refusal {
            self.outputs.push(Output::WatchEnd(id, status));
            return id;
        }
        let mut config = self.config.watch.clone();
        let jitter = (Duration::ZERO, config.progress_interval / 10);
        config.progress_interval += draw(&mut self.rng, jitter);
        config.created_delay = draw(&mut self.rng, self.config.delays.created);
        let watches = WatchStream::new(now, self.config.personality, config);
        let StreamOptions { token, requires_leader, .. } = options;
        self.streams.insert(id, Stream { member, requires_leader, watches, token });
        self.settle(now);
        id
    }

    /// Sends an order over a watch stream. One that is over takes none.
    pub fn watch(&mut self, now: Instant, id: StreamId, request: WatchRequest) {
        self.advance(now);
        let Some(stream) = self.streams.get(&id) else { return };
        let (member, token) = (stream.member, stream.token.clone());
        let allowed = self.permit_watch(now, member, token.as_deref(), &request);
        let header = self.header(member);
        if let Some(stream) = self.streams.get_mut(&id) {
            let source = Source { store: self.members[&member].replica.store(), header };
            stream.watches.handle(now, &source, request, allowed);
        }
        self.settle(now);
    }

    /// Closes a watch stream: its client is gone.
    pub fn close_watch(&mut self, id: StreamId) {
        self.streams.remove(&id);
    }

    /// Returns the number of open streams, and of the watchers on them.
    #[must_use]
    pub fn watch_counts(&self) -> (usize, usize) {
        let watchers = self.streams.values().map(|stream| stream.watches.watcher_count()).sum();
        (self.streams.len(), watchers)
    }

    /// Returns the number of open streams of a member, and of the watchers on them.
    #[must_use]
    pub fn watch_counts_of(&self, member: u64) -> (usize, usize) {
        let streams = || self.streams.values().filter(|stream| stream.member == member);
        (streams().count(), streams().map(|stream| stream.watches.watcher_count()).sum())
    }

    /// Whether a creation is permitted; it is asked once, at the creation.
    // W15
    fn permit_watch(
        &mut self,
        now: Instant,
        member: u64,
        token: Option<&str>,
        request: &WatchRequest,
    ) -> Result<(), Status> {
        let Some(RequestUnion::CreateRequest(create)) = &request.request_union else {
            return Ok(());
        };
        let caller = self.identify(now, member, token)?;
        let lowest = Bytes::from_static(&[0]);
        let key = if create.key.is_empty() { &lowest } else { &create.key };
        let is_open_end = create.range_end == lowest;
        let no_end = Bytes::new();
        let has_hole = self.config.personality.watch_scope_hole;
        let end = if is_open_end && has_hole { &no_end } else { &create.range_end };
        self.members[&member].replica.auth().permits(caller.as_ref(), Access::Read, key, end)
    }

    /// Collects what the streams of running members have to say.
    pub(super) fn drain_streams(&mut self, now: Instant) {
        let ids: Vec<_> = self.streams.keys().copied().collect();
        for id in ids {
            if self.cut_due(id).is_some_and(|due| due <= now) {
                self.streams.remove(&id);
                self.outputs.push(Output::WatchEnd(id, refuse(ServerError::NoLeader)));
                continue;
            }
            let Some(member) = self.streams.get(&id).map(|stream| stream.member) else { continue };
            let header = self.header(member);
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            let member = &self.members[&member];
            if !member.is_up() {
                continue;
            }
            let source = Source { store: member.replica.store(), header };
            while let Some(response) = stream.watches.poll(now, &source) {
                self.outputs.push(Output::Watch(id, response));
            }
        }
    }

    /// Returns when a stream has something to say.
    pub(super) fn stream_due(&self, id: StreamId, stream: &Stream) -> Option<Instant> {
        if !self.members[&stream.member].is_up() {
            return None;
        }
        stream.watches.next_deadline().into_iter().chain(self.cut_due(id)).min()
    }
}
