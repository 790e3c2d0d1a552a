//! What a client tells `tracing`: each event where it belongs, and never a secret.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod trace_support;

use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, EndpointState, Error, OnLoss, get, key, put};
use etcd3_sim::{ClusterConfig, Etcd, Personality, World, run};
use std::sync::Arc;
use std::time::Duration;
use trace_support::Lines;

/// Runs this in a world with a cluster of three and a client, and returns what was told there.
fn told<F>(seed: u64, act: impl FnOnce(World, Etcd, Client) -> F) -> Vec<String>
where
    F: Future<Output = ()>,
{
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        run(seed, |world| async move {
            let config = ClusterConfig::new(3, Personality::of(3, 5, 30), world.seed());
            let etcd = world.etcd(config);
            let config = Config::new(etcd.endpoints()).allow_plaintext_passwords();
            let client = world.host().client(config).unwrap();
            act(world, etcd, client).await;
        })
        .unwrap();
    });
    lines.taken()
}

fn ours(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).filter(|line| line.contains(" etcd3::")).collect()
}

fn count(lines: &[String], starts: &str, holds: &str) -> usize {
    ours(lines).iter().filter(|it| it.starts_with(starts) && it.contains(holds)).count()
}

#[test]
fn each_failed_attempt_is_told_with_what_comes_next() {
    let lines = told(1, |world, etcd, client| async move {
        client.put("k", "v").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        (0..3).for_each(|member| etcd.kill(member));
        let error = client.get("k").timeout(Duration::from_secs(2)).await.unwrap_err();
        assert!(error.is_timeout() || error.is_connection(), "{error}");
    });
    assert_eq!(count(&lines, "INFO etcd3::connection", "connected"), 3 + 3, "{lines:#?}");
    let failed = "DEBUG etcd3::call message=call failed method=\"/etcdserverpb.KV/Range\"";
    assert_eq!(count(&lines, failed, " outcome="), 1, "{lines:#?}");
}

#[test]
fn the_first_failure_to_connect_is_loud_and_the_rest_is_quiet() {
    let lines = told(2, |world, etcd, client| async move {
        client.put("k", "v").await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        etcd.kill(1);
        world.sleep(Duration::from_secs(60)).await;
        etcd.revive(1);
        world.sleep(Duration::from_secs(20)).await;
    });
    let loud = count(&lines, "INFO etcd3::connection message=cannot connect", "http://etcd-1");
    let quiet = count(&lines, "DEBUG etcd3::connection message=cannot connect", "http://etcd-1");
    assert_eq!(loud, 1, "{lines:#?}");
    assert!(quiet > 3, "{lines:#?}");
    let cause = "failure=the connection failed cause=10.0.0.2:2379: connection refused";
    assert_eq!(count(&lines, "INFO", cause), 1, "{lines:#?}");
    let ended = "INFO etcd3::connection message=disconnected endpoint=http://etcd-1:2379 \
                 failure=the connection was lost cause=";
    assert_eq!(count(&lines, ended, ""), 1, "{lines:#?}");
}

#[test]
fn a_suspect_is_told_once_and_so_is_its_return() {
    let lines = told(3, |world, etcd, client| async move {
        client.put("k", "v").await.unwrap();
        world.sleep(Duration::from_secs(2)).await;
        etcd.pause(2);
        let is_suspect = || client.health().endpoints[2].state == EndpointState::Suspect;
        while !is_suspect() {
            client.get("k").await.unwrap();
            world.sleep(Duration::from_millis(20)).await;
        }
        etcd.revive(2);
        world.sleep(Duration::from_secs(60)).await;
        client.get("k").await.unwrap();
    });
    let suspect = "WARN etcd3::endpoint message=suspect endpoint=http://etcd-2:2379";
    assert_eq!(count(&lines, suspect, ""), 1, "{lines:#?}");
    assert_eq!(count(&lines, "INFO etcd3::endpoint message=no longer suspect", "etcd-2"), 1);
    assert!(count(&lines, "DEBUG etcd3::call message=attempt failed", " again_in=") > 0);
}

// Once for each lease, however often it is tried, and without the key.
#[test]
fn a_key_that_is_not_registered_again_is_told_once() {
    let lines = told(5, |world, _, client| async move {
        let begin = client.session(Duration::from_secs(5)).on_loss(OnLoss::Regrant);
        let session = begin.await.unwrap();
        session.register("canary-key", vec![b'1'; 100_000]).await.unwrap();
        let config = ClusterConfig {
            max_request_bytes: 50_000,
            ..ClusterConfig::new(1, Personality::of(3, 5, 30), world.seed() + 1)
        };
        client.set_endpoints(world.etcd(config).endpoints()).unwrap();
        world.sleep(Duration::from_secs(60)).await;
        assert!(session.is_valid());
    });
    let refused = "WARN etcd3::lease message=key not registered lease=";
    assert_eq!(
        count(&lines, refused, "error=Put: InvalidArgument: etcdserver: request is too large"),
        1,
        "{lines:#?}"
    );
    assert_eq!(count(&lines, "", "canary"), 0);
    let shorter = "INFO etcd3::lease message=session regranted";
    assert_eq!(count(&lines, shorter, ""), 0, "not all of its keys are there");
}

/// Makes calls that succeed and calls that fail, all with the canary in what must not be told.
async fn sing(client: &Client, canary: &str) -> Vec<Error> {
    let user = pb::AuthUserAddRequest {
        name: "user".to_owned(),
        password: canary.to_owned(),
        ..Default::default()
    };
    let login = pb::AuthenticateRequest { name: "user".to_owned(), password: canary.to_owned() };
    let write = || [put(canary.to_owned(), canary.to_owned())];
    let is = || [key(canary).value().eq(canary)];
    let mut errors = Vec::new();
    errors.extend(client.put(canary, canary).prev_kv().await.err());
    errors.extend(client.get(canary).revision(99).await.err());
    errors.extend(client.delete(canary).prev_kv().await.err());
    errors.extend(client.txn().when(is()).then(write()).otherwise([get(canary)]).await.err());
    errors.extend(client.txn().then([put(canary, "1"), put(canary, canary)]).await.err());
    errors.extend(client.rpc(user).await.err());
    errors.extend(client.rpc(login).await.err());
    errors
}

// Case 3: that a version could not be asked for is told, with the reason.
#[test]
fn a_version_that_the_user_may_not_ask_for_is_told_to_be_unknown() {
    let lines = told(7, |world, etcd, client| async move {
        for (name, role) in [("root", "root"), ("app", "app")] {
            client.auth().role_add(role).await.unwrap();
            client.auth().user_add(name, "password").await.unwrap();
            client.auth().user_grant_role(name, role).await.unwrap();
        }
        client.auth().enable().await.unwrap();
        world.sleep(Duration::from_secs(1)).await;
        let config = Config::new(etcd.endpoints()).user("app", "password");
        let config = config.allow_plaintext_passwords().min_server_version((3, 5));
        let runtime = Arc::new(world.host().runtime());
        Client::connect_on(runtime, config).await.unwrap();
    });
    let unknown = "INFO etcd3::endpoint message=version unknown";
    assert_eq!(count(&lines, unknown, "permission denied"), 3, "{lines:#?}");
}

// Keys, values and passwords are told to nobody, at any level, by us and by h2.
#[test]
fn no_event_and_no_error_has_a_key_a_value_or_a_password_in_it() {
    const CANARY: &str = "canary-3f9a";
    let lines = told(4, |world, etcd, client| async move {
        let mut errors = sing(&client, CANARY).await;
        etcd.pause(0);
        errors.extend(sing(&client, CANARY).await);
        (0..3).for_each(|member| etcd.kill(member));
        errors.extend(sing(&client, CANARY).await);
        world.sleep(Duration::from_secs(5)).await;
        assert!(errors.len() > 7, "{errors:?}");
        for error in errors {
            let shown = format!("{error} {error:?} {error:#?} {}", error.report());
            assert!(!shown.contains(CANARY), "{shown}");
        }
        let request = client.put(CANARY, "v");
        assert!(!format!("{client:?} {:?}", request.send()).contains(CANARY));
    });
    assert!(ours(&lines).len() > 20);
    let bytes = format!("{:?}", CANARY.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']);
    for line in &lines {
        assert!(!line.contains(CANARY) && !line.contains(bytes), "{line}");
    }
}
