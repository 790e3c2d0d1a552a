//! What is told of a lease whose renewals are refused for who asks.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;

use auth_support::*;
use etcd3::{Client, Config, ErrorKind, ServerError};
use etcd3_sim::run;
use std::time::Duration;

// AUTH-063, L36: the refusal, and not only that there was no answer in time.
#[test]
fn a_renewal_that_is_refused_tells_why() {
    run(1, |world| async move {
        let etcd = cluster(&world, (3, 7, 3), Duration::from_secs(300));
        let root = guard(&world, &etcd).await;
        let lease = root.grant(Duration::from_secs(60)).await.unwrap().id;
        root.put("z", "").lease(lease).await.unwrap();
        let check = async |client: Client, refusal| {
            let kind = ErrorKind::Server(refusal);
            let once = client.keep_alive_once(lease).timeout(Duration::from_secs(2));
            let error = once.await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert_eq!(error.method(), Some("/etcdserverpb.Lease/LeaseKeepAlive"));
            let kept = client.keep_alive(lease).timeout(Duration::from_secs(2));
            let error = kept.await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
        };
        let nobody = world.host().client(Config::new(etcd.endpoints())).unwrap();
        check(nobody, ServerError::UserEmpty).await;
        check(client(&world, &etcd, "app", "wrong"), ServerError::AuthFailed).await;
        check(client(&world, &etcd, "app", PASSWORD), ServerError::PermissionDenied).await;
        root.keep_alive_once(lease).await.unwrap();
    })
    .unwrap();
}
