//! Watches that a user may not have.

use super::token_expect::{LIMIT, add_user, connect, guard, quick};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Outcome, from_key, key};

pub(super) const CASES: &[Case] = &[
    case!(a_range_that_is_wider_than_the_permission, ["WATCH-086"]),
    case!(a_forbidden_watch_beside_a_permitted_one, ["WATCH-087"]).plain_and_tls(),
];

/// WATCH-086, W15: fixed in 3.5.33 and the patches of 3.6 and 3.7 of that time; before that servers
/// look at the first key alone.
async fn a_range_that_is_wider_than_the_permission(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    add_user(&root, "one", "foo", "").await?;
    let client = connect(&ctx, server.client_url(), "one").await?;
    let begun = client.watch(from_key("foo")).from_revision(1).await;
    root.put("foo1", "v").await?;
    match begun {
        Err(error) => {
            assert!(error.is_permission_denied(), "{error}");
            assert_eq!(error.outcome(), Outcome::Rejected);
            // The read that says where a watch from now on begins is refused as well.
            let error = client.watch(from_key("foo")).await.unwrap_err();
            assert!(error.is_permission_denied(), "{error}");
        }
        Ok(mut watch) => {
            let version = ctx.etcd.version;
            let is_mended = (version.major, version.minor) == (3, 5) && version.patch >= 33;
            assert!(!is_mended, "{version}");
            let batch = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event")??;
            assert_eq!(batch.events[0].kv.key, "foo1");
        }
    }
    Ok(())
}

/// WATCH-087, W14, H8: the refusal has the id -1, and nothing to do with the watch of id 0.
async fn a_forbidden_watch_beside_a_permitted_one(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    let mut permitted = client.watch(key("a1")).await?;
    for _ in 0..3 {
        let error = client.watch(key("c")).from_revision(1).await.unwrap_err();
        assert!(error.is_permission_denied(), "{error}");
        let error = client.watch(key("c")).await.unwrap_err();
        assert!(error.is_permission_denied(), "{error}");
    }
    client.put("a1", "v").await?;
    let batch = ctx.within(LIMIT, permitted.next()).await.flatten().ok_or("no event")??;
    assert_eq!(batch.events[0].kv.value, "v");
    Ok(())
}
