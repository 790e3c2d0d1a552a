//! When a client logs in, and how often.

use super::token_expect::{
    LIMIT, PASSWORD, add_user, config, connect, disable, enable, guard, logins, quick, restart,
    server, set_password, single,
};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{ErrorKind, Outcome, ServerError, key, prefix};
use futures_lite::future::zip;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(one_login_serves_all_that_a_token_ended_for, []).real("metrics"),
    case!(connecting_logs_in, ["AUTH-003"]).plain_and_tls(),
    case!(a_user_that_is_gone_is_told_by_the_login, ["AUTH-010"]),
    case!(authentication_may_be_switched_off, ["AUTH-006", "AUTH-058"]),
    case!(wrong_credentials_end_a_watch_quietly, []).real("metrics"),
    case!(changes_of_users_by_one_client_at_once, ["AUTH-069"]),
    case!(a_restart_makes_every_token_unknown, ["AUTH-007"]),
];

const SECOND: Duration = Duration::from_secs(1);

/// I-A1, R22, R30: a thousand calls, and a thousand watches.
async fn one_login_serves_all_that_a_token_ended_for(ctx: Ctx) -> CaseResult {
    let server = server(&ctx, 2).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    client.put("a", "0").await?;
    let before = logins(&server)?;
    // The token is not used for longer than it lives; that is what this is about.
    ctx.pause(4 * SECOND).await;
    let puts: Vec<_> =
        (0..1_000).map(|n| ctx.spawn(client.put(format!("a{n}"), "v").send())).collect();
    for put in puts {
        put.await?;
    }
    assert_eq!(logins(&server)? - before, 1, "for the calls");

    let mut first = client.watch(key("a")).await?;
    let before = logins(&server)?;
    ctx.pause(4 * SECOND).await;
    let begun: Vec<_> = (0..1_000)
        .map(|n| ctx.spawn(client.watch(key(format!("a{n}"))).from_revision(1).send()))
        .collect();
    let mut watches = Vec::new();
    for watch in begun {
        watches.push(watch.await?);
    }
    assert_eq!(logins(&server)? - before, 1, "for the watches");
    for watch in &mut watches[..10] {
        let batch = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no events")??;
        assert_eq!(batch.events.len(), 1);
    }
    // Whoever was there before goes on.
    root.put("a", "1").await?;
    let batch = ctx.within(LIMIT, first.next()).await.flatten().ok_or("no event")??;
    assert_eq!(batch.events.len(), 1);
    Ok(())
}

/// AUTH-003
async fn connecting_logs_in(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let anonymous = ctx.connect([server.client_url()]).await?;
    let error = anonymous.put("a", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::UserEmpty));
    assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
    let error = connect(&ctx, server.client_url(), "nobody").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed));
    let wrong = config([server.client_url()], "app").user("app", "wrong");
    let error = ctx.connect_with(wrong).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed));
    // One without a password cannot log in.
    // A3
    let options = Some(etcd3::proto::authpb::UserAddOptions { no_password: true });
    let name = "keyless".to_owned();
    root.rpc(pb::AuthUserAddRequest { name, options, ..Default::default() }).await?;
    let error = connect(&ctx, server.client_url(), "keyless").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
    let client = connect(&ctx, server.client_url(), "app").await?;
    client.put("a", "v").await?;
    Ok(())
}

/// AUTH-010
async fn a_user_that_is_gone_is_told_by_the_login(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    client.put("a", "v").await?;
    root.rpc(pb::AuthUserDeleteRequest { name: "app".to_owned() }).await?;
    let error = client.put("a", "v").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
    assert_eq!(error.outcome(), Outcome::Rejected, "the put was refused");
    Ok(())
}

/// AUTH-006, AUTH-058, I-A3, A-06: off and on and off under load.
async fn authentication_may_be_switched_off(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let client = connect(&ctx, server.client_url(), "app").await?;
    assert!(client.put("c", "v").await.unwrap_err().is_permission_denied());
    let mut watch = client.watch(prefix("a")).await?;
    let lease = client.lease(10 * SECOND).await?;
    let toggle = async {
        for _ in 0..3 {
            disable(&root).await?;
            client.put("c", "v").await?;
            ctx.pause(SECOND / 4).await;
            enable(&root).await?;
            assert!(client.put("c", "v").await.unwrap_err().is_permission_denied());
            ctx.pause(SECOND / 4).await;
        }
        disable(&root).await
    };
    let load = async {
        for n in 0..150 {
            client.put("a", n.to_string()).await?;
            client.get("a").await?;
            ctx.pause(SECOND / 100).await;
        }
        Ok::<_, etcd3::Error>(())
    };
    let (toggled, loaded) = zip(toggle, load).await;
    toggled?;
    loaded?;
    for n in 0..150 {
        let batch = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event")??;
        assert_eq!(batch.events[0].kv.value, n.to_string(), "nothing is lost or repeated");
        assert_eq!(batch.events.len(), 1);
    }
    assert!(lease.is_valid(), "{lease:?}");
    client.put("c", "v").await?;
    client.put("c", "v").await?;
    Ok(())
}

/// I-A2, case 4 in a short form: the longer one runs in virtual time.
async fn wrong_credentials_end_a_watch_quietly(ctx: Ctx) -> CaseResult {
    let server = server(&ctx, 300).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let bridge = etcd3_lab::Bridge::new(server.addr())?;
    let client = connect(&ctx, ctx.url(bridge.addr()), "app").await?;
    let mut watch = client.watch(prefix("a")).await?;
    let good = connect(&ctx, server.client_url(), "root").await?;
    set_password(&root, "app", "another").await?;
    let before = logins(&server)?;
    bridge.reset_all();
    let end = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("the watch hangs")?;
    let error = end.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
    for _ in 0..30 {
        let error = client.put("a", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthFailed), "{error}");
        good.put("a", "v").await?;
        ctx.pause(SECOND / 10).await;
    }
    let made = logins(&server)? - before;
    assert!((1..=4).contains(&made), "{made} logins");
    // They become right again, and that is noticed.
    set_password(&root, "app", PASSWORD).await?;
    ctx.until("a login", LIMIT, || async { client.put("a", "v").await.is_ok() }).await
}

/// AUTH-069, I-A4: each change makes the requests under way old.
async fn changes_of_users_by_one_client_at_once(ctx: Ctx) -> CaseResult {
    let server = ctx.server_with(quick).await?;
    let root = guard(&ctx, server.client_url()).await?;
    let change = |name: &'static str| {
        let root = root.clone();
        async move {
            for n in 0..10 {
                add_user(&root, &format!("{name}{n}"), "k", "l").await?;
                root.put("k", n.to_string()).await?;
            }
            Ok::<_, etcd3::Error>(())
        }
    };
    let (one, other) = zip(change("one"), change("other")).await;
    one?;
    other?;
    Ok(())
}

/// AUTH-007, A-09: tokens are in the memory of the server.
async fn a_restart_makes_every_token_unknown(ctx: Ctx) -> CaseResult {
    let cluster = single(&ctx).await?;
    let url = || cluster.member(0).client_url();
    let root = guard(&ctx, url()).await?;
    let client = connect(&ctx, url(), "app").await?;
    let mut watch = client.watch(prefix("a")).await?;
    let lease = client.lease(60 * SECOND).await?;
    client.put("a", "1").lease(lease.id()).await?;
    restart(&ctx, &cluster).await?;
    // A write on the connection that is gone would be *unknown*.
    client.get("a").await?;
    client.put("a", "2").await?;
    for value in ["1", "2"] {
        let batch = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event")??;
        assert_eq!(batch.events[0].kv.value, value);
    }
    client.keep_alive_once(lease.id()).await?;
    assert!(lease.is_valid());
    // AUTH-007
    disable(&root).await?;
    restart(&ctx, &cluster).await?;
    let mut watch = root.watch(key("key")).from_revision(1).await?;
    // Answered once there is a leader again, without which the fate of a write is not known.
    root.get("key").await?;
    root.put("key", "value").await?;
    let batch = ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event")??;
    assert_eq!(batch.events[0].kv.value, "value");
    Ok(())
}
