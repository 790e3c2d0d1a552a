//! Takes over the members of the cluster as endpoints.

// B20–B22

use crate::Config;
use crate::call::{CallOptions, OperationCall};
use crate::shared::Shared;
use crate::trace;
use etcd3_core::Outcome;
use etcd3_core::endpoint::{Endpoint, Security};
use etcd3_core::error::{Cause, Error, ErrorKind};
use etcd3_core::method::{self, Effect};
use etcd3_core::proto::etcdserverpb::{Member, MemberListRequest};
use etcd3_core::request::Raw;
use std::error::Error as _;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// No cluster has more members, nor a member many endpoints.
const MAX_MEMBERS: usize = 100;

/// Asks for the members once.
pub(crate) async fn once(shared: &Arc<Shared>, options: CallOptions) -> Result<(), Error> {
    let given = shared.pool.given();
    let request = Raw(MemberListRequest { linearizable: true });
    let (answer, _) = OperationCall::new(Arc::clone(shared), request, options).await;
    // Members that are not started have no name; learners refuse most calls.
    let members = answer?.members.into_iter().filter(|it| !it.name.is_empty() && !it.is_learner);
    let urls: Vec<String> = members.flat_map(|member: Member| member.client_urls).collect();
    // A user that gave nothing but encrypted endpoints does not want to be led elsewhere.
    let is_strict = given.iter().all(|it| it.security() == Security::Tls);
    let (mut primary, mut unusable) = (Vec::new(), Vec::new());
    for url in urls.into_iter().take(MAX_MEMBERS) {
        match usable(&shared.config, url, is_strict) {
            Ok(endpoints) => primary.extend(endpoints),
            Err(why) => unusable.push(why.to_string()),
        }
    }
    if primary.is_empty() {
        return Err(nothing_usable(&unusable));
    }
    shared.pool.set_members(primary, &given);
    Ok(())
}

/// Reads the endpoint that a member names; an error says why this client cannot use it.
fn usable(config: &Config, url: String, is_strict: bool) -> Result<Vec<Endpoint>, Cause> {
    let endpoints = config.parse_endpoints(&[url]).map_err(|error| match error.source() {
        Some(cause) => Cause::new(cause.to_string()),
        None => Cause::new(error),
    })?;
    let is_secret = config.credentials.is_some() && !config.plaintext_passwords;
    for endpoint in &endpoints {
        let why = match endpoint {
            plain if is_strict && plain.security() != Security::Tls => "all that were given are",
            plain if is_secret && !plain.is_confidential() => {
                "neither passwords nor tokens go there"
            }
            _ => continue,
        };
        return Err(Cause::new(format!("endpoint {endpoint} is not encrypted, and {why}")));
    }
    Ok(endpoints)
}

fn nothing_usable(why: &[String]) -> Error {
    let cause = match why {
        [] => "no member that is started, and no learner, tells its endpoints".to_owned(),
        why => why.join("; "),
    };
    Error::new(ErrorKind::NoUsableMember)
        .with_cause(Cause::new(cause))
        .with_method(method::MEMBER_LIST.path)
        .with_effect(Effect::Read)
        .with_outcome(Outcome::Unknown)
}

/// Asks again and again until the client is closed; a failure leaves the endpoints as they were.
pub(crate) async fn repeat(shared: Arc<Shared>, interval: Duration) {
    let work = async {
        loop {
            shared.pool.rt.sleep_until(shared.now() + interval).await;
            if let Err(error) = once(&shared, CallOptions::default()).await {
                trace::no_members(&error);
            }
        }
    };
    let (mut work, mut closed) = (pin!(work), pin!(shared.pool.closed()));
    poll_fn(|cx| match closed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => work.as_mut().poll(cx),
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    // I-A5: where neither passwords nor tokens may go nothing can be asked.
    #[test]
    fn members_are_not_taken_over_where_tokens_may_not_go() {
        let told = |config: &Config, url: &str| usable(config, url.to_owned(), false).is_ok();
        let config = Config::new(["http://127.0.0.1:2379"]);
        assert!(told(&config, "http://10.0.0.1:2379"));
        let guarded = config.user("app", "password");
        assert!(!told(&guarded, "http://10.0.0.1:2379"));
        assert!(told(&guarded, "http://127.0.0.1:22379"));
        assert!(told(&guarded.allow_plaintext_passwords(), "http://10.0.0.1:2379"));
    }
}
