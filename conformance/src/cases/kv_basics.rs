//! Single keys: what is written is read, and what is wrong is refused.

use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Code, ErrorKind, Outcome, ServerError};

pub(super) const CASES: &[Case] =
    &[case!(an_empty_key_is_refused, ["KV-001", "KV-136"]).plain_and_tls()];

/// KV-001, KV-136, E10.1
async fn an_empty_key_is_refused(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let error = client.put("", "bar").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::EmptyKey));
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(error.status().unwrap().message, "etcdserver: key is not provided");
    assert_eq!(error.outcome(), Outcome::Rejected);
    Ok(())
}
