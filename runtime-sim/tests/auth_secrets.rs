//! Passwords, tokens and what is made of them stand in no event and in no error (I-A5).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;
mod trace_support;

use auth_support::scripted::{Script, Server};
use auth_support::{PASSWORD, cluster, config, cut, guard, set_password};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Client, Config, Error, Secret, ServerError, Status, key};
use etcd3_sim::run;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use trace_support::Lines;

/// What must not be told: it is in each password and token.
const CANARY: &str = "canary";

/// Runs this with everything that is told kept, and asserts that no secret is in it.
fn silent<F: Future<Output = Vec<Error>>>(
    seed: u64,
    told: &[&str],
    act: impl FnOnce(etcd3_sim::World) -> F,
) {
    let lines = Lines::default();
    let errors = tracing::subscriber::with_default(lines.clone(), || run(seed, act).unwrap().0);
    let mut lines = lines.taken();
    for part in told {
        assert!(lines.iter().any(|line| line.contains(part)), "{part}: {lines:#?}");
    }
    for error in &errors {
        lines.push(format!("{error} {error:?} {error:#?} {}", error.report()));
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            lines.push(format!("{cause} {cause:?} {cause:#?}"));
            source = cause.source();
        }
    }
    let bytes = format!("{:?}", CANARY.as_bytes());
    let bytes = bytes.trim_matches(['[', ']']);
    for line in &lines {
        assert!(!line.contains(CANARY) && !line.contains(bytes), "{line}");
    }
}

/// All that a client with credentials does, well and not.
async fn live(client: &Client, errors: &mut Vec<Error>) {
    errors.extend(client.put("a", "v").await.err());
    errors.extend(client.get("c").await.err());
    errors.extend(client.watch(key("a")).await.err());
    errors.extend(client.watch(key("c")).from_revision(1).await.err());
    errors.extend(client.lease(Duration::from_secs(5)).await.err());
    let name = "app".to_owned();
    let password = PASSWORD.to_owned();
    let login = pb::AuthenticateRequest { name: name.clone(), password: password.clone() };
    errors.extend(client.rpc(login).await.err());
    let user = pb::AuthUserAddRequest {
        name: name.clone(),
        password: password.clone(),
        ..Default::default()
    };
    errors.extend(client.rpc(user).await.err());
    let change = pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
    errors.extend(client.rpc(change).await.err());
}

#[test]
fn a_password_and_its_tokens_are_told_to_nobody() {
    let told = ["token obtained", "no token", "call failed", "h2::"];
    silent(1, &told, |world| async move {
        let etcd = cluster(&world, (3, 5, 30), Duration::from_secs(2));
        let root = guard(&world, &etcd).await;
        let host = world.host();
        let settings = config(&etcd, "app", PASSWORD);
        assert!(!format!("{settings:?} {settings:#?}").contains(CANARY));
        let client = host.client(settings).unwrap();
        assert!(!format!("{client:?} {client:#?}").contains(CANARY));
        let mut errors = Vec::new();
        live(&client, &mut errors).await;
        // The token expires, the connections are cut, members die.
        world.sleep(Duration::from_secs(5)).await;
        live(&client, &mut errors).await;
        cut(&world, &etcd, &host);
        live(&client, &mut errors).await;
        set_password(&root, "app", "another canary").await;
        world.sleep(Duration::from_secs(5)).await;
        live(&client, &mut errors).await;
        let wrong = Client::connect_on(Arc::new(host.runtime()), config(&etcd, "app", "canary"));
        errors.extend(wrong.await.err());
        let plain = Config::new(etcd.endpoints()).user("app", PASSWORD);
        errors.extend(Client::connect_on(Arc::new(host.runtime()), plain).await.err());
        (0..3).for_each(|member| etcd.kill(member));
        errors.extend(client.put("a", "v").timeout(Duration::from_secs(2)).await.err());
        assert!(errors.len() > 10, "{errors:?}");
        errors
    });
}

#[test]
fn tokens_of_the_user_are_told_to_nobody() {
    silent(2, &["token obtained", "no token", "h2::"], |world| async move {
        let refusal =
            Status::new(ServerError::AuthOldRevision.code(), ServerError::AuthOldRevision.text());
        let script = Script {
            accepted: None,
            refusal,
            logins: vec![Ok("canary".into())],
            ends_streams: false,
        };
        let server = Server::new(&world, script);
        server.accept("canary-good");
        let mut errors = Vec::new();
        let base = || Config::new([Server::endpoint()]).allow_plaintext_passwords();
        let fixed = base().token("canary-bad");
        assert!(!format!("{fixed:?}").contains(CANARY));
        live(&world.host().client(fixed).unwrap(), &mut errors).await;
        let good =
            base().token_source(|_| async { Ok::<_, io::Error>(Secret::new("canary-good")) });
        assert!(!format!("{good:?}").contains(CANARY));
        live(&world.host().client(good).unwrap(), &mut errors).await;
        // One that no header can hold, and one that is no token.
        for bad in ["canary\n", "", "canary-bad"] {
            let source = base()
                .request_timeout(Duration::from_secs(2))
                .token_source(move |_| async move { Ok::<_, io::Error>(Secret::new(bad)) });
            let client = world.host().client(source).unwrap();
            errors.extend(client.put("a", "v").await.err());
        }
        let fails = base()
            .request_timeout(Duration::from_secs(2))
            .token_source(|_| async { Err::<Secret, _>(io::Error::other("the signer is away")) });
        let client = world.host().client(fails).unwrap();
        let error = client.put("a", "v").await.unwrap_err();
        assert!(error.report().to_string().contains("the signer is away"), "{}", error.report());
        errors.push(error);
        errors
    });
}
