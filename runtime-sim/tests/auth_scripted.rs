//! Tokens at a scripted server: what old servers say, hooks, and ends of streams.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;

use auth_support::join;
use auth_support::scripted::{Script, Server};
use etcd3::{Client, Code, Config, ErrorKind, Outcome, Secret, ServerError, Status, TokenReason};
use etcd3::{Watch, prefix};
use etcd3_sim::{World, run};
use futures_lite::future::zip;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn status(error: ServerError) -> Status {
    Status::new(error.code(), error.text())
}

fn script(refusal: Status, logins: &[&str]) -> Script {
    let logins = logins.iter().map(|it| Ok((*it).to_owned())).collect();
    Script { accepted: None, refusal, logins, ends_streams: false }
}

fn config() -> Config {
    Config::new([Server::endpoint()]).allow_plaintext_passwords()
}

fn with_password(world: &World) -> Client {
    world.host().client(config().user("app", "canary-password")).unwrap()
}

/// How servers word that a token is too old, or is not known.
fn refusals() -> Vec<Status> {
    vec![
        // Case 1, AUTH-069, E5: etcd 3.5.1 and 3.4.18, and calls of maintenance.
        Status::new(Code::Unknown, "auth: revision in header is old"),
        Status::new(Code::Unknown, "auth: invalid auth token"),
        Status::new(Code::Unknown, "auth: user name is empty"),
        status(ServerError::AuthOldRevision),
        status(ServerError::InvalidAuthToken),
        status(ServerError::UserEmpty),
    ]
}

// Case 1, AUTH-069, AUTH-070, I-A4
#[test]
fn a_token_that_became_old_is_renewed_however_the_server_words_it() {
    for refusal in refusals() {
        for ends_streams in [false, true] {
            let shown = format!("{refusal} {ends_streams}");
            let script = Script { ends_streams, ..script(refusal.clone(), &["1", "2"]) };
            run(1, |world| async move {
                let server = Server::new(&world, script);
                let client = with_password(&world);
                client.put("a", "v").await.unwrap();
                world.sleep(Duration::from_secs(5)).await;
                server.accept("2");
                let gets = join((0..50).map(|n| client.get(format!("a{n}")).send()));
                let watch = async { client.watch(prefix("a")).from_revision(51).await };
                let (gets, (put, watch)) = zip(gets, zip(client.put("a", "v").send(), watch)).await;
                assert!(gets.iter().all(Result::is_ok), "{shown} {gets:?}");
                put.unwrap();
                server.write();
                assert_eq!(next(&mut watch.unwrap()).await, 51);
                let seen = server.seen();
                assert_eq!(seen.of("Authenticate"), 2, "{shown}: the first and another");
                assert_eq!((seen.with("Put", "1"), seen.with("Put", "2")), (2, 1), "{shown}");
            })
            .unwrap();
        }
    }
}

/// Takes the next batch, and returns its revision.
async fn next(watch: &mut Watch) -> i64 {
    watch.next().await.unwrap().unwrap().revision()
}

type Asked = Arc<Mutex<Vec<TokenReason>>>;

/// A client whose tokens are made by a function: these, then the last one again.
fn with_hook(world: &World, tokens: &[&str]) -> (Client, Asked) {
    let asked = Asked::default();
    let tokens: Vec<String> = tokens.iter().map(|it| (*it).to_owned()).collect();
    let (noted, sleeper) = (Arc::clone(&asked), world.clone());
    let config = config().token_source(move |reason| {
        let mut noted = noted.lock().unwrap();
        let token = tokens[noted.len().min(tokens.len() - 1)].clone();
        noted.push(reason);
        let sleeper = sleeper.clone();
        async move {
            sleeper.sleep(Duration::from_millis(30)).await;
            Ok::<_, io::Error>(Secret::new(token))
        }
    });
    (world.host().client(config).unwrap(), asked)
}

// Case 2, A9
#[test]
fn a_hook_is_asked_once_for_all_that_were_refused() {
    run(2, |world| async move {
        let server = Server::new(&world, script(status(ServerError::AuthOldRevision), &["no"]));
        let (client, asked) = with_hook(&world, &["5", "6"]);
        client.put("a", "v").await.unwrap();
        assert_eq!(*asked.lock().unwrap(), [TokenReason::First]);
        world.sleep(Duration::from_secs(5)).await;
        server.accept("6");
        let calls = join((0..100).map(|n| client.put(format!("a{n}"), "v").send()));
        let watches = (0..10).map(|_| {
            let watch = client.watch(prefix("a")).from_revision(51);
            Box::pin(async { watch.await })
        });
        let (calls, watches) = zip(calls, join(watches)).await;
        assert!(calls.iter().all(Result::is_ok), "{calls:?}");
        assert!(watches.iter().all(Result::is_ok), "{watches:?}");
        assert_eq!(*asked.lock().unwrap(), [TokenReason::First, TokenReason::OldRevision]);
        assert_eq!(server.seen().of("Authenticate"), 0);
    })
    .unwrap();
}

// Case 2
#[test]
fn a_hook_that_makes_the_same_token_again_ends_calls_in_the_refusal() {
    run(3, |world| async move {
        let server = Server::new(&world, script(status(ServerError::AuthOldRevision), &["no"]));
        let (client, asked) = with_hook(&world, &["5"]);
        client.put("a", "v").await.unwrap();
        world.sleep(Duration::from_secs(5)).await;
        server.accept("6");
        let sent = server.seen().of("Put");
        for result in join((0..100).map(|n| client.put(format!("a{n}"), "v").send())).await {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthOldRevision), "{error}");
            assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
        }
        let watch = client.watch(prefix("a")).from_revision(51).await;
        let error = watch.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::NoToken, "nothing was asked, and the token is bad");
        assert_eq!(server.seen().of("Put") - sent, 100);
        assert_eq!(asked.lock().unwrap().len(), 2);
    })
    .unwrap();
}

#[test]
fn a_token_that_the_user_gave_is_sent_and_its_refusal_is_the_answer() {
    run(4, |world| async move {
        let server = Server::new(&world, script(status(ServerError::AuthOldRevision), &["no"]));
        let client = world.host().client(config().token("mine")).unwrap();
        client.put("a", "v").await.unwrap();
        server.accept("another");
        let error = client.put("a", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::AuthOldRevision));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1));
        server.accept("mine");
        client.put("a", "v").await.unwrap();
        assert_eq!(server.seen().with("Put", "mine"), 3);
        assert_eq!(server.seen().of("Authenticate"), 0);
    })
    .unwrap();
}

// Case 28, I-W16
#[test]
fn live_watches_survive_the_end_of_their_token() {
    run(5, |world| async move {
        let server = Server::new(&world, script(status(ServerError::InvalidAuthToken), &["1"]));
        let client = with_password(&world);
        let mut watches = Vec::new();
        for _ in 0..3 {
            watches.push(client.watch(prefix("a")).from_revision(50).await.unwrap());
        }
        for watch in &mut watches {
            assert_eq!(next(watch).await, 50);
        }
        let before = server.seen();
        assert_eq!((before.watch_streams, before.of("Authenticate")), (1, 1));
        for n in 0..10_u32 {
            let token = (n + 2).to_string();
            server.script.lock().unwrap().logins = vec![Ok(token.clone())];
            server.accept(&token);
            server.end_watches();
            server.write();
            for watch in &mut watches {
                assert_eq!(next(watch).await, 51 + i64::from(n), "nothing is lost or repeated");
            }
            let seen = server.seen();
            assert_eq!(seen.watch_streams, 2 + n);
            assert_eq!(seen.of("Authenticate"), 2 + n);
            let creates = &seen.creates[seen.creates.len() - 3..];
            assert_eq!(creates, [51 + i64::from(n); 3]);
            world.sleep(Duration::from_secs(6)).await;
        }
    })
    .unwrap();
}

// A-02, H8: before etcd 3.5.6 the end of a token reads as a denial.
#[test]
fn a_watch_that_is_denied_for_its_token_is_created_again_and_one_that_is_forbidden_is_not() {
    run(6, |world| async move {
        let server =
            Server::new(&world, script(status(ServerError::PermissionDenied), &["1", "2", "3"]));
        let client = with_password(&world);
        let mut watch = client.watch(prefix("a")).from_revision(50).await.unwrap();
        assert_eq!(next(&mut watch).await, 50);
        world.sleep(Duration::from_secs(600)).await;
        server.accept("2");
        server.end_watches();
        // The end of a stream by a denial is believed; it is another one that has to be created.
        let end = watch.next().await.unwrap().unwrap_err();
        assert!(end.is_permission_denied());
        let mut watch = client.watch(prefix("a")).from_revision(50).await.unwrap();
        assert_eq!(next(&mut watch).await, 50);
        assert_eq!(server.seen().of("Authenticate"), 2);
        // From now on it is forbidden to all.
        server.accept("nobody");
        for _ in 0..100 {
            let error = client.watch(prefix("a")).from_revision(50).await.err().unwrap();
            assert!(error.is_permission_denied(), "{error}");
            world.sleep(Duration::from_millis(100)).await;
        }
        assert!(server.seen().of("Authenticate") <= 3);
    })
    .unwrap();
}

// R24: a server that refuses whatever it has just given.
#[test]
fn tokens_that_are_always_refused_end_a_call_after_a_few() {
    let logins: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let logins: Vec<&str> = logins.iter().map(String::as_str).collect();
    let script = script(status(ServerError::InvalidAuthToken), &logins);
    run(7, |world| async move {
        let server = Server::new(&world, script);
        server.accept("nothing");
        let client = with_password(&world);
        let error = client.put("a", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 4));
        let seen = server.seen();
        assert_eq!((seen.of("Put"), seen.of("Authenticate")), (4, 4));
    })
    .unwrap();
}
