//! The services `Lock` and `Election`, which are clients within the server.
//!
//! What is simpler: they look again every now and then instead of watching.

// X36

use super::{About, Messages, Service, either, framed, refuse, response_head, trailers};
use crate::model::rpc;
use bytes::Bytes;
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::mvccpb::KeyValue;
use etcd3::proto::{v3electionpb as election, v3lockpb as lock};
use etcd3::request::Limits;
use etcd3::{Code, Error, LeaseId, SortOrder, SortTarget, Status, UnaryRequest};
use etcd3::{delete, get, key, ops, prefix, put, txn};
use h2::RecvStream;
use h2::server::SendResponse;
use prost::Message;
use std::future::poll_fn;
use std::time::Duration;

/// How often they look.
const INTERVAL: Duration = Duration::from_millis(20);
/// The time to live of the lease of those who have none, in seconds.
const TTL: i64 = 60;

pub(super) fn is_one(path: &str) -> bool {
    path.starts_with("/v3lockpb.Lock/") || path.starts_with("/v3electionpb.Election/")
}

type Answer<T> = Result<T, Status>;

/// A key of one who waits, and when it was created.
struct Waiting {
    prefix: Bytes,
    key: Bytes,
    revision: i64,
    lease: i64,
}

impl Service {
    pub(super) async fn concurrency(
        &self,
        about: About,
        path: &str,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let Some(message) = Messages::new(body).next().await? else { return Ok(()) };
        if path == "/v3electionpb.Election/Observe" {
            return self.observe(&about, message, respond).await;
        }
        let Some(answer) = self.concurrency_answer(&about, path, message, &mut respond).await
        else {
            return Ok(());
        };
        match answer {
            Ok(message) => {
                let mut send = respond.send_response(response_head(), false)?;
                send.send_data(framed(&message), false)?;
                send.send_trailers(trailers(&Status::new(Code::Ok, "")))
            }
            // They know errors by their texts alone.
            Err(status) if status.code == Code::DeadlineExceeded => refuse(&mut respond, &status),
            Err(status) => refuse(&mut respond, &Status::new(Code::Unknown, status.message)),
        }
    }

    /// Answers a call; `None` when its client has gone.
    async fn concurrency_answer(
        &self,
        about: &About,
        path: &str,
        message: Bytes,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Answer<Vec<u8>>> {
        fn read<M: Message + Default>(message: Bytes) -> M {
            M::decode(message).unwrap_or_default()
        }
        Some(match path.rsplit('/').next().unwrap_or_default() {
            "Lock" => self.lock(about, read(message), respond).await?,
            "Unlock" => self.unlock(about, read(message)).await,
            "Campaign" => self.campaign(about, read(message), respond).await?,
            "Proclaim" => self.proclaim(about, read(message)).await,
            "Resign" => self.resign(about, read(message)).await,
            "Leader" => {
                let asked: election::LeaderRequest = read(message);
                self.leader(about, &asked.name).await.map(|it| it.encode_to_vec())
            }
            _ => Err(rpc::unimplemented(path)),
        })
    }

    async fn lock(
        &self,
        about: &About,
        asked: lock::LockRequest,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Answer<Vec<u8>>> {
        let waiting = match self.enter(about, &asked.name, asked.lease, Bytes::new()).await {
            Ok((waiting, _)) => waiting,
            Err(status) => return Some(Err(status)),
        };
        let turn = self.wait_for_turn(about, &waiting, respond).await?;
        Some(match turn {
            Ok(header) => {
                let key = waiting.key;
                Ok(lock::LockResponse { header: Some(header), key }.encode_to_vec())
            }
            Err(status) => Err(status),
        })
    }

    async fn unlock(&self, about: &About, asked: lock::UnlockRequest) -> Answer<Vec<u8>> {
        let header =
            self.call(about, sent(delete(asked.key).request(&Limits::default()))?).await?.header;
        Ok(lock::UnlockResponse { header }.encode_to_vec())
    }

    async fn campaign(
        &self,
        about: &About,
        asked: election::CampaignRequest,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Answer<Vec<u8>>> {
        let entered = self.enter(about, &asked.name, asked.lease, asked.value.clone()).await;
        let (waiting, before) = match entered {
            Ok(entered) => entered,
            Err(status) => return Some(Err(status)),
        };
        let leader = election::LeaderKey {
            name: asked.name,
            key: waiting.key.clone(),
            rev: waiting.revision,
            lease: waiting.lease,
        };
        if before.is_some_and(|before| before.value != asked.value) {
            let again =
                election::ProclaimRequest { leader: Some(leader.clone()), value: asked.value };
            if let Err(status) = self.proclaim(about, again).await {
                return Some(Err(status));
            }
        }
        let turn = self.wait_for_turn(about, &waiting, respond).await?;
        Some(turn.map(|header| {
            let leader = Some(leader);
            election::CampaignResponse { header: Some(header), leader }.encode_to_vec()
        }))
    }

    async fn proclaim(&self, about: &About, asked: election::ProclaimRequest) -> Answer<Vec<u8>> {
        let leader = asked.leader.ok_or_else(missing_leader)?;
        let is_it = key(leader.key.clone()).create_revision().eq(leader.rev);
        let write = put(leader.key, asked.value).lease(leader.lease);
        let done = self
            .call(about, sent(txn().when([is_it]).then([write]).request(&Limits::default()))?)
            .await?;
        if !done.succeeded {
            return Err(Status::new(Code::Unknown, "election: not leader"));
        }
        Ok(election::ProclaimResponse { header: done.header }.encode_to_vec())
    }

    async fn resign(&self, about: &About, asked: election::ResignRequest) -> Answer<Vec<u8>> {
        let leader = asked.leader.ok_or_else(missing_leader)?;
        let is_it = key(leader.key.clone()).create_revision().eq(leader.rev);
        let mut delete = txn().when([is_it]).then([delete(leader.key)]);
        let done = self.call(about, sent(delete.request(&Limits::default()))?).await?;
        Ok(election::ResignResponse { header: done.header }.encode_to_vec())
    }

    async fn leader(&self, about: &About, name: &Bytes) -> Answer<election::LeaderResponse> {
        let first = self.first(about, &prefix_of(name)).await?;
        let (header, Some(kv)) = first else {
            return Err(Status::new(Code::Unknown, "election: no leader"));
        };
        Ok(election::LeaderResponse { header, kv: Some(kv) })
    }

    async fn observe(
        &self,
        about: &About,
        message: Bytes,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let name = election::LeaderRequest::decode(message).unwrap_or_default().name;
        let mut send = respond.send_response(response_head(), false)?;
        let mut told = None;
        loop {
            if let Ok(leader) = self.leader(about, &name).await {
                let now = leader.kv.as_ref().map(|kv| (kv.key.clone(), kv.mod_revision));
                if now != told {
                    told = now;
                    send.send_data(framed(&leader.encode_to_vec()), false)?;
                }
            }
            let gone = async { poll_fn(|cx| send.poll_reset(cx)).await.is_ok() };
            if either(gone, self.rest()).await {
                return Ok(());
            }
        }
    }

    /// Puts the key of one who waits, on a lease. Returns the pair, too, if it was there.
    async fn enter(
        &self,
        about: &About,
        name: &Bytes,
        lease: i64,
        value: Bytes,
    ) -> Answer<(Waiting, Option<KeyValue>)> {
        let lease = match lease {
            0 => self.call(about, pb::LeaseGrantRequest { ttl: TTL, id: 0 }).await?.id,
            lease => lease,
        };
        let prefix = prefix_of(name);
        let own: Bytes = [&prefix[..], format!("{lease:x}").as_bytes()].concat().into();
        let write = put(own.clone(), value).lease(LeaseId(lease));
        let is_new = key(own.clone()).missing();
        let mut entering = txn().when([is_new]).then(ops![write]).otherwise(ops![get(own.clone())]);
        let entered = self.call(about, sent(entering.request(&Limits::default()))?).await?;
        let before = entered.responses.into_iter().find_map(|it| match it.response {
            Some(pb::response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        });
        let at = entered.header.unwrap_or_default().revision;
        let revision = before.as_ref().map_or(at, |pair| pair.create_revision);
        Ok((Waiting { prefix, key: own, revision, lease }, before))
    }

    /// Waits until those before it are gone; `None` when the client is.
    async fn wait_for_turn(
        &self,
        about: &About,
        waiting: &Waiting,
        respond: &mut SendResponse<Bytes>,
    ) -> Option<Answer<pb::ResponseHeader>> {
        let deadline = about.timeout.map(|timeout| self.executor.now() + timeout);
        loop {
            match self.first(about, &waiting.prefix).await {
                Ok((header, Some(first))) if first.create_revision == waiting.revision => {
                    return Some(Ok(header.unwrap_or_default()));
                }
                Ok((_, Some(first))) if first.create_revision < waiting.revision => {}
                // Its own key is gone, and with it the lease.
                Ok(_) => return Some(Err(Status::new(Code::Unknown, "mutex: session is expired"))),
                Err(status) => return Some(Err(status)),
            }
            if deadline.is_some_and(|deadline| deadline <= self.executor.now()) {
                self.leave(about, waiting).await;
                let text = "context deadline exceeded";
                return Some(Err(Status::new(Code::DeadlineExceeded, text)));
            }
            let gone = async {
                // An error is that its connection is gone.
                let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
                true
            };
            if either(gone, self.rest()).await {
                self.leave(about, waiting).await;
                return None;
            }
        }
    }

    /// Deletes the key of one who does not wait any more.
    async fn leave(&self, about: &About, waiting: &Waiting) {
        if let Ok(request) = sent(delete(waiting.key.clone()).request(&Limits::default())) {
            let _ = self.call(about, request).await;
        }
    }

    /// Returns the oldest key of a prefix.
    async fn first(
        &self,
        about: &About,
        of: &Bytes,
    ) -> Answer<(Option<pb::ResponseHeader>, Option<KeyValue>)> {
        let mut oldest =
            get(prefix(of.clone())).sort(SortTarget::Create, SortOrder::Ascend).limit(1);
        let found = self.call(about, sent(oldest.request(&Limits::default()))?).await?;
        Ok((found.header, found.kvs.into_iter().next()))
    }

    async fn rest(&self) -> bool {
        self.executor.sleep_until(self.executor.now() + INTERVAL).await;
        false
    }

    /// Makes a call of the server's own.
    async fn call<Q>(&self, about: &About, request: Q) -> Answer<Q::Response>
    where
        Q: UnaryRequest + Into<rpc::Request>,
        Q::Response: TryFrom<rpc::Response>,
    {
        let answer = self.ask(about, request.into()).await?;
        Q::Response::try_from(answer).map_err(|_| Status::new(Code::Internal, "another answer"))
    }
}

/// Takes the message of an operation.
fn sent<M: Clone>(message: Result<&M, Error>) -> Answer<M> {
    message.cloned().map_err(|error| Status::new(Code::Internal, error.to_string()))
}

fn prefix_of(name: &Bytes) -> Bytes {
    [&name[..], b"/"].concat().into()
}

fn missing_leader() -> Status {
    Status::new(Code::Unknown, "\"leader\" field must be provided")
}
