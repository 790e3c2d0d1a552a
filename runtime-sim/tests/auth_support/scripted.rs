//! A server that answers by a script, and counts what came with which token.

use bytes::{BufMut, Bytes, BytesMut};
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb;
use etcd3::{Code, Status};
use etcd3_sim::{Host, World};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use pb::watch_request::RequestUnion;
use prost::Message;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ADDRESS: &str = "10.7.7.7:2379";
/// The size of the head of a gRPC frame.
const HEAD: usize = 5;

/// What the server does about tokens.
pub struct Script {
    /// The only token that is accepted; none while everything is.
    pub accepted: Option<String>,
    /// What others are told.
    pub refusal: Status,
    /// What the next logins end in, the last of them for ever.
    pub logins: Vec<Result<String, Status>>,
    /// Whether watches of a refused token are ended by the stream, and not one by one.
    pub ends_streams: bool,
}

/// What came.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// How many requests came, by the method and the token.
    pub requests: BTreeMap<(String, String), u32>,
    pub watch_streams: u32,
    pub creates: Vec<i64>,
}

impl Seen {
    pub fn of(&self, method: &str) -> u32 {
        self.requests.iter().filter(|it| it.0.0 == method).map(|it| it.1).sum()
    }

    pub fn with(&self, method: &str, token: &str) -> u32 {
        let key = (method.to_owned(), token.to_owned());
        self.requests.get(&key).copied().unwrap_or_default()
    }
}

#[derive(Clone)]
pub struct Server {
    world: World,
    host: Host,
    pub script: Arc<Mutex<Script>>,
    pub seen: Arc<Mutex<Seen>>,
    /// How long a login takes.
    pub login_takes: Arc<Mutex<Duration>>,
    /// Changed to end all watch streams with the refusal.
    cuts: Arc<Mutex<u32>>,
    revision: Arc<Mutex<i64>>,
}

impl Server {
    pub fn new(world: &World, script: Script) -> Self {
        let server = Self {
            world: world.clone(),
            host: world.host(),
            script: Arc::new(Mutex::new(script)),
            seen: Arc::default(),
            login_takes: Arc::default(),
            cuts: Arc::default(),
            revision: Arc::new(Mutex::new(50)),
        };
        let listener = world.listen(ADDRESS.parse().unwrap());
        let accepting = server.clone();
        server.host.spawn(async move {
            loop {
                let stream = listener.accept().await;
                let server = accepting.clone();
                accepting.host.spawn(async move {
                    let mut builder = h2::server::Builder::new();
                    // Their expiry would read the clock of the machine.
                    builder.max_concurrent_reset_streams(0).max_local_error_reset_streams(None);
                    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else {
                        return;
                    };
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        let one = server.clone();
                        server.host.spawn(async move {
                            // A client that goes away is no news.
                            let _ = one.serve(request, respond).await;
                        });
                    }
                });
            }
        });
        server
    }

    pub fn endpoint() -> String {
        format!("http://{ADDRESS}")
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Accepts this token alone from now on.
    pub fn accept(&self, token: &str) {
        self.script.lock().unwrap().accepted = Some(token.to_owned());
    }

    /// Ends all watch streams in the refusal.
    pub fn end_watches(&self) {
        *self.cuts.lock().unwrap() += 1;
    }

    /// Writes once: each watcher is told.
    pub fn write(&self) {
        *self.revision.lock().unwrap() += 1;
    }

    async fn serve(
        &self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let path = request.uri().path().to_owned();
        let method = path.rsplit('/').next().unwrap().to_owned();
        let token = request.headers().get("token").map_or("", |it| it.to_str().unwrap()).to_owned();
        {
            let mut seen = self.seen.lock().unwrap();
            *seen.requests.entry((method.clone(), token.clone())).or_default() += 1;
        }
        // A little while, so that requests which are made at once are under way at once.
        self.world.sleep(Duration::from_millis(5)).await;
        let mut messages = Messages { body: request.into_body(), buffer: BytesMut::new() };
        let mut head = http::Response::new(());
        let grpc = HeaderValue::from_static("application/grpc");
        head.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        let mut send = respond.send_response(head, false)?;
        let status = match &method[..] {
            "Watch" => self.watch(&token, &mut messages, &mut send).await?,
            "Authenticate" => {
                let takes = *self.login_takes.lock().unwrap();
                self.world.sleep(takes).await;
                self.log_in(&mut send)?
            }
            _ => {
                if let Err(refusal) = self.check(&token) {
                    refusal
                } else {
                    // A put, a range and most others are answered by a header.
                    let header = Some(self.header());
                    let answer = pb::PutResponse { header, ..Default::default() };
                    send.send_data(frame(&answer), false)?;
                    Status::new(Code::Ok, "")
                }
            }
        };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(status.code.number())));
        if !status.message.is_empty() {
            trailers.insert("grpc-message", HeaderValue::from_str(&status.message).unwrap());
        }
        send.send_trailers(trailers)
    }

    fn header(&self) -> pb::ResponseHeader {
        let revision = *self.revision.lock().unwrap();
        pb::ResponseHeader { cluster_id: 1, member_id: 1, revision, raft_term: 1 }
    }

    fn check(&self, token: &str) -> Result<(), Status> {
        let script = self.script.lock().unwrap();
        match &script.accepted {
            Some(accepted) if accepted != token => Err(script.refusal.clone()),
            _ => Ok(()),
        }
    }

    fn log_in(&self, send: &mut SendStream<Bytes>) -> Result<Status, h2::Error> {
        let login = {
            let logins = &mut self.script.lock().unwrap().logins;
            if logins.len() > 1 { logins.remove(0) } else { logins[0].clone() }
        };
        match login {
            Err(status) => Ok(status),
            Ok(token) => {
                let answer = pb::AuthenticateResponse { header: Some(self.header()), token };
                send.send_data(frame(&answer), false)?;
                Ok(Status::new(Code::Ok, ""))
            }
        }
    }

    async fn watch(
        &self,
        token: &str,
        messages: &mut Messages,
        send: &mut SendStream<Bytes>,
    ) -> Result<Status, h2::Error> {
        self.seen.lock().unwrap().watch_streams += 1;
        let cuts = *self.cuts.lock().unwrap();
        let ends_streams = self.script.lock().unwrap().ends_streams;
        if let (true, Err(refusal)) = (ends_streams, self.check(token)) {
            return Ok(refusal);
        }
        let mut watchers: BTreeMap<i64, i64> = BTreeMap::new();
        loop {
            if *self.cuts.lock().unwrap() != cuts {
                return Ok(self.script.lock().unwrap().refusal.clone());
            }
            let tick = self.world.sleep(Duration::from_millis(10));
            let next = async { Some(messages.next::<pb::WatchRequest>().await) };
            let asked = futures_lite::future::or(next, async {
                tick.await;
                None
            });
            match asked.await {
                Some(Ok(Some(request))) => self.asked(token, request, &mut watchers, send)?,
                Some(Ok(None)) => return Ok(Status::new(Code::Ok, "")),
                Some(Err(error)) => return Err(error),
                None if *self.cuts.lock().unwrap() == cuts => self.tell(&mut watchers, send)?,
                None => {}
            }
        }
    }

    fn asked(
        &self,
        token: &str,
        request: pb::WatchRequest,
        watchers: &mut BTreeMap<i64, i64>,
        send: &mut SendStream<Bytes>,
    ) -> Result<(), h2::Error> {
        let header = Some(self.header());
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                self.seen.lock().unwrap().creates.push(create.start_revision);
                let mut answer = pb::WatchResponse {
                    header,
                    watch_id: create.watch_id,
                    created: true,
                    ..Default::default()
                };
                if let Err(Status { code, message, .. }) = self.check(token) {
                    (answer.watch_id, answer.canceled) = (-1, true);
                    answer.cancel_reason = format!("rpc error: code = {code:?} desc = {message}");
                } else {
                    let next = match create.start_revision {
                        0 => *self.revision.lock().unwrap() + 1,
                        start => start,
                    };
                    watchers.insert(create.watch_id, next);
                }
                send.send_data(frame(&answer), false)
            }
            Some(RequestUnion::ProgressRequest(_)) => {
                let answer = pb::WatchResponse { header, watch_id: -1, ..Default::default() };
                send.send_data(frame(&answer), false)
            }
            _ => Ok(()),
        }
    }

    /// Tells each watcher of the writes that it has not been told of.
    fn tell(
        &self,
        watchers: &mut BTreeMap<i64, i64>,
        send: &mut SendStream<Bytes>,
    ) -> Result<(), h2::Error> {
        let revision = *self.revision.lock().unwrap();
        for (watch_id, next) in watchers {
            let events = (*next..=revision).map(|mod_revision| mvccpb::Event {
                kv: Some(mvccpb::KeyValue {
                    key: "a".into(),
                    mod_revision,
                    create_revision: mod_revision,
                    version: 1,
                    ..Default::default()
                }),
                ..Default::default()
            });
            let events: Vec<_> = events.collect();
            *next = revision + 1;
            if !events.is_empty() {
                let (header, watch_id) = (Some(self.header()), *watch_id);
                let answer = pb::WatchResponse { header, watch_id, events, ..Default::default() };
                send.send_data(frame(&answer), false)?;
            }
        }
        Ok(())
    }
}

/// The messages of a request.
struct Messages {
    body: RecvStream,
    buffer: BytesMut,
}

impl Messages {
    async fn next<T: Message + Default>(&mut self) -> Result<Option<T>, h2::Error> {
        loop {
            if let Some(head) = self.buffer.first_chunk::<HEAD>() {
                let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
                let end = HEAD + usize::try_from(length).unwrap();
                if self.buffer.len() >= end {
                    let message = self.buffer.split_to(end).split_off(HEAD);
                    return Ok(Some(T::decode(message).unwrap()));
                }
            }
            let Some(chunk) = poll_fn(|cx| self.body.poll_data(cx)).await else { return Ok(None) };
            let chunk = chunk?;
            self.body.flow_control().release_capacity(chunk.len())?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

fn frame(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}
