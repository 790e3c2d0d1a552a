//! Caches: what they show, whom they tell of changes, and what they say that they do not know.

use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb::LeaseGrantRequest;
use etcd3::{
    Cache, CacheChanges, CacheItem, Client, ErrorKind, Event, KeyRange, LeaseId, Previous, all,
    from_key, key, prefix,
};
use etcd3_lab::etcd::Version;
use futures_lite::future::poll_once;
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(subscribers_get_what_watches_get, ["CACHE-001", "CACHE-010"]),
    case!(only_what_is_within_its_range, ["CACHE-002", "CACHE-008"]),
    case!(progress_of_other_keys, ["CACHE-003"]).since(Version::minor(3, 5)),
    case!(catches_up, ["CACHE-004", "CACHE-005"]),
    case!(reads_are_those_of_the_server, ["CACHE-006", "CACHE-007"]),
    case!(a_subscriber_that_lags_is_told, ["CACHE-009"]),
    case!(what_is_not_remembered_is_said_to_be_so, []),
    case!(a_value_that_comes_back_is_seen, []),
];

/// How long what comes at once may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What is told of an event: its revision, its key, and whether it deletes.
type Told = (i64, String, bool);

fn told(event: &Event) -> Told {
    (event.revision(), String::from_utf8_lossy(&event.kv.key).into_owned(), event.is_delete())
}

/// Reads the changes of a cache until so many events have come.
async fn events(
    ctx: &Ctx,
    changes: &mut CacheChanges,
    count: usize,
) -> Result<Vec<Event>, BoxError> {
    let mut events = Vec::new();
    while events.len() < count {
        let next = ctx.within(LIMIT, changes.next()).await.ok_or("no change comes")?;
        match next.ok_or("the changes have ended")?? {
            CacheItem::Events(batch) => events.extend(batch),
            other => return Err(format!("not events: {other:?}").into()),
        }
    }
    Ok(events)
}

/// Writes and deletes keys of several ranges; returns what a watch of all of them is told.
async fn write(client: &Client) -> Result<Vec<Told>, BoxError> {
    let mut told = Vec::new();
    for name in ["/bar", "/foo/a", "/foo/b", "/foo/bc", "/fooz", "a", "zz"] {
        told.push((client.put(name, "1").await?.header.revision, name.to_owned(), false));
    }
    for name in ["/foo/b", "a"] {
        told.push((client.delete(name).await?.header.revision, name.to_owned(), true));
    }
    for name in ["/foo/b", "/foo/a"] {
        told.push((client.put(name, "2").await?.header.revision, name.to_owned(), false));
    }
    Ok(told)
}

/// Tells whether a key lies in a range.
type Holds = fn(&str) -> bool;

/// Some ranges, and which keys lie in them.
fn ranges() -> Vec<(KeyRange, Holds)> {
    vec![
        (key("/foo/b"), |name| name == "/foo/b"),
        (key("/missing"), |_| false),
        (prefix("/foo"), |name| name.starts_with("/foo")),
        (prefix("/foo/b"), |name| name.starts_with("/foo/b")),
        (prefix("/none"), |_| false),
        (("/foo/a".."/foo/c").into(), |name| ("/foo/a".."/foo/c").contains(&name)),
        (from_key("/foo/bc"), |name| name >= "/foo/bc"),
        (all(), |_| true),
    ]
}

// A cache delivers no previous pairs, and has none of the other options: there is no method for
// them.
async fn subscribers_get_what_watches_get(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("before", "").await?;
    let cache = client.cache(all()).await?;
    let start = cache.revision() + 1;
    let mut subscribers = Vec::new();
    for (range, holds) in ranges() {
        let watch = client.watch(range.clone()).from_revision(start).await?;
        subscribers.push((cache.changes_from(range, start)?, watch, holds));
    }
    let written = write(&client).await?;
    for (mut changes, mut watch, holds) in subscribers {
        let expected: Vec<Told> =
            written.iter().filter(|(_, name, _)| holds(name)).cloned().collect();
        let got = events(&ctx, &mut changes, expected.len()).await?;
        assert_eq!(got.iter().map(told).collect::<Vec<_>>(), expected);
        assert!(got.iter().all(|event| event.prev_kv() == Previous::NotRequested));
        let mut watched = Vec::new();
        while watched.len() < expected.len() {
            let batch =
                ctx.within(LIMIT, watch.next()).await.flatten().ok_or("no event comes")??;
            watched.extend(batch);
        }
        assert_eq!(watched.iter().map(told).collect::<Vec<_>>(), expected);
        cache.catch_up().await?;
        assert!(poll_once(changes.next()).await.is_none(), "more than the watch of the same");
    }
    Ok(())
}

async fn only_what_is_within_its_range(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("/foo/a", "1").await?;
    let cache = client.cache(prefix("/foo")).await?;
    let within: [KeyRange; 4] =
        [key("/foo/a"), prefix("/foo"), prefix("/foo/"), ("/foo".."/foo/z").into()];
    for range in within {
        cache.range(range.clone())?;
        drop(cache.changes(range)?);
    }
    let out_of: [KeyRange; 5] = [
        key("/bar"),
        prefix("/bar"),
        ("/fo".."/foo/z").into(),
        ("/foo/a".."/g").into(),
        from_key("/foo"),
    ];
    for range in out_of {
        let read = cache.range(range.clone()).expect_err("out of the range");
        assert_eq!(read.kind(), ErrorKind::InvalidRequest, "{range:?}");
        let changes = cache.changes(range.clone()).expect_err("out of the range");
        assert_eq!(changes.kind(), ErrorKind::InvalidRequest, "{range:?}");
    }
    assert_eq!(cache.get("/bar").expect_err("out of the range").kind(), ErrorKind::InvalidRequest);
    Ok(())
}

async fn progress_of_other_keys(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("/foo/a", "1").await?;
    let cache = client.cache(prefix("/foo")).await?;
    let mut last = 0;
    for n in 0..5 {
        last = client.put(format!("/bar/{n}"), "").await?.header.revision;
    }
    cache.wait_for(last).await?;
    assert!(cache.revision() >= last);
    Ok(())
}

// Subscribers are told of changes alone; how far the cache has come is asked of the cache.
async fn catches_up(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let cache = client.cache(prefix("/foo")).await?;
    let mut changes = cache.changes(prefix("/foo"))?;
    for n in 0..3 {
        client.put(format!("/foo/{n}"), "").await?;
    }
    events(&ctx, &mut changes, 3).await?;
    let outside = client.put("other", "").await?.header.revision;
    assert!(cache.catch_up().await? >= outside);
    assert!(cache.revision() >= outside);
    assert!(poll_once(changes.next()).await.is_none(), "news of no change");
    for n in 0..10 {
        client.put(format!("/foo/{n}"), "again").await?;
    }
    assert_eq!(events(&ctx, &mut changes, 10).await?.len(), 10);
    cache.catch_up().await?;
    assert!(poll_once(changes.next()).await.is_none(), "more than 10");
    Ok(())
}

// A cache shows the range as it is, at one revision: there are no reads of the past.
async fn reads_are_those_of_the_server(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let cache = client.cache(all()).await?;
    write(&client).await?;
    let names = ["/bar", "/foo/a", "/foo/b", "/foo/bc", "/fooz", "zz"];
    cache.catch_up().await?;
    for (range, holds) in ranges() {
        let expected: Vec<&str> = names.into_iter().filter(|name| holds(name)).collect();
        let shown = cache.range(range.clone())?;
        let shown_names: Vec<_> = shown.iter().map(|pair| pair.key_str()).collect();
        assert_eq!(shown_names.into_iter().collect::<Result<Vec<_>, _>>()?, expected, "{range:?}");
        for serializable in [false, true] {
            let read = client.get(range.clone());
            let read = if serializable { read.serializable() } else { read };
            assert_eq!(read.await?.kvs, shown, "{range:?}");
        }
    }
    assert_eq!(cache.get("/foo/b")?.ok_or("no key")?.version, 1, "created anew");
    assert_eq!(cache.get("a")?, None);
    let future = cache.revision() + 1_000;
    assert!(ctx.within(LIMIT, cache_at(&cache, future)).await.is_none_or(|found| found.is_err()));
    Ok(())
}

async fn cache_at(cache: &Cache, revision: i64) -> Result<(), etcd3::Error> {
    cache.wait_for(revision).await
}

async fn a_subscriber_that_lags_is_told(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    // As many bytes as eleven changes take.
    let bytes = 11 * (size_of::<Event>() + "/foo/00".len() + "v".len());
    for count in [9, 10, 11, 12] {
        let cache = client.cache(prefix("/foo")).max_history_bytes(bytes).await?;
        let mut changes = cache.changes(prefix("/foo"))?;
        for n in 0..count {
            client.put(format!("/foo/{n:02}"), "v").await?;
        }
        cache.catch_up().await?;
        if count < 12 {
            assert_eq!(events(&ctx, &mut changes, count).await?.len(), count);
            continue;
        }
        let end = changes.next().await.ok_or("no reason")?.expect_err("a change is forgotten");
        assert!(end.is_compacted(), "{end}");
        assert!(changes.next().await.is_none());
    }
    Ok(())
}

// Case 24
async fn what_is_not_remembered_is_said_to_be_so(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..10 {
        client.put(format!("p/{n}"), "").await?;
    }
    let cache = client.cache(prefix("p/")).await?;
    let base = cache.revision();
    let mut old = cache.changes_from(prefix("p/"), base - 5)?;
    let end = old.next().await.ok_or("no reason")?.expect_err("it is not remembered");
    let expected = ErrorKind::WatchCompacted { requested: base - 5, compacted: base + 1 };
    assert_eq!(end.kind(), expected);
    assert!(old.next().await.is_none());
    let mut both =
        [cache.changes_from(prefix("p/"), base + 1)?, cache.changes_from(prefix("p/"), 0)?];
    let mut written = Vec::new();
    for n in 0..5 {
        let name = format!("p/{n}");
        written.push((client.put(&name, "new").await?.header.revision, name, false));
    }
    for changes in &mut both {
        let got = events(&ctx, changes, 5).await?;
        assert_eq!(got.iter().map(told).collect::<Vec<_>>(), written);
    }
    let negative = cache.changes_from(prefix("p/"), -1).expect_err("no revision is negative");
    assert_eq!(negative.kind(), ErrorKind::InvalidRequest);
    Ok(())
}

// Case 25
async fn a_value_that_comes_back_is_seen(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let lease = client.rpc(LeaseGrantRequest { ttl: 3, id: 0 }).await?;
    client.put("cfg", "1").lease(LeaseId(lease.id)).await?;
    let cache = client.cache("cfg").await?;
    let mut value = cache.value("cfg", |pair| pair.value_str().map(str::to_owned))?;
    let first = value.changed().await?.ok_or("there is no value")?;
    assert_eq!(*first, Ok("1".to_owned()));
    let (ctx_again, writer) = (ctx.clone(), client.clone());
    let again = ctx.spawn(async move {
        // The time is what the case is about: the lease has run out when the value comes back.
        ctx_again.pause(Duration::from_secs(8)).await;
        writer.put("cfg", "2").await
    });
    let mut seen = Vec::new();
    while seen.last().is_none_or(Option::is_none) {
        // A reader that is slow.
        ctx.pause(Duration::from_secs(4)).await;
        let limit = Duration::from_secs(30);
        let now = ctx.within(limit, value.changed()).await.ok_or("it does not come back")??;
        seen.push(now.map(|value| (*value).clone()));
    }
    let back = Some(Ok("2".to_owned()));
    assert!(seen == [None, back.clone()] || seen == [back], "{seen:?}");
    let created = again.await?.header.revision;
    cache.catch_up().await?;
    assert_eq!(cache.get("cfg")?.ok_or("no key")?.create_revision, created);
    Ok(())
}
