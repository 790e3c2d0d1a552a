//! Moving the leadership, by the leader.

// M3

use super::at::Calls;
use super::statuses::Asked;
use crate::call::CallOptions;
use crate::request::{Execute, Raw, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error, ErrorKind, Outcome, ServerError};
use etcd3_core::MemberId;
use etcd3_core::error::Cause;
use etcd3_core::method;
use etcd3_core::proto::etcdserverpb::MemberListRequest;
use etcd3_core::request::maintenance::{MoveLeaderResponse, move_leader};

/// The request that [`Maintenance::move_leader`](super::Maintenance::move_leader) makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MoveLeader {
    pub(super) to: MemberId,
}

impl sealed::Sealed for MoveLeader {}

impl Execute for MoveLeader {
    type Output = Result<MoveLeaderResponse, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move {
            let calls = Calls::new(&client, options);
            match move_once(calls, self.to).await {
                // It moved while it was looked for.
                Err(error) if error.server_error() == Some(ServerError::NotLeader) => {
                    move_once(calls, self.to).await
                }
                moved => moved,
            }
        })
    }
}

async fn move_once(calls: Calls<'_>, to: MemberId) -> Result<MoveLeaderResponse, Error> {
    let leader = find_leader(calls).await.map_err(unsent)?;
    calls.at(&leader, move_leader(to)).await
}

/// Finds the endpoint of the leader: the first one that says it is that, or where the member list
/// says that it can be reached.
async fn find_leader(calls: Calls<'_>) -> Result<String, Error> {
    let mut options = calls.options();
    // Where one of them is dead, the other half is for the list.
    options.timeout = options.timeout.map(|left| left / 2);
    let mut asked = Asked::new(calls.client, options);
    let (mut leader, mut failure) = (None, None);
    while let Some((endpoint, answer)) = asked.next().await {
        match answer {
            Ok(status) if status.is_leader() => return Ok(endpoint.to_owned()),
            Ok(status) => leader = status.leader.or(leader),
            Err(error) => failure = Some(error.clone()),
        }
    }
    let Some(leader) = leader else {
        let none = Error::new(ErrorKind::Server(ServerError::NoLeader));
        return Err(none.with_cause(failure.map(Cause::new)));
    };
    let members = calls.run(Raw(MemberListRequest { linearizable: false })).await?.members;
    let listed = members.into_iter().find(|member| leader == member.id);
    // Of several addresses the first one that this client can use.
    let mut urls = listed.map(|member| member.client_urls).unwrap_or_default();
    let is_usable = |url: &String| calls.client.pinned_to(url).is_ok();
    let usable = urls.iter().position(is_usable).unwrap_or(0);
    (usable < urls.len()).then(|| urls.swap_remove(usable)).ok_or_else(|| {
        let none = Error::new(ErrorKind::NoUsableMember);
        none.with_cause(Cause::new(format!("the leader, {leader}, has no endpoint")))
    })
}

/// Makes the error of a transfer that was not asked for, since no leader was found.
fn unsent(error: Error) -> Error {
    let method = &method::MOVE_LEADER;
    error.with_method(method.path).with_effect(method.effect).with_outcome(Outcome::NotSent)
}
