//! The status of all members at once.

use super::at;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::request::maintenance::MemberStatus;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The request that [`Maintenance::statuses`](super::Maintenance::statuses) makes.
#[derive(Debug, Clone, Copy)]
pub struct Statuses(pub(super) ());

/// What one endpoint answered, or why it did not.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EndpointStatus {
    /// The endpoint, as it was given or named by the cluster.
    pub endpoint: String,
    /// The status of its member.
    pub status: Result<MemberStatus, Error>,
}

impl sealed::Sealed for Statuses {}

impl Execute for Statuses {
    type Output = Vec<EndpointStatus>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move {
            let mut asked = Asked::new(&client, options);
            while asked.next().await.is_some() {}
            asked.into_answers()
        })
    }
}

/// All endpoints, asked at once.
pub(crate) struct Asked {
    endpoints: Vec<AskedEndpoint>,
}

struct AskedEndpoint {
    endpoint: String,
    call: BoxFuture<'static, Result<MemberStatus, Error>>,
    answer: Option<Result<MemberStatus, Error>>,
}

impl Asked {
    pub(crate) fn new(client: &Client, options: CallOptions) -> Self {
        let ask = |endpoint: String| {
            let (client, to) = (client.clone(), endpoint.clone());
            let call = Box::pin(async move { at::ask(&client, &to, options).await });
            AskedEndpoint { endpoint, call, answer: None }
        };
        Self { endpoints: client.endpoints().into_iter().map(ask).collect() }
    }

    /// Waits for the next answer, whoever gives it; `None` after the last one.
    pub(crate) async fn next(&mut self) -> Option<(&str, &Result<MemberStatus, Error>)> {
        let index = poll_fn(|cx| self.poll_next(cx)).await?;
        let asked = self.endpoints.get(index)?;
        Some((&asked.endpoint, asked.answer.as_ref()?))
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut is_over = true;
        for (index, asked) in self.endpoints.iter_mut().enumerate() {
            if asked.answer.is_some() {
                continue;
            }
            if let Poll::Ready(answer) = Pin::new(&mut asked.call).poll(cx) {
                asked.answer = Some(answer);
                return Poll::Ready(Some(index));
            }
            is_over = false;
        }
        if is_over { Poll::Ready(None) } else { Poll::Pending }
    }

    /// Returns the answers that there are.
    pub(super) fn into_answers(self) -> Vec<EndpointStatus> {
        let answers = self.endpoints.into_iter().filter_map(|asked| {
            Some(EndpointStatus { endpoint: asked.endpoint, status: asked.answer? })
        });
        answers.collect()
    }
}
