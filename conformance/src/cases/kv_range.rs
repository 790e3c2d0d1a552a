//! Reads: which keys, at which revision, in which order, and how many of them.

use super::kv_data::{Data, LATEST, Read};
use super::kv_expect::{keys, only};
use crate::{Case, CaseResult, Ctx, case};
use etcd3::proto::mvccpb;
use etcd3::{KeyValue, SortOrder, SortTarget, all, from_key, get, prefix};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(a_put_is_read_back, ["KV-034"]).plain_and_tls(),
    case!(ranges_hold_their_keys, ["KV-035", "KV-036", "KV-039", "KV-040"]),
    case!(counts_prefixes_and_open_ends, ["KV-041", "KV-042", "KV-043", "KV-044"]),
    case!(answers_sort_by_revisions, ["KV-046", "KV-047", "KV-050", "KV-051"]),
    case!(no_target_sorts_as_another_does, ["KV-046", "KV-050", "KV-051", "KV-061", "KV-063"]),
    case!(answers_sort_by_values_and_keys, ["KV-049", "KV-054", "KV-055", "KV-056"]),
    case!(each_revision_is_kept, ["KV-057", "KV-058", "KV-059", "KV-060"]),
    case!(revision_filters_do_not_count, ["KV-061", "KV-062", "KV-063", "KV-064"]),
    case!(keys_only_leaves_just_the_values_out, ["KV-065"]),
    case!(every_member_answers_alike, ["KV-034"]).plain_and_tls(),
    case!(every_kv_tells_its_revisions, ["KV-008"]),
    case!(count_only_outweighs_keys_only, ["KV-016"]),
];

/// KV-034
async fn a_put_is_read_back(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    client.put("foo", "bar").await?;
    let answer = client.get("foo").await?;
    assert_eq!(answer.kvs, [kv("foo", "bar", [2, 2, 1])]);
    assert_eq!((answer.count, answer.more), (1, false));
    Ok(())
}

/// KV-035, KV-036, KV-039, KV-040, K1, K3, K15
async fn ranges_hold_their_keys(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, ranges).await
}

/// KV-041, KV-042, KV-043, KV-044, K2, K16, K17, K18
async fn counts_prefixes_and_open_ends(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, parts).await
}

/// KV-046, KV-047, KV-050, KV-051, K12
async fn answers_sort_by_revisions(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, sorts_by_revision).await
}

/// KV-046, KV-050, KV-051, KV-061, KV-063, K12: with the keys of the rows these orders are that of
/// the keys, or its reverse.
async fn no_target_sorts_as_another_does(ctx: Ctx) -> CaseResult {
    use SortOrder::{Ascend, Descend, None};
    use SortTarget::{Create, Key, Mod, Value, Version};
    let (_server, client) = ctx.server_and_client().await?;
    // Five orders, no two of them alike.
    for (key, value) in
        [("k2", "x"), ("k3", "x"), ("k3", "c"), ("k2", "x"), ("k1", "b"), ("k2", "a")]
    {
        client.put(key, value).await?;
    }
    let table: [(SortTarget, SortOrder, [&str; 3]); 11] = [
        (Key, Ascend, ["k1", "k2", "k3"]),
        (Key, Descend, ["k3", "k2", "k1"]),
        (Create, Ascend, ["k2", "k3", "k1"]),
        (Create, None, ["k2", "k3", "k1"]),
        (Create, Descend, ["k1", "k3", "k2"]),
        (Mod, Ascend, ["k3", "k1", "k2"]),
        (Mod, Descend, ["k2", "k1", "k3"]),
        (Version, Ascend, ["k1", "k3", "k2"]),
        (Version, Descend, ["k2", "k3", "k1"]),
        (Value, Ascend, ["k2", "k1", "k3"]),
        (Value, Descend, ["k3", "k1", "k2"]),
    ];
    for (target, order, expected) in table {
        for filtered in [get(prefix("")), get(prefix("")).min_mod_revision(3)] {
            let answer = client.execute(filtered.sort(target, order)).await?;
            assert_eq!(keys(&answer), expected, "{target:?} {order:?}");
        }
    }
    Ok(())
}

/// KV-049, KV-054, KV-055, KV-056, K12, K19
async fn answers_sort_by_values_and_keys(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, other_sorts).await
}

/// KV-057, KV-058, KV-059, KV-060, K16, K17
async fn each_revision_is_kept(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, history).await
}

/// KV-061, KV-062, KV-063, KV-064, K18
async fn revision_filters_do_not_count(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, filters).await
}

/// KV-065, K20
async fn keys_only_leaves_just_the_values_out(ctx: Ctx) -> CaseResult {
    on_one_server(ctx, without_values).await
}

/// KV-034; and the reads of the other rows, through each member of a cluster.
async fn every_member_answers_alike(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let data = Data::write(&client).await?;
    for member in cluster.members() {
        let one = ctx.connect([member.client_url()]).await?;
        // Serializable reads answer from what has reached the member.
        let end = data.end();
        let limit = Duration::from_secs(10);
        ctx.until_member(&member, "the last put to arrive", limit, |it| it.revision == end).await?;
        data.check_reads(&one, with_values(data.start)).await?;
        data.check_reads(&one, parts(data.start)).await?;
        data.check_reads(&one, without_values(data.start)).await?;
    }
    for url in cluster.client_urls() {
        let written = ctx.connect([url]).await?.put("foo", "bar").await?;
        let answer = client.get("foo").await?;
        let found = only(&answer);
        assert_eq!((&found.key[..], &found.value[..]), (&b"foo"[..], &b"bar"[..]));
        assert_eq!(found.mod_revision, written.header.revision);
    }
    Ok(())
}

/// Writes the keys to a server, and reads them.
async fn on_one_server(ctx: Ctx, reads: fn(i64) -> Vec<Read>) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let data = Data::write(&client).await?;
    data.check_reads(&client, reads(data.start)).await?;
    Ok(())
}

fn ranges(_: i64) -> Vec<Read> {
    vec![
        Read::new("KV-035", get("a"), &[1]),
        Read::new("KV-036", get("a").serializable(), &[1]),
        Read::new("KV-039", get(from_key("")), LATEST),
        Read::new("KV-040", get("a".."x"), LATEST),
    ]
}

/// Not those that only count.
fn parts_with_keys(r: i64) -> Vec<Read> {
    vec![
        Read::new("KV-041", get(prefix("")).revision(r + 3), &[1, 2, 3]),
        Read::new("KV-043", get(prefix("foo")), &[6, 7]),
        Read::new("KV-044", get(from_key("foo")), &[6, 7, 8]),
    ]
}

fn parts(r: i64) -> Vec<Read> {
    let mut reads = parts_with_keys(r);
    reads.push(Read::new("KV-042", get("a").count_only(), &[]).count(1));
    reads
}

fn sorts_by_revision(_: i64) -> Vec<Read> {
    use SortOrder::{Ascend, Descend, None};
    use SortTarget::{Create, Mod, Version};
    let everything = || get(prefix(""));
    vec![
        Read::new("KV-046", everything().sort(Mod, Ascend), LATEST),
        Read::new("KV-047", everything().sort(Version, Ascend), &[1, 2, 6, 7, 8, 5]),
        Read::new("KV-050", everything().sort(Create, None), LATEST),
        Read::new("KV-051", everything().sort(Create, Descend), &[8, 7, 6, 5, 2, 1]),
    ]
}

fn other_sorts(_: i64) -> Vec<Read> {
    use SortOrder::{Ascend, Descend};
    use SortTarget::{Key, Value};
    let everything = || get(prefix(""));
    let last_two = get("b".."z").sort(Key, Descend).limit(2);
    vec![
        Read::new("KV-049", last_two, &[8, 7]).count(5).more(),
        Read::new("KV-054", everything().sort(Value, Ascend), &[7, 2, 1, 5, 6, 8]),
        Read::new("KV-055", everything().sort(Value, Descend), &[8, 6, 5, 1, 2, 7]),
        Read::new("KV-056", everything().sort(SortTarget::default(), Descend), &[8, 7, 6, 5, 2, 1]),
    ]
}

fn history(r: i64) -> Vec<Read> {
    vec![
        Read::new("KV-057", get("c").revision(r + 3), &[3]),
        Read::new("KV-058", get("c").revision(r + 4), &[4]),
        Read::new("KV-059", get("c").revision(r + 5), &[5]),
        Read::new("KV-060", get("c"), &[5]),
    ]
}

fn filters(r: i64) -> Vec<Read> {
    use SortOrder::{Ascend, Descend};
    use SortTarget::{Key, Mod, Value, Version};
    let everything = || get(prefix(""));
    let from_third = everything().min_mod_revision(r + 3).sort(Mod, Ascend);
    let to_fourth = everything().max_mod_revision(r + 4).sort(Key, Descend);
    let created_from_third = everything().min_create_revision(r + 3).sort(Version, Descend);
    let created_to_sixth = everything().max_create_revision(r + 6).sort(Value, Descend);
    vec![
        Read::new("KV-061", from_third, &[5, 6, 7, 8]).count(6),
        Read::new("KV-062", to_fourth, &[2, 1]).count(6),
        Read::new("KV-063", created_from_third, &[5, 6, 7, 8]).count(6),
        Read::new("KV-064", created_to_sixth, &[6, 5, 1, 2]).count(6),
    ]
}

/// Returns all reads that return values.
fn with_values(r: i64) -> Vec<Read> {
    let groups = [ranges, parts_with_keys, sorts_by_revision, other_sorts, history, filters];
    groups.iter().flat_map(|reads| reads(r)).collect()
}

fn without_values(r: i64) -> Vec<Read> {
    with_values(r).into_iter().map(Read::keys_only).collect()
}

/// KV-008, K1
async fn every_kv_tells_its_revisions(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_empty_values(&client).await?;
    let earlier = client.get("a").await?;
    let sorted = client.get(from_key("\0")).sort(SortTarget::Key, SortOrder::Ascend).await?;
    assert_eq!(sorted.header, earlier.header);
    assert_eq!(sorted.header.revision, 9);
    let expected = [
        kv("a", "", [2, 2, 1]),
        kv("b", "", [3, 3, 1]),
        kv("c", "", [4, 6, 3]),
        kv("foo", "", [7, 7, 1]),
        kv("foo/abc", "", [8, 8, 1]),
        kv("fop", "", [9, 9, 1]),
    ];
    assert_eq!(sorted.kvs, expected);
    assert_eq!((sorted.count, sorted.more), (6, false));
    Ok(())
}

/// KV-016, K18
async fn count_only_outweighs_keys_only(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    put_empty_values(&client).await?;
    let plain = client.get(all()).await?;
    let counted = client.get(from_key("")).count_only().keys_only().await?;
    assert_eq!(counted.kvs, []);
    assert_eq!((counted.count, counted.more), (6, false));
    assert_eq!(counted.header, plain.header);
    Ok(())
}

/// The first put makes revision 2.
async fn put_empty_values(client: &etcd3::Client) -> Result<(), etcd3::Error> {
    for key in ["a", "b", "c", "c", "c", "foo", "foo/abc", "fop"] {
        client.put(key, "").await?;
    }
    Ok(())
}

fn kv(key: &str, value: &str, [create_revision, mod_revision, version]: [i64; 3]) -> KeyValue {
    let (key, value) = (key.to_owned().into(), value.to_owned().into());
    mvccpb::KeyValue { key, create_revision, mod_revision, version, value, lease: 0 }.into()
}
