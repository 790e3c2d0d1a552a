//! Large responses, in one piece or in parts.

use super::watch_expect::Reader;
use crate::watching::expire_while_cut;
use crate::{BoxError, Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Config, ErrorKind, prefix, put};

pub(super) const CASES: &[Case] = &[
    case!(a_large_response_is_one_batch, ["WATCH-069", "WATCH-071"]),
    case!(a_response_over_the_limit_ends_the_watch, ["WATCH-070"]),
    case!(parts_below_the_limit_are_delivered, ["WATCH-072"]),
    case!(a_revision_is_never_torn, []).real("a bridge"),
];

const MB: usize = 1 << 20;
/// The limit of the server for requests, and of clients for responses.
const SMALL: usize = MB + MB / 2;
const PUTS: usize = 10;

/// A server with ten values of one MiB, and the revision before them.
async fn with_large_values(ctx: &Ctx) -> Result<(Server, Client, i64), BoxError> {
    let limit = SMALL.to_string();
    let server = ctx.server_with(|it| it.flag("--max-request-bytes", &limit)).await?;
    let client = ctx.connect([server.client_url()]).await?;
    let base = super::watch_expect::revision(&client).await?;
    for n in 0..PUTS {
        client.put(format!("foo{n}"), vec![b'x'; MB]).await?;
    }
    Ok((server, client, base))
}

/// WATCH-069, WATCH-071
async fn a_large_response_is_one_batch(ctx: Ctx) -> CaseResult {
    let (_server, client, base) = with_large_values(&ctx).await?;
    for is_allowed in [false, true] {
        let watch = client.watch(prefix("foo")).from_revision(base).fragment(is_allowed).await?;
        let batch = Reader::new(&ctx, watch).batch().await?;
        assert_eq!(batch.events.len(), PUTS, "{is_allowed}");
        assert!(batch.events.iter().all(|event| event.kv.value.len() == MB));
    }
    Ok(())
}

/// WATCH-070, I-W17
async fn a_response_over_the_limit_ends_the_watch(ctx: Ctx) -> CaseResult {
    let (server, direct, base) = with_large_values(&ctx).await?;
    let config = Config::new([server.client_url()]).max_response_bytes(SMALL);
    let client = ctx.connect_with(config).await?;
    let mut other = Reader::new(&ctx, client.watch("other").await?);
    let watch = client.watch(prefix("foo")).from_revision(base).fragment(false).await?;
    let error = Reader::new(&ctx, watch).end().await?;
    let ErrorKind::ResponseOverLimit { len, limit } = error.kind() else { panic!("{error}") };
    assert!(len > PUTS * MB && limit == SMALL, "{error}");
    assert!(error.is_too_large());
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(source.contains(&format!("revision {base}")), "{source}");
    // Nobody else is harmed.
    direct.put("other", "").await?;
    other.take(1).await?;
    assert_eq!(server.watch_counts()?.watchers, 1);
    Ok(())
}

/// WATCH-072, W26, I-W3
async fn parts_below_the_limit_are_delivered(ctx: Ctx) -> CaseResult {
    let (server, direct, base) = with_large_values(&ctx).await?;
    let config = Config::new([server.client_url()]).max_response_bytes(SMALL);
    let client = ctx.connect_with(config).await?;
    let watch = client.watch(prefix("foo")).from_revision(base).await?;
    let mut reader = Reader::new(&ctx, watch);
    let events = reader.take(PUTS).await?;
    assert!(events.iter().all(|event| event.kv.value.len() == MB));

    // One revision that is more than the limit cannot be had.
    for n in 0..2 {
        direct.put(format!("bar{n}"), vec![b'x'; MB]).await?;
    }
    let both = [0, 1].map(|n| put(format!("bar{n}"), "small"));
    let at = direct.txn().then(both).await?.header.revision;
    let watch = client.watch(prefix("bar")).from_revision(at).prev_kv().await?;
    let error = Reader::new(&ctx, watch).end().await?;
    assert!(matches!(error.kind(), ErrorKind::ResponseOverLimit { .. }), "{error}");
    Ok(())
}

/// I-W3, W26, W63: the short form; the long one is `src/bin/watches.rs`.
async fn a_revision_is_never_torn(ctx: Ctx) -> CaseResult {
    let expiries = expire_while_cut(&ctx, 6).await?;
    assert_eq!(expiries.problems(), Vec::<String>::new(), "{expiries:?}");
    Ok(())
}
