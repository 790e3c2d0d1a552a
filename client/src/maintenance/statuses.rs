//! The status of all members at once.

use super::at;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::request::maintenance::{MemberStatus, status};
use std::future::poll_fn;
use std::task::Poll;

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
        Box::pin(async move { all(&client, options).await })
    }
}

/// Asks all endpoints at once, and waits for each of them.
async fn all(client: &Client, options: CallOptions) -> Vec<EndpointStatus> {
    let endpoints = client.endpoints();
    let ask = |endpoint: &String| -> BoxFuture<'static, _> {
        Box::pin(at::call(client.clone(), endpoint.clone(), status(), options))
    };
    let calls = endpoints.iter().map(ask).collect();
    let answers = join_all(calls).await;
    let both = endpoints.into_iter().zip(answers);
    both.map(|(endpoint, status)| EndpointStatus { endpoint, status }).collect()
}

/// Waits for all of a few futures.
async fn join_all<T>(mut futures: Vec<BoxFuture<'static, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_over = true;
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => is_over = false,
                }
            }
        }
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().flatten().collect()
}
