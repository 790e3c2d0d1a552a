//! Ranges page by page: what a RangeStream does, for servers that have none (K21, K24).

use crate::{Case, CaseResult, Ctx, case};
use etcd3::{Client, Config, Error, ErrorKind, GetResponse, Outcome, Pages, ServerError, prefix};
use futures_lite::StreamExt;

pub(super) const CASES: &[Case] = &[
    case!(pages_hold_each_key_once_at_one_revision, ["KV-139"]).plain_and_tls(),
    case!(many_keys_come_in_several_pages, ["KV-115"]),
    case!(pages_are_read_at_a_revision_that_there_is, []),
    case!(pages_end_at_their_limit, []),
    case!(a_range_is_read_key_by_key, []),
    case!(pages_adapt_to_what_the_keys_hold, []),
    case!(large_values_come_in_several_pages, ["KV-122"]).real("a restart with other flags"),
];

/// KV-139, K21, K24, I-D2: where there is no RangeStream, a stream of pages does what it does.
async fn pages_hold_each_key_once_at_one_revision(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..3 {
        client.put(format!("key_{n}"), "v").await?;
    }
    let whole = client.get(prefix("key")).await?;
    for page_size in [1, 2, 3, 100] {
        let mut pages = client.pages(prefix("key")).page_size(page_size);
        let mut kvs = Vec::new();
        let mut more = true;
        while let Some(page) = pages.next().await {
            let page = page?;
            assert!(more, "a page after the one without more");
            assert_eq!(page.count, whole.count - u64::try_from(kvs.len())?);
            more = page.more;
            kvs.extend(page.kvs);
            // Neither seen nor counted: the revision is that of the first page.
            client.put("key_9", "later").await?;
        }
        assert!(!more, "the last page says that there are no more");
        assert_eq!((kvs, whole.count), (whole.kvs.clone(), 3));
        client.delete("key_9").await?;
    }
    Ok(())
}

/// K18: whether a range has more than was asked for is told with the last page, on any way to it.
async fn pages_end_at_their_limit(ctx: Ctx) -> CaseResult {
    const KEYS: u64 = 400;
    let (_server, client) = ctx.server_and_client().await?;
    for first in (0..KEYS).step_by(100) {
        let puts = (first..first + 100).map(|n| etcd3::put(format!("k{n:03}"), "v"));
        client.txn().then(puts).await?;
    }
    let ways: [fn(Pages) -> Pages; 4] =
        [|it| it, Pages::separate, |it| it.page_size(7), Pages::serializable];
    for way in ways {
        for limit in [1, 7, 128, 129, KEYS - 1, KEYS, KEYS + 1, 0] {
            let pages = all_of(way(client.pages(prefix("k")).limit(limit))).await?;
            let expected = if limit == 0 { KEYS } else { limit.min(KEYS) };
            let keys: Vec<_> = pages.iter().flat_map(|page| &page.kvs).collect();
            assert_eq!(keys.len() as u64, expected, "{limit}");
            assert!(keys.is_sorted_by(|a, b| a.key < b.key), "{limit}");
            let last = pages.last().ok_or("no page")?;
            assert_eq!(last.more, expected < KEYS, "{limit}");
        }
    }
    Ok(())
}

/// I-D2: the same keys, without the pages.
async fn a_range_is_read_key_by_key(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..25 {
        client.put(format!("k{n:02}"), format!("v{n}")).await?;
    }
    let whole = client.get(prefix("k")).await?;
    let mut pairs = client.pages(prefix("k")).page_size(4).key_values();
    let mut found = Vec::new();
    while let Some(pair) = pairs.next().await {
        found.push(pair?);
    }
    assert_eq!(found, whole.kvs);
    assert!(pairs.next().await.is_none(), "the end stays the end");
    let mut failing = client.pages(prefix("k")).revision(99).key_values();
    let error = failing.next().await.ok_or("no failure")?.unwrap_err();
    assert_eq!(error.server_error(), Some(ServerError::FutureRev));
    assert!(failing.next().await.is_none());
    Ok(())
}

async fn all_of(pages: Pages) -> Result<Vec<GetResponse>, Error> {
    pages.try_collect().await
}

/// Asserts what every stream of a range promises: `more` until the last piece, and the whole count
/// at the first.
fn is_whole(pages: &[GetResponse], count: u64) {
    assert_eq!(pages[0].count, count);
    let more: Vec<_> = pages.iter().map(|page| page.more).collect();
    let (last, before) = more.split_last().unwrap();
    assert!(!last && before.iter().all(|more| *more), "{more:?}");
}

/// KV-115, K24
async fn many_keys_come_in_several_pages(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    for n in 0..25 {
        client.put(format!("k{n:02}"), "v").await?;
    }
    let pages = all_of(client.pages(prefix("k")).page_size(10)).await?;
    assert!(pages.len() >= 2);
    is_whole(&pages, 25);
    let keys: Vec<_> = pages.iter().flat_map(|page| &page.kvs).map(|kv| kv.key.clone()).collect();
    let expected: Vec<_> = (0..25).map(|n| format!("k{n:02}")).collect();
    assert_eq!(keys, expected);
    Ok(())
}

/// K21, I-D2: pages grow while keys are small; one of larger keys that no response may hold is read
/// again as several, so that what is in memory stays bounded.
async fn pages_adapt_to_what_the_keys_hold(ctx: Ctx) -> CaseResult {
    const SMALL: usize = 400;
    const LARGE: usize = 40;
    const MOST: usize = 512 << 10;
    let (server, client) = ctx.server_and_client().await?;
    for n in 0..SMALL + LARGE {
        let value = if n < SMALL { vec![0; 10] } else { vec![1; 100 << 10] };
        client.put(format!("k{n:03}"), value).await?;
    }
    let config = Config::new([server.client_url()]).max_response_bytes(MOST);
    let narrow: Client = ctx.connect_with(config).await?;
    let pages = all_of(narrow.pages(prefix("k"))).await?;
    is_whole(&pages, u64::try_from(SMALL + LARGE)?);
    let keys: Vec<_> = pages.iter().flat_map(|page| &page.kvs).map(|kv| kv.key.clone()).collect();
    let expected: Vec<_> = (0..SMALL + LARGE).map(|n| format!("k{n:03}")).collect();
    assert_eq!(keys, expected);
    let bytes = |page: &GetResponse| page.kvs.iter().map(|kv| kv.value.len()).sum::<usize>();
    assert!(pages.iter().all(|page| bytes(page) <= MOST));
    assert!(pages[0].kvs.len() < SMALL && pages.len() < SMALL / 4, "{} pages", pages.len());
    // Without a limit of its own each page may be larger than the one before.
    let pages = all_of(client.pages(prefix("k")).separate()).await?;
    assert_eq!(pages.len(), 2);
    Ok(())
}

/// K16, K21: a negative revision is refused by its name, not taken for the current one.
async fn pages_are_read_at_a_revision_that_there_is(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    let mut head = 0;
    for n in 0..25 {
        head = client.put(format!("k{n:02}"), "v").await?.header.revision;
    }
    for revision in [-1, i64::MIN] {
        let mut pages = client.pages(prefix("k")).page_size(10).revision(revision);
        let error = pages.next().await.ok_or("no page and no error")?.unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (ErrorKind::InvalidRequest, Outcome::NotSent));
        assert_eq!(error.attempts(), 0, "{error}");
        assert!(pages.next().await.is_none());
    }
    let pages = all_of(client.pages(prefix("k")).page_size(10).revision(head - 5)).await?;
    assert_eq!((pages.len(), pages[0].count), (2, 20));
    Ok(())
}

/// A value of 4 MiB that tells which one it is.
fn large(n: u8) -> Vec<u8> {
    vec![n; 4 << 20]
}

/// KV-122, K24: what was written with a large limit is read after the server got a small one.
async fn large_values_come_in_several_pages(ctx: Ctx) -> CaseResult {
    const MIB: usize = 1 << 20;
    let server = ctx
        .server_with(|server| server.flag("--max-request-bytes", &(8 * MIB).to_string()))
        .await?;
    let config = Config::new([server.client_url()]).max_request_bytes(8 * MIB);
    let client: Client = ctx.connect_with(config).await?;
    for n in 0..20u8 {
        client.put(format!("k{n:02}"), large(n)).await?;
    }
    let small = (3 * MIB / 2).to_string();
    let _server = ctx
        .blocking(move || {
            server.terminate()?;
            server.restart_with(&[("--max-request-bytes", &small)])?;
            Ok::<_, etcd3_lab::Error>(server)
        })
        .await?;
    let pages = all_of(client.pages(prefix("k")).page_size(5)).await?;
    assert!(pages.len() >= 2);
    is_whole(&pages, 20);
    for (n, kv) in (0u8..).zip(pages.iter().flat_map(|page| &page.kvs)) {
        assert_eq!(kv.key, format!("k{n:02}"));
        assert!(kv.value == large(n), "the bytes of {n}");
    }
    Ok(())
}
