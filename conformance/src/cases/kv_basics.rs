//! Single keys: what is written is read, and what is wrong is refused.

use crate::{Case, CaseResult, Ctx, case};
use etcd3_client::{Code, ErrorKind, Outcome, ServerError, prefix};
use futures_lite::StreamExt;

pub(super) const CASES: &[Case] = &[
    case!(an_empty_key_is_refused, ["KV-001", "KV-136"]),
    case!(pages_hold_each_key_once_at_one_revision, ["KV-139"]),
];

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

/// KV-139, K21, K24, I-D2: where there is no RangeStream, a stream of pages does what it does.
async fn pages_hold_each_key_once_at_one_revision(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..3 {
        client.put(format!("key_{n}"), "v").await?;
    }
    let whole = client.get(prefix("key")).await?;
    for page_size in [1, 2, 3, 100] {
        let mut pages = client.pages(prefix("key")).page_size(page_size);
        let mut kvs = Vec::new();
        let mut more = true;
        while let Some(page) = pages.next().await {
            let page = page?;
            assert!(more, "a page after the one without more");
            assert_eq!(page.count, whole.count - i64::try_from(kvs.len())?);
            more = page.more;
            kvs.extend(page.kvs);
            // Neither seen nor counted: the revision is that of the first page.
            client.put("key_9", "later").await?;
        }
        assert!(!more, "the last page says that there are no more");
        assert_eq!((kvs, whole.count), (whole.kvs.clone(), 3));
        client.delete("key_9").await?;
    }
    Ok(())
}
