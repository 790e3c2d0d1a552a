//! Ranges whose answers come in pieces, as servers from 3.7 on make them of several reads.

// K22, K23

use super::{About, Messages, Service, framed, refuse, response_head, send_all, trailers};
use crate::model::rpc;
use bytes::Bytes;
use etcd3::proto::etcdserverpb as pb;
use etcd3::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use etcd3::{Code, ServerError, Status};
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use prost::Message;

pub(super) const PATH: &str = "/etcdserverpb.KV/RangeStream";

/// The most keys of the first piece.
const FIRST: i64 = 10;

/// A stream that is being answered.
struct Pieces<'a> {
    service: &'a Service,
    about: About,
    request: pb::RangeRequest,
    /// How many keys may come in all, and how many have.
    most: i64,
    sent: i64,
    /// The header of the first read.
    header: Option<pb::ResponseHeader>,
}

impl Service {
    pub(super) async fn range_stream(
        &self,
        about: About,
        body: RecvStream,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (personality, limit) = self.cluster(|cluster, _| {
            (cluster.config().personality, cluster.config().max_request_bytes)
        });
        if !personality.has_range_stream {
            return refuse(&mut respond, &rpc::unimplemented(PATH));
        }
        let Some(message) = Messages::new(body).next().await? else { return Ok(()) };
        let request = match pb::RangeRequest::decode(message) {
            Ok(request) => request,
            Err(error) => {
                let text = format!("grpc: error unmarshalling request: {error}");
                return refuse(&mut respond, &Status::new(Code::Internal, text));
            }
        };
        let is_learner = |id| {
            self.cluster(|cluster, _| cluster.member(id).is_some_and(|member| member.is_learner))
        };
        let refused = if is_learner(about.member) {
            let text = ServerError::NotSupportedForLearner.text();
            Err(Status::new(personality.learner_code, text))
        } else {
            check(&request)
        };
        if let Err(status) = refused {
            return refuse(&mut respond, &status);
        }
        let most = if request.limit == 0 { i64::MAX } else { request.limit };
        let pieces = Pieces { service: self, about, request, most, sent: 0, header: None };
        pieces.send(respond.send_response(response_head(), false)?, limit).await
    }
}

impl Pieces<'_> {
    async fn send(mut self, mut send: SendStream<Bytes>, target: usize) -> Result<(), h2::Error> {
        self.request.limit = FIRST.min(self.most);
        loop {
            let (piece, is_last) = match self.next().await {
                Ok(piece) => piece,
                Err(status) => return send.send_trailers(trailers(&status)),
            };
            let size = piece.encoded_len();
            let next_limit = match self.request.limit {
                limit if size < target / 2 => limit.saturating_mul(2),
                limit if size > target * 2 => (limit / 2).max(1),
                limit => limit,
            };
            self.request.limit = next_limit.min(self.most - self.sent);
            let piece = pb::RangeStreamResponse { range_response: Some(piece) };
            send_all(&mut send, framed(&piece.encode_to_vec())).await?;
            if is_last {
                return send.send_trailers(trailers(&Status::new(Code::Ok, "")));
            }
        }
    }

    /// Reads the next piece; tells also whether it is the last one.
    async fn next(&mut self) -> Result<(pb::RangeResponse, bool), Status> {
        let mut read = self.read(self.request.clone()).await?;
        let header = *self.header.get_or_insert(read.header.unwrap_or_default());
        if self.request.count_only {
            return Ok((pb::RangeResponse { more: false, kvs: Vec::new(), ..read }, true));
        }
        if self.request.revision == 0 {
            self.request.revision = header.revision;
        }
        // The member has waited for the leader once.
        self.request.serializable = true;
        self.sent += i64::try_from(read.kvs.len()).unwrap_or(i64::MAX);
        let is_last = !read.more || self.sent == self.most;
        let last = read.kvs.last().map(|kv| kv.key.clone()).unwrap_or_default();
        if let (true, false) = (read.more, last.is_empty()) {
            self.request.key = [&last[..], &[0]].concat().into();
        }
        if !is_last {
            return Ok((pb::RangeResponse { kvs: read.kvs, ..Default::default() }, false));
        }
        read.header = Some(header);
        read.count = self.sent;
        if read.more {
            let rest = pb::RangeRequest { count_only: true, limit: 0, ..self.request.clone() };
            read.count += self.read(rest).await?.count;
        }
        Ok((read, true))
    }

    async fn read(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, Status> {
        let answer = self.service.ask(&self.about, request.into()).await?;
        answer.try_into().map_err(|_| Status::new(Code::Internal, "no answer to a range"))
    }
}

/// Refuses what does not come in pieces.
fn check(request: &pb::RangeRequest) -> Result<(), Status> {
    let refused = |what: &str| {
        Err(Status::new(Code::Unimplemented, format!("RangeStream does not support {what}")))
    };
    let is_by_key = request.sort_target == i32::from(SortTarget::Key)
        && request.sort_order == i32::from(SortOrder::Ascend);
    if request.sort_order != i32::from(SortOrder::None) && !is_by_key {
        return refused("custom sort orders");
    }
    let filters = [
        request.min_mod_revision,
        request.max_mod_revision,
        request.min_create_revision,
        request.max_create_revision,
    ];
    if filters == [0; 4] { Ok(()) } else { refused("revision filters") }
}
