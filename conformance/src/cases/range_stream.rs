//! Ranges whose answers come in pieces: `RangeStream`, which servers have from 3.7 on (K22–K24,
//! V5).

use super::kv_data::Data;
use super::kv_expect::COMPACTED;
use super::kv_metrics::calls;
use crate::{Case, CaseResult, Ctx, case};
use etcd3::StreamEvent;
use etcd3::proto::etcdserverpb as pb;
use etcd3::{
    Client, Code, Config, Error, ErrorKind, Get, GetResponse, Outcome, RangeStream, ResponseHeader,
    SortOrder, SortTarget, Version, all, from_key, get, prefix,
};
use etcd3_core::{frame, method};
use etcd3_lab::etcd;
use futures_lite::StreamExt;
use prost::Message;

const SINCE: etcd::Version = etcd::Version::minor(3, 7);

pub(super) const CASES: &[Case] = &[
    case!(a_stream_answers_what_a_read_does, ["KV-066", "KV-107", "KV-108", "KV-109", "KV-139"])
        .plain_and_tls()
        .since(SINCE),
    case!(limits_and_counts_are_those_of_a_read, ["KV-110", "KV-111"]).since(SINCE),
    case!(counts_are_of_the_whole, ["KV-115", "KV-116", "KV-118", "KV-119"]).since(SINCE),
    case!(what_cannot_be_streamed_is_refused, ["KV-112", "KV-113", "KV-114"]),
    case!(what_servers_make_of_a_sort, []).real("what servers do wrong").since(SINCE),
    case!(a_compacted_revision_ends_the_stream, ["KV-015"]).since(SINCE),
    case!(large_values_are_streamed, ["KV-122"]).real("a restart with other flags").since(SINCE),
    case!(a_server_without_it_says_so, []),
    case!(a_proxy_without_it_says_so, []).real("a process of etcd's grpc-proxy").since(SINCE),
];

async fn pieces(stream: RangeStream) -> Result<Vec<GetResponse>, Error> {
    stream.try_collect().await
}

/// Puts the pieces of a stream together, and asserts that only the last one tells of the whole.
async fn merged(stream: RangeStream) -> Result<GetResponse, Error> {
    let mut pieces = pieces(stream).await?;
    let mut whole = pieces.pop().expect("a last piece");
    for piece in &pieces {
        let rest = (piece.header, piece.count, piece.more);
        assert_eq!(rest, (ResponseHeader::default(), 0, false));
        assert!(!piece.kvs.is_empty());
    }
    let before = pieces.into_iter().flat_map(|piece| piece.kvs);
    whole.kvs = before.chain(whole.kvs).collect();
    Ok(whole)
}

/// Asserts that all these reads bring the same as a stream and in one piece.
async fn are_alike(client: &Client, reads: impl IntoIterator<Item = Get>) -> CaseResult {
    for read in reads {
        let whole = client.execute(read.clone()).await?;
        let streamed = merged(client.range_stream(read.clone())).await?;
        assert_eq!(streamed, whole, "{read:?}");
    }
    Ok(())
}

/// KV-066, KV-107, KV-108, KV-109, KV-139, K22, K23
async fn a_stream_answers_what_a_read_does(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let data = Data::write(&client).await?;
    for n in 0..3 {
        client.put(format!("key_{n}"), "v").await?;
    }
    let key = SortTarget::Key;
    let reads = [
        get("a"),
        get("baz"),
        get("a".."c"),
        get("a".."z"),
        get("f".."a"),
        get("c".."c"),
        get(prefix("")),
        get(prefix("key")),
        get(prefix("foo")),
        get(from_key("b")),
        get(all()),
        get(all()).sort(key, SortOrder::Ascend),
        get(all()).serializable(),
        get(all()).keys_only(),
        get(all()).count_only(),
        get("c").revision(data.start + 3),
        get("c").revision(data.start + 4),
        get(all()).revision(data.start),
        get(all()).revision(data.end()),
    ];
    are_alike(&client, reads).await
}

/// KV-110, KV-111, K18, K19
async fn limits_and_counts_are_those_of_a_read(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for key in ["a", "b", "c"] {
        client.put(key, "v").await?;
    }
    are_alike(&client, (1..5).map(|limit| get("a".."z").limit(limit))).await?;
    let counts = ["a".."z", "b".."c", "x".."z"].map(|range| get(range).count_only());
    are_alike(&client, counts).await?;
    // With a limit `more` says nothing of what is left, in one piece as in a stream.
    let limited = client.range_stream(get("a".."z").limit(1).count_only());
    let limited = merged(limited).await?;
    assert_eq!((limited.count, limited.kvs.len(), limited.more), (3, 0, false));
    Ok(())
}

/// KV-115, KV-116, KV-118, KV-119, K23: the first piece has ten keys.
async fn counts_are_of_the_whole(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..25 {
        client.put(format!("k{n:02}"), "v").await?;
    }
    for (limit, keys, more) in [(0, 25, false), (5, 5, true), (100, 25, false), (10, 10, true)] {
        let read = get(prefix("k")).limit(limit);
        let pieces = pieces(client.range_stream(read.clone())).await?;
        assert_eq!(pieces.len() >= 2, keys > 10, "limit {limit}");
        let whole = merged(client.range_stream(read)).await?;
        assert_eq!((whole.kvs.len(), whole.count, whole.more), (keys, 25, more), "limit {limit}");
    }
    Ok(())
}

/// KV-112, KV-113, KV-114, K22: what servers refuse, and one thing that they do wrong, is not sent.
async fn what_cannot_be_streamed_is_refused(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let read = || get(all());
    for read in [
        read().sort(SortTarget::Key, SortOrder::Descend).limit(1),
        read().sort(SortTarget::Create, SortOrder::Ascend),
        read().sort(SortTarget::Create, SortOrder::None),
        read().min_mod_revision(3),
        read().max_mod_revision(3),
        read().min_create_revision(3),
        read().max_create_revision(10),
        read().revision(-1),
    ] {
        let mut stream = client.range_stream(read.clone());
        let error = stream.next().await.ok_or("an end")?.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{read:?}: {error}");
        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "{error}");
        assert!(stream.next().await.is_none());
    }
    Ok(())
}

/// Sends a request as it is, and returns the pieces until the end of the stream.
async fn raw_pieces(
    client: &Client,
    request: &pb::RangeRequest,
) -> Result<Vec<pb::RangeResponse>, Error> {
    let mut stream = client.raw_stream(&method::RANGE_STREAM);
    let mut pieces = Vec::new();
    while let Some(event) = stream.next().await {
        match event? {
            StreamEvent::Opened => {
                stream.send(frame::encode(request, 1 << 20).expect("a frame"));
                stream.finish();
            }
            StreamEvent::Message(message) => {
                let piece = pb::RangeStreamResponse::decode(message).expect("a piece");
                pieces.push(piece.range_response.unwrap_or_default());
            }
        }
    }
    Ok(pieces)
}

/// K22: why reads with a sort are not sent. Servers refuse an order, in words that are not those of
/// one without the call; a target alone they take, sort each piece by it and go on after the key
/// that is the last one then.
async fn what_servers_make_of_a_sort(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..25 {
        client.put(format!("k{n:02}"), format!("v{:02}", 25 - n)).await?;
    }
    let all = pb::RangeRequest { key: "k".into(), range_end: "l".into(), ..Default::default() };
    let by_value = pb::range_request::SortTarget::Value.into();
    let descending = pb::range_request::SortOrder::Descend.into();
    for (request, what) in [
        (pb::RangeRequest { sort_order: descending, ..all.clone() }, "custom sort orders"),
        (pb::RangeRequest { max_mod_revision: 9, ..all.clone() }, "revision filters"),
    ] {
        let error = raw_pieces(&client, &request).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Status(Code::Unimplemented), "{error}");
        let text = error.status().map(|status| status.message.clone()).unwrap_or_default();
        assert_eq!(text, format!("RangeStream does not support {what}"));
    }
    let sorted = pb::RangeRequest { sort_target: by_value, ..all };
    let pieces = raw_pieces(&client, &sorted).await?;
    let keys: usize = pieces.iter().map(|piece| piece.kvs.len()).sum();
    assert_ne!(keys, 25, "they come right now: the client need not refuse it");
    Ok(())
}

/// KV-015, K16
async fn a_compacted_revision_ends_the_stream(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for _ in 0..5 {
        client.put("foo", "bar").await?;
    }
    client.compact(6).await?;
    COMPACTED.is_answered(&client.get("foo").revision(3).await.unwrap_err());
    let mut stream = client.range_stream(get("foo").revision(3));
    COMPACTED.is_answered(&stream.next().await.ok_or("an end")?.unwrap_err());
    assert!(stream.next().await.is_none());
    Ok(())
}

/// KV-122, C41: a piece of ten keys may be larger than what is taken; pages adapt to that.
async fn large_values_are_streamed(ctx: Ctx) -> CaseResult {
    const MIB: usize = 1 << 20;
    let limit = (8 * MIB).to_string();
    let server = ctx.server_with(|server| server.flag("--max-request-bytes", &limit)).await?;
    let writer = Config::new([server.client_url()]).max_request_bytes(8 * MIB);
    let writer = ctx.connect_with(writer).await?;
    for n in 0..20u8 {
        writer.put(format!("k{n:02}"), vec![n; 4 * MIB]).await?;
    }
    let small = (3 * MIB / 2).to_string();
    let server = ctx
        .blocking(move || {
            server.terminate()?;
            server.restart_with(&[("--max-request-bytes", &small)])?;
            Ok::<_, etcd3_lab::Error>(server)
        })
        .await?;
    let wide = Config::new([server.client_url()]).max_response_bytes(161 * MIB / 2);
    let pieces = pieces(ctx.connect_with(wide).await?.range_stream(get(prefix("k")))).await?;
    assert!(pieces.len() >= 2);
    let narrow = Config::new([server.client_url()]).max_response_bytes(6 * MIB);
    let narrow = ctx.connect_with(narrow).await?;
    let error = narrow.range_stream(get(prefix("k"))).next().await.ok_or("an end")?.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::ResponseOverLimit { .. }), "{error}");
    let pages: Vec<GetResponse> = narrow.pages(prefix("k")).try_collect().await?;
    for answer in [pieces, pages] {
        let kvs: Vec<_> = answer.iter().flat_map(|piece| &piece.kvs).collect();
        assert_eq!(kvs.len(), 20);
        for (n, kv) in (0u8..).zip(kvs) {
            assert_eq!(kv.key, format!("k{n:02}"));
            assert!(kv.value == vec![n; 4 * MIB], "the bytes of {n}");
        }
    }
    Ok(())
}

/// Asserts that an error says what is lacking where.
fn is_unsupported(error: &Error, has: etcd::Version) {
    let version = |part: u32| u16::try_from(part).expect("a version");
    let has = Version::new(version(has.major), version(has.minor));
    let kind = ErrorKind::Unsupported { needs: Version::new(3, 7), has: Some(has) };
    assert_eq!((error.kind(), error.code()), (kind, Code::Unimplemented), "{error}");
}

/// K22, K24, V5: a typed error names both versions; pages do without.
async fn a_server_without_it_says_so(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..300 {
        client.put(format!("k{n:03}"), "v").await?;
    }
    let streamed = pieces(client.range_stream(get(prefix("k")))).await;
    if ctx.etcd.version < SINCE {
        let error = streamed.unwrap_err();
        is_unsupported(&error, ctx.etcd.version);
        assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
        // It is known now, as long as the connection lasts.
        let error = pieces(client.range_stream(get("k000"))).await.unwrap_err();
        is_unsupported(&error, ctx.etcd.version);
        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0), "{error}");
    } else {
        assert_eq!(streamed?.iter().map(|piece| piece.kvs.len()).sum::<usize>(), 300);
    }
    let pages: Vec<GetResponse> = client.pages(prefix("k")).try_collect().await?;
    assert_eq!(pages.iter().map(|page| page.kvs.len()).sum::<usize>(), 300);
    Ok(())
}

/// K22: a proxy of the same version has no streams; pages go by calls.
async fn a_proxy_without_it_says_so(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let proxy = ctx.grpc_proxy([server.client_url()]).await?;
    let client = ctx.connect([proxy.url()]).await?;
    for n in 0..300 {
        client.put(format!("k{n:03}"), "v").await?;
    }
    is_unsupported(&pieces(client.range_stream(get("k000"))).await.unwrap_err(), ctx.etcd.version);
    let pages: Vec<GetResponse> = client.pages(prefix("k")).try_collect().await?;
    assert_eq!(pages.iter().map(|page| page.kvs.len()).sum::<usize>(), 300);
    assert_eq!(calls(&server.metrics()?, "RangeStream"), 0);
    Ok(())
}
