//! The model etcd behind real gRPC over the real h2: one listener for each member.

mod health;
mod range_stream;
mod services;
mod snapshot;
mod wire;

use crate::executor::Executor;
use crate::lock::locked;
use crate::model::{Call, Cluster, Output, RpcResult, StreamId, StreamOptions, Ticket, rpc};
use crate::net::{HostId, Net};
use crate::trace::{CallEnd, OpenCall};
use bytes::Bytes;
use etcd3::proto::etcdserverpb as pb;
use etcd3::runtime::{BoxFuture, Instant, Io};
use etcd3::{Code, Status};
use event_listener::{Event, EventListener};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::Request;
use prost::Message;
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use wire::{Messages, framed, refuse, response_head, send_all, timeout, trailers};

const WATCH: &str = "/etcdserverpb.Watch/Watch";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// The cluster with its listeners; cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    executor: Executor,
    net: Net,
    inner: Arc<Inner>,
}

struct Inner {
    cluster: Mutex<Cluster>,
    answers: Mutex<BTreeMap<Ticket, Slot<RpcResult>>>,
    watches: Mutex<BTreeMap<StreamId, Slot<Result<pb::WatchResponse, Status>>>>,
    changed: Event,
    /// Notified when a member is to end its connections in an orderly way.
    going_away: Mutex<BTreeMap<u64, Arc<Event>>>,
    /// The hosts that members run on.
    hosts: Mutex<BTreeMap<u64, HostId>>,
}

/// What has come for a waiting task, and how to wake it.
struct Slot<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), waker: None }
    }
}

impl<T> Slot<T> {
    fn push(&mut self, item: T) {
        self.items.push_back(item);
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// Waits for the next thing in a slot.
async fn next<K: Ord, T>(slots: &Mutex<BTreeMap<K, Slot<T>>>, key: &K) -> T {
    poll_fn(|cx| {
        let mut slots = locked(slots);
        let Some(slot) = slots.get_mut(key) else { return Poll::Pending };
        if let Some(item) = slot.items.pop_front() {
            return Poll::Ready(item);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

impl Service {
    pub(crate) fn new(executor: Executor, net: Net, cluster: Cluster) -> Self {
        let inner = Inner {
            cluster: Mutex::new(cluster),
            answers: Mutex::default(),
            watches: Mutex::default(),
            changed: Event::new(),
            going_away: Mutex::default(),
            hosts: Mutex::default(),
        };
        Self { executor, net, inner: Arc::new(inner) }
    }

    /// Does something to the cluster, now.
    pub(crate) fn cluster<T>(&self, act: impl FnOnce(&mut Cluster, Instant) -> T) -> T {
        let result = act(&mut locked(&self.inner.cluster), self.executor.now());
        self.inner.changed.notify(1);
        result
    }

    /// Looks at the cluster as it is, which changes nothing about the run.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Cluster) -> T) -> T {
        look(&locked(&self.inner.cluster))
    }

    /// Lets the cluster live: hands out what comes out of it, and wakes it when something is due.
    pub(crate) async fn pump(self) {
        loop {
            let changed = self.inner.changed.listen();
            let (outputs, stopped, deadline) = {
                let mut cluster = locked(&self.inner.cluster);
                let outputs = cluster.poll(self.executor.now());
                (outputs, cluster.take_stopped(), cluster.next_deadline())
            };
            for output in outputs {
                self.hand_out(output);
            }
            for member in stopped {
                if let Some(host) = locked(&self.inner.hosts).remove(&member) {
                    self.executor.abort(host.0);
                }
            }
            match deadline {
                None => changed.await,
                Some(at) => either(changed, self.executor.sleep_until(at)).await,
            }
        }
    }

    fn hand_out(&self, output: Output) {
        match output {
            Output::Answer(ticket, result) => {
                if let Some(slot) = locked(&self.inner.answers).get_mut(&ticket) {
                    slot.push(result);
                }
            }
            Output::Watch(stream, response) => self.hand_out_watch(stream, Ok(response)),
            Output::WatchEnd(stream, status) => self.hand_out_watch(stream, Err(status)),
        }
    }

    fn hand_out_watch(&self, stream: StreamId, item: Result<pb::WatchResponse, Status>) {
        locked(&self.inner.watches).entry(stream).or_default().push(item);
    }

    /// Serves one member at an address, on a host of its own.
    pub(crate) fn serve(&self, host: HostId, member: u64, at: SocketAddr) {
        locked(&self.inner.hosts).insert(member, host);
        let listener = self.net.listen(at);
        let service = self.clone();
        self.spawn(host, async move {
            loop {
                let (client, stream) = listener.next().await;
                let (service, served) = (service.clone(), Served { host, member, client });
                let connection = service.clone().connection(served, stream.boxed());
                service.spawn(host, connection);
            }
        });
    }

    fn spawn(&self, host: HostId, task: impl Future<Output = ()> + Send + 'static) {
        self.executor.spawn(host.0, Box::pin(task) as BoxFuture<'static, ()>);
    }

    async fn connection(self, served: Served, io: Box<dyn Io>) {
        let Served { host, member, client } = served;
        let mut builder = h2::server::Builder::new();
        // Their expiry would read the clock of the machine.
        builder.max_concurrent_reset_streams(0).max_local_error_reset_streams(None);
        let most = self.cluster(|cluster, _| cluster.config().max_concurrent_streams);
        if let Some(most) = most {
            builder.max_concurrent_streams(most);
        }
        let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return };
        let mut going_away = Some(self.going_away(member).listen());
        let mut accept = |cx: &mut Context<'_>| {
            let is_told = |told: &mut EventListener| Pin::new(told).poll(cx).is_ready();
            if going_away.as_mut().is_some_and(is_told) {
                going_away = None;
                connection.graceful_shutdown();
            }
            connection.poll_accept(cx)
        };
        while let Some(Ok((request, respond))) = poll_fn(&mut accept).await {
            let service = self.clone();
            let name = request.uri().path().rsplit('/').next().unwrap_or_default();
            let call = self.net.recorder().begin_served(host, name, client);
            self.spawn(host, async move {
                // A client that goes away is no news.
                let _ = service.request(member, call, request, respond).await;
            });
        }
    }

    /// Ends the connections of a member by GOAWAY, as a server does that shuts down.
    pub(crate) fn go_away(&self, member: u64) {
        self.going_away(member).notify(usize::MAX);
    }

    fn going_away(&self, member: u64) -> Arc<Event> {
        Arc::clone(locked(&self.inner.going_away).entry(member).or_default())
    }

    async fn request(
        &self,
        member: u64,
        call: OpenCall,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (head, body) = request.into_parts();
        let text = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok());
        let about = About {
            member,
            token: text("token").map(str::to_owned),
            requires_leader: text("hasleader") == Some("true"),
            timeout: text("grpc-timeout").and_then(timeout),
        };
        self.reach_token(&about).await;
        match head.uri.path() {
            WATCH => self.watch(about, body, respond).await?,
            KEEP_ALIVE => self.keep_alive(about, body, respond).await?,
            range_stream::PATH => self.range_stream(about, body, respond).await?,
            health::CHECK => self.health(about, body, respond, false).await?,
            health::WATCH => self.health(about, body, respond, true).await?,
            path if services::is_one(path) => self.concurrency(about, path, body, respond).await?,
            snapshot::PATH => self.snapshot(about, body, respond).await?,
            path => match self.unary(&about, path, body).await? {
                Ok(response) => {
                    let mut send = respond.send_response(response_head(), false)?;
                    send.send_data(framed(&response.encode()), false)?;
                    send.send_trailers(trailers(&Status::new(Code::Ok, "")))?;
                }
                Err(status) => {
                    let Status { code, message, .. } = &status;
                    call.end(CallEnd::Error, format_args!("{code:?}: {message}"));
                    return refuse(&mut respond, &status);
                }
            },
        }
        call.end(CallEnd::Completed, "");
        Ok(())
    }

    /// Lets a request wait until its member has come to the token that it carries.
    // A8
    async fn reach_token(&self, about: &About) {
        let Some(token) = &about.token else { return };
        let until = self.executor.now() + self.cluster(|it, _| it.config().request_timeout());
        while !self.peek(|cluster| cluster.has_reached(about.member, token)) {
            let soon = self.executor.now() + Duration::from_millis(1);
            if soon > until {
                return;
            }
            self.executor.sleep_until(soon).await;
        }
    }

    async fn unary(
        &self,
        about: &About,
        path: &str,
        body: RecvStream,
    ) -> Result<RpcResult, h2::Error> {
        let limit = self.cluster(|cluster, _| cluster.config().max_request_bytes);
        let mut messages = Messages::new(body);
        let Some(message) = messages.next().await? else {
            return Ok(Err(Status::new(Code::Internal, "no message")));
        };
        let request =
            match rpc::check_size(message.len(), limit).and_then(|()| rpc::decode(path, message)) {
                Ok(request) => request,
                Err(status) => return Ok(Err(status)),
            };
        let answer = self.ask(about, request);
        let Some(timeout) = about.timeout else { return Ok(answer.await) };
        let late = async {
            self.executor.sleep_until(self.executor.now() + timeout).await;
            Err(Status::new(Code::DeadlineExceeded, "context deadline exceeded"))
        };
        Ok(either(answer, late).await)
    }

    async fn ask(&self, about: &About, request: rpc::Request) -> RpcResult {
        let call = Call {
            member: about.member,
            request,
            token: about.token.clone(),
            requires_leader: about.requires_leader,
        };
        let asked = self.cluster(|cluster, now| {
            let ticket = cluster.submit(now, call);
            locked(&self.inner.answers).insert(ticket, Slot::default());
            Asked { service: self, ticket }
        });
        next(&self.inner.answers, &asked.ticket).await
    }

    async fn keep_alive(
        &self,
        about: About,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut messages = Messages::new(body);
        let mut send = respond.send_response(response_head(), false)?;
        while let Some(message) = messages.next().await? {
            let answer = match rpc::decode(KEEP_ALIVE, message) {
                Ok(request) => self.ask(&about, request).await,
                Err(status) => Err(status),
            };
            match answer {
                Ok(response) => send.send_data(framed(&response.encode()), false)?,
                Err(status) => return send.send_trailers(trailers(&status)),
            }
        }
        send.send_trailers(trailers(&Status::new(Code::Ok, "")))
    }

    async fn watch(
        &self,
        about: About,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let options = StreamOptions {
            member: about.member,
            token: about.token,
            requires_leader: about.requires_leader,
        };
        let stream = self.cluster(|cluster, now| {
            let id = cluster.open_watch(now, options);
            locked(&self.inner.watches).entry(id).or_default();
            Watching { service: self, id }
        });
        let send = respond.send_response(response_head(), false)?;
        let requests = async {
            let mut messages = Messages::new(body);
            while let Some(message) = messages.next().await? {
                let Ok(request) = pb::WatchRequest::decode(message) else { break };
                self.cluster(|cluster, now| cluster.watch(now, stream.id, request));
            }
            // A client that only stops sending still listens.
            std::future::pending().await
        };
        either(self.send_watch(&stream, send), requests).await
    }

    async fn send_watch(
        &self,
        stream: &Watching<'_>,
        mut send: SendStream<Bytes>,
    ) -> Result<(), h2::Error> {
        loop {
            match next(&self.inner.watches, &stream.id).await {
                Ok(response) => send.send_data(framed(&response.encode_to_vec()), false)?,
                Err(status) => return send.send_trailers(trailers(&status)),
            }
        }
    }
}

/// A connection that a member serves.
#[derive(Clone, Copy)]
struct Served {
    /// The host of the member.
    host: HostId,
    member: u64,
    /// The host that connected.
    client: HostId,
}

/// What the headers of a request say.
struct About {
    member: u64,
    token: Option<String>,
    requires_leader: bool,
    timeout: Option<Duration>,
}

/// A request whose answer somebody waits for.
struct Asked<'a> {
    service: &'a Service,
    ticket: Ticket,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        locked(&self.service.inner.answers).remove(&self.ticket);
        locked(&self.service.inner.cluster).forget(self.ticket);
    }
}

/// An open watch stream.
struct Watching<'a> {
    service: &'a Service,
    id: StreamId,
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        locked(&self.service.inner.watches).remove(&self.id);
        locked(&self.service.inner.cluster).close_watch(self.id);
    }
}

/// Waits for the first of two futures; the first one is asked first.
async fn either<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    let (mut a, mut b) = (std::pin::pin!(a), std::pin::pin!(b));
    poll_fn(|cx| match a.as_mut().poll(cx) {
        Poll::Pending => b.as_mut().poll(cx),
        ready @ Poll::Ready(_) => ready,
    })
    .await
}
