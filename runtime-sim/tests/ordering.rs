//! Reads that a member answers by itself, and that do not go back in time all the same, or are of a
//! revision that it lacks (Y2, R-08, R-09).
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{
    CallClass, Client, EndpointState, Error, ErrorKind, Outcome, ServerError, get, prefix,
};
use etcd3_sim::{Etcd, example_with};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A cluster of which the last member misses a write; the revisions before it and of it.
async fn behind(client: &Client, etcd: &Etcd) -> (i64, i64) {
    let old = client.put("k", "old").await.unwrap().header.revision;
    for endpoint in etcd.endpoints() {
        let one = client.pinned_to(endpoint).unwrap();
        while one.get("k").serializable().await.unwrap().header.revision < old {}
    }
    etcd.hold_back(2);
    client.set_endpoints(&etcd.endpoints()[..2]).unwrap();
    let new = client.put("k", "new").await.unwrap().header.revision;
    client.set_endpoints(etcd.endpoints()).unwrap();
    while client.get("k").serializable().await.unwrap().header.member_id != etcd.member_id(2) {}
    (old, new)
}

// I-R8, ORD-003
#[test]
fn a_read_that_may_not_go_back_is_answered_by_another_member() {
    example_with(|client, etcd, world| async move {
        let (old, new) = behind(&client, &etcd).await;
        assert_eq!(client.get("k").serializable().await?.header.revision, old);
        let retries = || client.metrics().of(CallClass::Read).map_or(0, |it| it.retries);
        let before = retries();
        // Calls go to a member in bursts.
        for _ in 0..300 {
            let begin = world.now();
            let found = client.get("k").serializable().not_older().await?;
            assert_eq!((found.value_str(), found.header.revision), (Some("new"), new));
            assert!(world.now().saturating_since(begin) < SECOND / 10, "at once, elsewhere");
        }
        assert!(retries() - before > 2, "it has its turns: {}", retries() - before);
        for _ in 0..10 {
            let read = || get("k").serializable();
            let done = client.txn().then([read().not_older()]).await?;
            assert_eq!(done.get(0).unwrap().value_str(), Some("new"));
            let page = client.pages("k").serializable().not_older().next().await.unwrap()?;
            assert_eq!(page.value_str(), Some("new"));
        }
        // Being behind is no reason to be shunned.
        let states = client.health().endpoints;
        assert!(states.iter().all(|it| it.state != EndpointState::Suspect), "{states:?}");
        Ok(())
    });
}

// ORD-001, ORD-002, ORD-004
#[test]
fn where_all_are_behind_the_read_is_stale() {
    example_with(|client, etcd, world| async move {
        let (revision, seen) = behind(&client, &etcd).await;
        client.set_endpoints([&etcd.endpoints()[2]])?;
        let stale = ErrorKind::StaleRead { revision, seen };
        for one in [client.clone(), client.namespace("k").namespace("")] {
            let error = one.get("k").serializable().not_older().timeout(SECOND).await.unwrap_err();
            assert_eq!(error.kind(), stale);
            assert!(error.attempts() > 1, "{error}");
        }
        let error = client
            .txn()
            .then([get("k").serializable()])
            .not_older()
            .timeout(SECOND)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), stale);
        let mut pages = client.pages("k").serializable().not_older().timeout(SECOND);
        assert_eq!(pages.next().await.unwrap().unwrap_err().kind(), stale);
        assert_eq!(client.get("k").serializable().await?.value_str(), Some("old"));

        // It comes along while the read waits.
        let reading = client.get("k").serializable().not_older().timeout(10 * SECOND);
        let keep_up = async {
            world.sleep(SECOND).await;
            etcd.keep_up(2);
        };
        let (found, ()) = futures_lite::future::zip(reading.send(), keep_up).await;
        assert_eq!(found?.value_str(), Some("new"));
        Ok(())
    });
}

// What the operator says was restored is read as it is.
#[test]
fn a_revision_that_is_forgotten_is_no_floor() {
    example_with(|client, etcd, _| async move {
        let (old, _) = behind(&client, &etcd).await;
        client.set_endpoints([&etcd.endpoints()[2]])?;
        client.forget_revision();
        let found = client.get("k").serializable().not_older().await?;
        assert_eq!(found.header.revision, old);
        Ok(())
    });
}

// I-R8, R-08: a member that has not come to a revision that was seen is no reason to fail.
#[test]
fn a_revision_that_was_seen_is_read_from_another_member() {
    example_with(|client, etcd, world| async move {
        let (old, new) = behind(&client, &etcd).await;
        let retries = || client.metrics().of(CallClass::Read).map_or(0, |it| it.retries);
        let before = retries();
        // Calls go to a member in bursts.
        for _ in 0..300 {
            let begin = world.now();
            let found = client.get("k").serializable().revision(new).await?;
            assert_eq!(found.value_str(), Some("new"));
            assert!(world.now().saturating_since(begin) < SECOND / 10, "at once, elsewhere");
        }
        assert!(retries() - before > 2, "it has its turns: {}", retries() - before);
        for _ in 0..30 {
            let reads =
                [get("k").serializable().revision(old), get("k").serializable().revision(new)];
            let done = client.txn().then(reads).await?;
            assert_eq!(done.get(1).unwrap().value_str(), Some("new"));
            let mut pages = client.pages("k").serializable().revision(new);
            assert_eq!(pages.next().await.unwrap()?.value_str(), Some("new"));
            let mut pieces = client.range_stream(get("k").serializable().revision(new));
            assert_eq!(pieces.next().await.unwrap()?.value_str(), Some("new"));
        }
        let states = client.health().endpoints;
        assert!(states.iter().all(|it| it.state != EndpointState::Suspect), "{states:?}");
        Ok(())
    });
}

// I-D2, I-R8: the first page pins a revision that the member of the next one may lack.
#[test]
fn pages_of_one_revision_come_although_a_member_lacks_it() {
    example_with(|client, etcd, _| async move {
        behind(&client, &etcd).await;
        client.set_endpoints(&etcd.endpoints()[..2])?;
        for n in 0..40 {
            client.put(format!("many/{n:02}"), "v").await?;
        }
        client.set_endpoints(etcd.endpoints())?;
        let mut pages = client.pages(prefix("many/")).serializable().not_older().page_size(1);
        for n in 0..40 {
            let page = pages.next().await.unwrap()?;
            assert_eq!(page.kvs[0].key_str()?, format!("many/{n:02}"));
        }
        Ok(())
    });
}

// I-R8: where nobody has come that far in time, the error says so.
#[test]
fn where_all_lack_a_revision_that_was_seen_the_read_is_stale() {
    example_with(|client, etcd, world| async move {
        let (_, seen) = behind(&client, &etcd).await;
        client.set_endpoints([&etcd.endpoints()[2]])?;
        let is_stale = |error: &Error| {
            assert_eq!(error.kind(), ErrorKind::StaleRead { revision: 0, seen });
            assert!(error.attempts() > 1 && error.is_retryable(), "{error}");
            let report = error.report().to_string();
            assert!(report.contains("required revision is a future revision"), "{report}");
        };
        let read = || get("k").serializable().revision(seen);
        for one in [client.clone(), client.namespace("k").namespace("")] {
            let begin = world.now();
            let reading = one.get("k").serializable().revision(seen).timeout(SECOND);
            is_stale(&reading.await.unwrap_err());
            assert_eq!(world.now().saturating_since(begin), SECOND);
        }
        let done = client.txn().then([read()]).timeout(SECOND).await;
        is_stale(&done.unwrap_err());
        let mut pages = client.pages("k").serializable().revision(seen).timeout(SECOND);
        is_stale(&pages.next().await.unwrap().unwrap_err());
        let mut pieces = client.range_stream(read()).timeout(SECOND);
        is_stale(&pieces.next().await.unwrap().unwrap_err());

        // It comes along while the read waits.
        let reading = client.get("k").serializable().revision(seen).timeout(10 * SECOND);
        let keep_up = async {
            world.sleep(SECOND).await;
            etcd.keep_up(2);
        };
        let (found, ()) = futures_lite::future::zip(reading.send(), keep_up).await;
        assert_eq!(found?.value_str(), Some("new"));
        Ok(())
    });
}

// K16: what this client has not seen may be yet to come.
#[test]
fn a_revision_that_was_not_seen_is_refused_at_once() {
    example_with(|client, etcd, world| async move {
        let (_, new) = behind(&client, &etcd).await;
        let begin = world.now();
        let is_future = |result: Result<(), Error>| {
            let error = result.unwrap_err();
            assert_eq!(error.server_error(), Some(ServerError::FutureRev));
            assert_eq!((error.attempts(), error.outcome()), (1, Outcome::Rejected), "{error}");
        };
        for _ in 0..30 {
            is_future(client.get("k").serializable().revision(new + 1).await.map(drop));
            let reads = [new, new + 1].map(|at| get("k").serializable().revision(at));
            is_future(client.txn().then(reads).await.map(drop));
            let mut pages = client.pages("k").serializable().revision(new + 1);
            is_future(pages.next().await.unwrap().map(drop));
        }
        client.set_endpoints(&etcd.endpoints()[..2])?;
        is_future(client.get("k").revision(new + 1).await.map(drop));
        assert!(world.now().saturating_since(begin) < SECOND);

        // What the operator says was restored has that revision no more.
        client.set_endpoints([&etcd.endpoints()[2]])?;
        client.forget_revision();
        is_future(client.get("k").serializable().revision(new).await.map(drop));
        Ok(())
    });
}
