//! Tokens when something around them goes wrong: hooks that panic, refusals that pass, endpoints
//! that were not confidential.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod auth_support;

use auth_support::scripted::{Script, Server};
use etcd3::{Config, ErrorKind, Phase, Secret, ServerError, Status, prefix};
use etcd3_sim::run;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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

// A9
#[test]
fn a_hook_that_panics_fails_those_who_wait_and_is_called_again() {
    for in_future in [false, true] {
        run(1, |world| async move {
            let _server =
                Server::new(&world, script(status(ServerError::InvalidAuthToken), &["no"]));
            let asked = Arc::new(AtomicU32::new(0));
            let count = Arc::clone(&asked);
            let config = config().token_source(move |_| {
                let is_first = count.fetch_add(1, Ordering::Relaxed) == 0;
                assert!(in_future || !is_first, "the hook has a bug");
                async move {
                    assert!(!is_first, "the hook has a bug");
                    Ok::<_, io::Error>(Secret::new("good"))
                }
            });
            let client = world.host().client(config).unwrap();
            client.put("a", "v").await.unwrap();
            assert_eq!(asked.load(Ordering::Relaxed), 2);
        })
        .unwrap();
    }
}

// R24: what calls bear, watches bear as well.
#[test]
fn a_watch_bears_as_many_tokens_that_were_refused_as_a_call() {
    for refusal in [ServerError::AuthOldRevision, ServerError::InvalidAuthToken] {
        for ends_streams in [false, true] {
            let script = Script { ends_streams, ..script(status(refusal), &["1", "2", "3", "4"]) };
            run(2, |world| async move {
                let server = Server::new(&world, script);
                server.accept("4");
                let client = world.host().client(config().user("app", "password")).unwrap();
                let watch = client.watch(prefix("a")).from_revision(50).await;
                let mut watch = watch.unwrap_or_else(|e| panic!("{ends_streams} {e}"));
                assert_eq!(watch.next().await.unwrap().unwrap().revision(), 50);
            })
            .unwrap();
        }
    }
}

// A9: the refusal of one member, at one time, is not the last word.
#[test]
fn watches_go_on_with_a_token_of_the_user_that_is_taken_again() {
    for ends_streams in [false, true] {
        let refusal = status(ServerError::InvalidAuthToken);
        let script = Script { ends_streams, ..script(refusal, &["no"]) };
        run(3, |world| async move {
            let server = Server::new(&world, script);
            let client = world.host().client(config().token("mine")).unwrap();
            server.accept("another");
            let error = client.watch(prefix("a")).from_revision(50).await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Server(ServerError::InvalidAuthToken));
            server.accept("mine");
            client.put("a", "v").await.unwrap();
            for _ in 0..2 {
                let watch = client.watch(prefix("a")).from_revision(50).await;
                assert!(watch.is_ok(), "{ends_streams}: {:?}", watch.err());
            }
        })
        .unwrap();
    }
}

// A9
#[test]
fn a_hook_that_makes_one_token_only_is_served_again_when_that_is_taken() {
    run(4, |world| async move {
        let server = Server::new(&world, script(status(ServerError::InvalidAuthToken), &["no"]));
        let config = config().token_source(|_| async { Ok::<_, io::Error>(Secret::new("mine")) });
        let client = world.host().client(config).unwrap();
        client.put("a", "v").await.unwrap();
        server.accept("another");
        client.put("a", "v").await.unwrap_err();
        server.accept("mine");
        world.sleep(Duration::from_secs(60)).await;
        client.put("a", "v").await.unwrap();
    })
    .unwrap();
}

// I-A5
#[test]
fn endpoints_that_are_confidential_are_used_soon_after_those_that_were_not() {
    run(5, |world| async move {
        let _server = Server::new(&world, script(status(ServerError::InvalidAuthToken), &["1"]));
        let config = Config::new([Server::endpoint()]).user("app", "password");
        let client = world.host().client(config).unwrap();
        for _ in 0..50 {
            let error = client.put("a", "v").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PlaintextPassword);
            world.sleep(Duration::from_millis(50)).await;
        }
        client.set_endpoints(["http://127.0.0.1:2379"]).unwrap();
        world.sleep(Duration::from_millis(200)).await;
        let error = client.put("a", "v").timeout(Duration::from_secs(1)).await.unwrap_err();
        assert!(error.is_timeout(), "nobody listens there: {error}");
    })
    .unwrap();
}

// A9: what no header can hold would be left out, and requests would go without.
#[test]
fn a_token_that_no_header_can_hold_is_refused_when_the_client_is_made() {
    run(6, |world| async move {
        for bad in ["canary\n", "", "\0", "canary\u{7f}"] {
            let error = world.host().client(config().token(bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{bad:?}");
            let text = format!("{error} {error:?} {}", error.report());
            assert!(text.contains("token") && !text.contains("canary"), "{text}");
        }
    })
    .unwrap();
}

// A8: passwords are hashed slowly on purpose.
#[test]
fn a_login_may_take_longer_than_calls_may() {
    run(7, |world| async move {
        let server = Server::new(&world, script(status(ServerError::InvalidAuthToken), &["1"]));
        *server.login_takes.lock().unwrap() = Duration::from_millis(200);
        let config = config().user("app", "password").request_timeout(Duration::from_millis(50));
        let client = world.host().client(config).unwrap();
        let error = client.put("a", "v").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Token));
        world.sleep(Duration::from_secs(1)).await;
        client.put("a", "v").await.unwrap();
        assert_eq!(server.seen().of("Authenticate"), 1);
    })
    .unwrap();
}
