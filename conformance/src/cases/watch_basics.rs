//! One watch: where it begins, what it covers, and what events hold.

use super::watch_expect::{Reader, lines, revision};
use crate::{BoxError, Case, CaseResult, Ctx, case};
use etcd3::{Client, KeyRange, WatchItem, all, key, prefix};

pub(super) const CASES: &[Case] = &[
    case!(a_watch_begins_where_it_was_asked_to, ["WATCH-034", "WATCH-035", "WATCH-043"]),
    case!(what_comes_first_is_the_creation, ["WATCH-023"]),
    case!(an_empty_value_is_no_deletion, ["WATCH-050"]),
    case!(
        a_watch_covers_its_range,
        ["WATCH-036", "WATCH-037", "WATCH-038", "WATCH-039", "WATCH-040"]
    ),
    case!(several_puts_are_several_revisions, ["WATCH-041", "WATCH-042"]),
    case!(
        a_watch_from_a_revision_delivers_what_is_written_then,
        ["WATCH-073", "WATCH-074", "WATCH-075", "WATCH-076"]
    )
    .plain_and_tls(),
    case!(the_examples_do_what_they_say, ["WATCH-092"]),
    case!(a_watch_is_cancelled_by_who_reads_it, ["WATCH-093"]),
];

/// WATCH-034, WATCH-035, WATCH-043, I-W5, W6
async fn a_watch_begins_where_it_was_asked_to(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    assert_eq!(base, 1, "the store is empty");
    let mut readers = vec![];
    for start in [0, 1] {
        let watch = client.watch(prefix("/")).from_revision(start).await?;
        readers.push((start, Reader::new(&ctx, watch)));
    }

    // In the future: it is created at once, and only then is written what comes before.
    let watch = client.watch("foo").from_revision(10).await?;
    assert!(watch.status().is_live);
    assert_eq!(watch.status().revision, 9);
    let mut future = Reader::new(&ctx, watch);
    for n in 2..=10 {
        assert_eq!(client.put("foo", n.to_string()).await?.header.revision, n);
    }
    let batch = future.batch().await?;
    assert_eq!(lines(0, &batch.events), ["10 foo=10"], "WATCH-043");
    assert_eq!(batch.header.revision, 10);
    assert_eq!(future.all_to(10).await?, []);
    for (start, mut reader) in readers {
        assert_eq!(reader.all_to(10).await?, [], "WATCH-034, WATCH-035: from {start}");
    }
    Ok(())
}

/// WATCH-023
async fn what_comes_first_is_the_creation(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut reader = Reader::new(&ctx, client.watch("a").await?);
    client.put("a", "b").await?;
    let WatchItem::Created(header) = reader.item().await? else { panic!("not the creation") };
    assert!(header.cluster_id != 0 && header.revision >= base, "{header:?}");
    let WatchItem::Events(batch) = reader.item().await? else { panic!("no events") };
    assert_eq!(lines(base, &batch.events), ["1 a=b"]);
    assert_eq!(batch.header.cluster_id, header.cluster_id);
    assert_eq!(batch.resume_token().revision, base + 2);
    Ok(())
}

/// WATCH-050
async fn an_empty_value_is_no_deletion(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let base = revision(&client).await?;
    let mut reader = Reader::new(&ctx, client.watch("foo").await?);
    client.put("foo", "").await?;
    let events = reader.take(1).await?;
    assert!(events[0].is_create() && !events[0].is_delete());
    assert_eq!(lines(base, &events), ["1 foo="]);
    Ok(())
}

/// A watch from now on, what is written then, and what it sees of that.
struct Row {
    id: &'static str,
    range: KeyRange,
    puts: &'static [&'static str],
    sees: &'static [&'static str],
}

/// Writes what rows say beside their watches, and compares; each begins without any key.
async fn check_rows(ctx: &Ctx, client: &Client, rows: Vec<Row>) -> Result<(), BoxError> {
    for Row { id, range, puts, sees } in rows {
        let base = client.delete(all()).await?.header.revision;
        let mut reader = Reader::new(ctx, client.watch(range).await?);
        let WatchItem::Created(header) = reader.item().await? else { panic!("{id}") };
        assert_eq!(header.revision, base, "{id}");
        for put in puts {
            client.put(*put, "bar").await?;
        }
        let last = base + i64::try_from(puts.len())?;
        let events = reader.all_to(last).await?;
        assert_eq!(lines(base, &events), sees, "{id}");
        for (version, event) in (1..).zip(&events) {
            let kv = &event.kv;
            let told = (kv.create_revision, kv.mod_revision, kv.version);
            assert_eq!(told, (base + 1, base + version, version), "{id}");
            assert_eq!((event.is_create(), event.is_modify()), (version == 1, version > 1));
        }
    }
    Ok(())
}

/// WATCH-036, WATCH-037, WATCH-038, WATCH-039, WATCH-040
async fn a_watch_covers_its_range(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let row = |id, range: KeyRange, puts, sees| Row { id, range, puts, sees };
    let everything = KeyRange::from_wire("", [0]);
    let rows = vec![
        row("WATCH-036", key("foo"), &["foo"], &["1 foo=bar"]),
        row("WATCH-037", key("helloworld"), &["foo"], &[]),
        row("WATCH-038", KeyRange::from("foo".."fop"), &["fooLong"], &["1 fooLong=bar"]),
        row("WATCH-039", KeyRange::from("helloworld".."helloworle"), &["foo"], &[]),
        row("WATCH-040", everything, &["fooLong"], &["1 fooLong=bar"]),
    ];
    check_rows(&ctx, &client, rows).await
}

/// WATCH-041, WATCH-042
async fn several_puts_are_several_revisions(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let row = |id, range: KeyRange| Row {
        id,
        range,
        puts: &["foo", "foo", "foo"],
        sees: &["1 foo=bar", "2 foo=bar", "3 foo=bar"],
    };
    let rows = vec![row("WATCH-041", key("foo")), row("WATCH-042", KeyRange::from("foo".."fop"))];
    check_rows(&ctx, &client, rows).await
}

/// Begins a watch at a revision, counted from that of the store, writes keys and compares.
async fn from(
    ctx: &Ctx,
    client: &Client,
    watch: (KeyRange, i64),
    puts: &[(&str, &str)],
    sees: &[&str],
) -> CaseResult {
    let (range, start) = watch;
    let base = revision(client).await?;
    let mut reader = Reader::new(ctx, client.watch(range).from_revision(base + start).await?);
    for (key, value) in puts {
        client.put(*key, *value).await?;
    }
    let last = base + i64::try_from(puts.len())?;
    assert_eq!(lines(base, &reader.all_to(last).await?), sees);
    Ok(())
}

/// WATCH-073, WATCH-074, WATCH-075, WATCH-076; on one server and on a cluster.
async fn a_watch_from_a_revision_delivers_what_is_written_then(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let cluster = ctx.cluster().await?;
    let one = ctx.connect([server.client_url()]).await?;
    let all = ctx.connect(cluster.client_urls()).await?;
    for client in [one, all] {
        let revisions = [("bar", "revision_1"), ("bar", "revision_2"), ("bar", "revision_3")];
        let sees = ["2 bar=revision_2", "3 bar=revision_3"];
        from(&ctx, &client, (key("bar"), 2), &revisions, &sees).await?;
        let sample = (key("sample"), 0);
        from(&ctx, &client, sample, &[("sample", "value")], &["1 sample=value"]).await?;
        let puts = [("foo1", "1"), ("foo2", "2"), ("foo3", "3")];
        let sees = ["1 foo1=1", "2 foo2=2", "3 foo3=3"];
        from(&ctx, &client, (prefix("foo"), 0), &puts, &sees).await?;
        let puts = [("key1", "1"), ("key3", "3"), ("key2", "2")];
        let range = KeyRange::from("key".."key3");
        from(&ctx, &client, (range, 0), &puts, &["1 key1=1", "3 key2=2"]).await?;
    }
    Ok(())
}

/// WATCH-092
async fn the_examples_do_what_they_say(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let mut watch = client.watch("foo").await?;
    client.put("foo", "bar").await?;
    let batch = watch.next().await.ok_or("it goes on")??;
    assert_eq!(batch.events.len(), 1);
    assert!(batch.events[0].is_create() && batch.events[0].kv.value == "bar");
    watch.cancel().await;

    let mut watch = client.watch(prefix("foo")).prev_kv().await?;
    client.put("foo1", "bar").await?;
    let batch = watch.next().await.ok_or("it goes on")??;
    let pairs: Vec<_> = batch.into_iter().map(|event| (event.kv.key, event.kv.value)).collect();
    assert_eq!(pairs, [("foo1".into(), "bar".into())]);
    Ok(())
}

/// WATCH-093: within the loop that reads.
async fn a_watch_is_cancelled_by_who_reads_it(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let mut watch = client.watch("foo1".."foo4").await?;
    let base = revision(&client).await?;
    for key in ["foo1", "foo5", "foo2", "foo3"] {
        client.put(key, "bar").await?;
    }
    let mut seen = vec![];
    while let Some(batch) = watch.next().await {
        seen.extend(batch?);
        if seen.len() == 3 {
            client.delete(prefix("foo")).await?;
            watch.handle().cancel().await;
        }
    }
    assert_eq!(lines(base, &seen), ["1 foo1=bar", "3 foo2=bar", "4 foo3=bar"]);
    Ok(())
}
