//! What events tell: what happened, the pair before, and only what was asked for.

use super::watch_expect::{Reader, lines, revision};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{Event, KeyRange, Previous, key, prefix};

pub(super) const CASES: &[Case] = &[
    case!(events_say_what_happened, ["WATCH-018"]),
    case!(filters_leave_out_one_kind, ["WATCH-022", "WATCH-061"]),
    case!(the_pair_before_comes_along, ["WATCH-062"]),
    case!(what_one_watch_asks_for_another_does_not_get, ["WATCH-025"]),
    case!(a_pair_that_was_compacted_is_not_taken_for_none, []),
];

/// WATCH-018
async fn events_say_what_happened(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut reader = Reader::new(&ctx, client.watch(prefix("/")).await?);
    client.put("/toDelete", "foo").await?;
    client.put("/toDelete", "bar").await?;
    client.delete("/toDelete").await?;
    let lease = client.rpc(pb::LeaseGrantRequest { ttl: 1, id: 0 }).await?.id;
    client.put("/toExpire", "foo").lease(lease).await?;
    let events = reader.take(5).await?;
    let expected =
        ["1 /toDelete=foo", "2 /toDelete=bar", "3 -/toDelete", "4 /toExpire=foo", "5 -/toExpire"];
    assert_eq!(lines(base, &events), expected);
    let kind = |event: &Event| (event.is_create(), event.is_modify(), event.is_delete());
    let kinds: Vec<_> = events.iter().map(kind).collect();
    let [create, modify, delete] =
        [(true, false, false), (false, true, false), (false, false, true)];
    assert_eq!(kinds, [create, modify, delete, create, delete]);
    assert_eq!(i64::from(events[3].kv.lease), lease);
    Ok(())
}

/// WATCH-022, WATCH-061
async fn filters_leave_out_one_kind(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut deletes = Reader::new(&ctx, client.watch("foo").without_puts().await?);
    let mut puts = Reader::new(&ctx, client.watch("foo").without_deletes().await?);
    let mut neither =
        Reader::new(&ctx, client.watch("foo").without_puts().without_deletes().await?);
    client.put("foo", "bar").await?;
    client.delete("foo").await?;
    assert_eq!(lines(base, &deletes.all_to(base + 2).await?), ["2 -foo"]);
    assert_eq!(lines(base, &puts.all_to(base + 2).await?), ["1 foo=bar"]);
    assert_eq!(neither.all_to(base + 2).await?, []);
    Ok(())
}

/// WATCH-062
async fn the_pair_before_comes_along(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let ranges = [("foo", key("foo")), ("/abc", KeyRange::from("/abc".."/abd"))];
    for (name, range) in ranges {
        client.put(name, "v1").await?;
        let mut reader = Reader::new(&ctx, client.watch(range).prev_kv().await?);
        client.put(name, "v2").await?;
        client.delete(name).await?;
        client.put(name, "v3").await?;
        let events = reader.take(3).await?;
        assert_eq!(events[0].kv.value, "v2");
        let before = |event: &Event| event.prev_kv().pair().map(|pair| pair.value.clone());
        let before: Vec<_> = events.iter().map(before).collect();
        assert_eq!(before, [Some("v1".into()), Some("v2".into()), None], "{name}");
        assert_eq!(events[2].prev_kv(), Previous::Absent);
    }
    Ok(())
}

/// WATCH-025: watches of the same events, on streams of their own.
async fn what_one_watch_asks_for_another_does_not_get(ctx: Ctx) -> CaseResult {
    const UPDATES: i64 = 10;
    let (server, client) = ctx.server_and_client().await?;
    let base = client.put("key", "v0").await?.header.revision;
    let mut readers = vec![];
    for n in 0..10 {
        let watch = client.watch("key").own_stream();
        let watch = if n < 5 { watch.prev_kv() } else { watch };
        readers.push(Reader::new(&ctx, watch.await?));
    }
    assert_eq!(server.watch_counts()?.streams, 10);
    for n in 1..=UPDATES {
        client.put("key", format!("v{n}")).await?;
    }
    for (index, reader) in readers.iter_mut().enumerate() {
        let events = reader.all_to(base + UPDATES).await?;
        let expected: Vec<_> = (1..=UPDATES).map(|n| format!("{n} key=v{n}")).collect();
        assert_eq!(lines(base, &events), expected, "watch {index}");
        for (before, event) in (0..).zip(&events) {
            match event.prev_kv() {
                Previous::Pair(pair) if index < 5 => {
                    assert_eq!(pair.value, format!("v{before}"));
                    assert_eq!(pair.mod_revision, base + before);
                }
                Previous::NotRequested if index >= 5 => {}
                other => panic!("watch {index}: {other:?}"),
            }
        }
    }
    Ok(())
}

/// W10: the pair before is read when the event is sent.
async fn a_pair_that_was_compacted_is_not_taken_for_none(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("key", "v1").await?;
    let second = client.put("key", "v2").await?.header.revision;
    client.put("key", "v3").await?;
    client.compact(second).physical().await?;
    let watch = client.watch("key").from_revision(second).prev_kv().await?;
    let events = Reader::new(&ctx, watch).take(2).await?;
    assert_eq!(events[0].prev_kv(), Previous::Unavailable);
    assert_eq!(events[1].prev_kv().pair().ok_or("it is there")?.value, "v2");
    Ok(())
}
