//! How a cluster is looked at: the list first, then all of its members at once.

// M1, M6, case 9

use super::view::{ClusterView, MemberView};
use crate::call::CallOptions;
use crate::join_all::join_all;
use crate::maintenance::at;
use crate::runtime::BoxFuture;
use crate::{Client, Error, ErrorKind};
use etcd3_core::Instant;
use etcd3_core::request::cluster::{Member, MemberListResponse, member_list};
use std::time::Duration;

/// How long a view may take unless the request says otherwise.
const LIMIT: Duration = Duration::from_secs(3);

/// The part of that time in which a majority has to confirm the list: a third.
const CONFIRMATION: u32 = 3;

/// Lists the members and asks each of them.
pub(super) async fn view(client: &Client, options: CallOptions) -> Result<ClusterView, Error> {
    let limit = client.shared().config.request_timeout.min(LIMIT);
    let looking = Looking {
        client,
        options,
        deadline: client.shared().now() + options.timeout.unwrap_or(limit),
    };
    let (list, is_confirmed) = looking.list().await?;
    let asked = list.members.into_iter().map(|member| looking.ask(member)).collect();
    let members = join_all(asked).await;
    Ok(ClusterView::new(list.header.cluster_id, is_confirmed, members))
}

#[derive(Clone, Copy)]
struct Looking<'a> {
    client: &'a Client,
    options: CallOptions,
    deadline: Instant,
}

impl<'a> Looking<'a> {
    /// Returns the list, and whether a majority confirmed it.
    async fn list(self) -> Result<(MemberListResponse, bool), Error> {
        let left = self.left();
        let client = || self.client.clone();
        let confirmed = client().run(member_list(), self.within(left / CONFIRMATION)).await;
        if let Ok(list) = confirmed {
            return Ok((list, true));
        }
        let known = member_list().serializable();
        let known = client().run(known, self.within(self.left() / 2)).await?;
        Ok((known, false))
    }

    /// Asks a member where it says that clients reach it; of several addresses at the first one
    /// that this client can use.
    fn ask(self, member: Member) -> BoxFuture<'a, MemberView> {
        Box::pin(async move {
            let mut unusable = None;
            for url in &member.client_urls {
                let options = self.within(self.left());
                let answer = at::ask(self.client, url, options).await;
                let is_unusable =
                    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::InvalidConfig);
                let (endpoint, answer) = (Some(url.clone()), Some(answer));
                if !is_unusable {
                    return MemberView { member, endpoint, status: answer };
                }
                unusable.get_or_insert((endpoint, answer));
            }
            let (endpoint, status) = unusable.unwrap_or_default();
            MemberView { member, endpoint, status }
        })
    }

    fn within(self, timeout: Duration) -> CallOptions {
        CallOptions { timeout: Some(timeout), ..self.options }
    }

    fn left(self) -> Duration {
        self.deadline.saturating_since(self.client.shared().now())
    }
}
