//! Takes over the members of the cluster as endpoints (B20–B22).

use crate::call::{CallOptions, Run};
use crate::shared::Shared;
use etcd3_core::endpoint::{Endpoint, Security};
use etcd3_core::error::Error;
use etcd3_core::proto::etcdserverpb::{Member, MemberListRequest};
use etcd3_core::request::Raw;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// No cluster has more members, nor a member many endpoints.
const MAX_MEMBERS: usize = 100;

/// Asks for the members once.
pub(crate) async fn once(shared: &Arc<Shared>) -> Result<(), Error> {
    let seeds = shared.seeds();
    let request = Raw(MemberListRequest { linearizable: true });
    let (answer, _) = Run::new(Arc::clone(shared), request, CallOptions::default()).await;
    // Members that are not started have no name; learners refuse most calls.
    let members = answer?.members.into_iter().filter(|it| !it.name.is_empty() && !it.is_learner);
    let urls: Vec<String> = members.flat_map(|member: Member| member.client_urls).collect();
    let usable = |url: &String| shared.config.parse_endpoints(std::slice::from_ref(url)).ok();
    let mut primary: Vec<Endpoint> = urls.iter().filter_map(usable).flatten().collect();
    // Who gave nothing but encrypted endpoints does not want to be led elsewhere.
    if seeds.iter().all(|seed| seed.security() == Security::Tls) {
        primary.retain(|endpoint| endpoint.security() == Security::Tls);
    }
    primary.truncate(MAX_MEMBERS);
    if primary.is_empty() {
        return Err(Error::protocol(format!(
            "no member has an endpoint that can be used: {}",
            urls.join(", ")
        )));
    }
    shared.set_members(primary, &seeds);
    Ok(())
}

/// Asks again and again until the client is closed; a failure leaves the endpoints as they were.
pub(crate) async fn repeat(shared: Arc<Shared>, interval: Duration) {
    let work = async {
        loop {
            shared.rt.sleep_until(shared.rt.now() + interval).await;
            if let Err(error) = once(&shared).await {
                tracing::debug!(%error, "the members cannot be had");
            }
        }
    };
    let (mut work, mut closed) = (pin!(work), pin!(shared.closed()));
    poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => work.as_mut().poll(cx),
    })
    .await;
}
