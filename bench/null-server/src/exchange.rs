//! One call, from its path to its response.

use crate::grpc::{Replies, Requests, refuse};
use crate::responses::Responses;
use crate::streams;
use bytes::Bytes;
use etcd3_bench::Result;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use std::time::Duration;

/// A call that came in.
pub(crate) struct Exchange {
    path: String,
    respond: SendResponse<Bytes>,
    requests: Requests,
}

impl Exchange {
    pub(crate) fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (head, body) = request.into_parts();
        let requests = Requests::new(body);
        Self { path: head.uri.path().to_owned(), respond, requests }
    }

    /// Answers it.
    pub(crate) async fn answer(mut self, responses: &Responses) -> Result<()> {
        match self.path.as_str() {
            "/etcdserverpb.Watch/Watch" => {
                streams::watch(&mut self.requests, self.respond, responses).await
            }
            "/etcdserverpb.Lease/LeaseKeepAlive" => {
                streams::keep_alive(&mut self.requests, self.respond, responses).await
            }
            "/etcdserverpb.KV/Compact" => {
                self.unary(responses).await?;
                // The answer leaves before.
                tokio::time::sleep(Duration::from_millis(20)).await;
                responses.cut.notify_waiters();
                Ok(())
            }
            _ => self.unary(responses).await,
        }
    }

    async fn unary(mut self, responses: &Responses) -> Result<()> {
        let request = self.requests.next().await?.unwrap_or_default();
        // The end of the request is seen before it is answered.
        while self.requests.next().await?.is_some() {}
        let Some(answer) = responses.to(&self.path, &request)? else {
            return refuse(self.respond);
        };
        let mut replies = Replies::begin(self.respond)?;
        replies.send(answer)?;
        replies.end()
    }
}
