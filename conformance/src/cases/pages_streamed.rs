//! Pages that come by one call, from a server that has `RangeStream`: the same answers, whatever
//! becomes of the call (K21, K23, K24, I-D2).

use super::kv_expect::COMPACTED;
use super::kv_metrics::calls;
use crate::{Case, CaseResult, Ctx, Member, Server, case};
use etcd3::{Client, Config, Error, GetResponse, KeyValue, Outcome, Pages, prefix};
use etcd3_lab::etcd::Version;
use etcd3_lab::{Bridge, Direction};
use futures_lite::StreamExt;
use std::time::Duration;

const SINCE: Version = Version::minor(3, 7);

pub(super) const CASES: &[Case] = &[
    case!(what_is_left_comes_by_one_call, []).real("metrics").plain_and_tls().since(SINCE),
    case!(pages_go_on_where_a_connection_broke, []).real("a bridge"),
    case!(pages_go_on_at_another_member, []),
    case!(a_reader_who_is_slow_holds_the_server_back, []).real("a bridge").since(SINCE),
    case!(a_compaction_ends_pages_under_way, []),
];

const SECOND: Duration = Duration::from_secs(1);
/// Keys with values of a kibibyte: 16 MiB in all.
const KEYS: usize = 16_384;
const VALUE: usize = 1_024;

/// Writes the keys, and returns the revision after that.
async fn fill(client: &Client) -> Result<i64, Error> {
    let mut revision = 0;
    for first in (0..KEYS).step_by(128) {
        let puts =
            (first..first + 128).map(|n| etcd3::put(format!("page/{n:05}"), vec![b'v'; VALUE]));
        revision = client.txn().then(puts).await?.header.revision;
    }
    Ok(revision)
}

/// What pages have brought so far.
#[derive(Default)]
struct Read {
    kvs: Vec<KeyValue>,
    is_whole: bool,
}

impl Read {
    /// Takes a page in; all of them tell how many keys are left.
    fn take(&mut self, page: GetResponse) {
        assert!(!self.is_whole, "a page after the last one");
        assert_eq!(page.count, (KEYS - self.kvs.len()) as u64);
        assert!(page.header.cluster_id != 0 && page.header.revision > 0, "{:?}", page.header);
        self.is_whole = !page.more;
        self.kvs.extend(page.kvs);
    }

    /// Takes so many pages in, as far as there are any.
    async fn next(&mut self, pages: &mut Pages, count: usize) -> CaseResult {
        for _ in 0..count {
            if !self.is_whole {
                self.take(pages.next().await.ok_or("an end before the last page")??);
            }
        }
        Ok(())
    }

    /// Takes all that follow, and asserts that each key came once, as it was at a revision.
    async fn rest(mut self, mut pages: Pages, revision: i64) -> CaseResult {
        while let Some(page) = pages.next().await {
            self.take(page?);
        }
        assert!(self.is_whole && self.kvs.len() == KEYS, "{} keys", self.kvs.len());
        for (n, kv) in self.kvs.iter().enumerate() {
            assert_eq!(kv.key, format!("page/{n:05}"));
            assert!(kv.mod_revision <= revision, "{kv:?}");
        }
        Ok(())
    }
}

/// K24: one page tells the revision, and one call brings the rest; with a size of their own pages
/// are read one by one.
async fn what_is_left_comes_by_one_call(ctx: Ctx) -> CaseResult {
    let (server, client) = ctx.server_and_client().await?;
    let revision = fill(&client).await?;
    let made = |server: &Server| -> Result<[u64; 2], etcd3_lab::Error> {
        let metrics = server.metrics()?;
        Ok(["Range", "RangeStream"].map(|method| calls(&metrics, method)))
    };
    let before = made(&server)?;
    let mut read = Read::default();
    let mut pages = client.pages(prefix("page/"));
    read.next(&mut pages, 1).await?;
    // Neither seen nor counted.
    client.put("page/00000", "later").await?;
    client.put("page/99999", "later").await?;
    read.rest(pages, revision).await?;
    assert_eq!(made(&server)?, [before[0] + 1, before[1] + 1]);
    client.delete("page/99999").await?;
    let keys = client.pages(prefix("page/")).keys_only();
    let keys: Vec<GetResponse> = keys.try_collect().await?;
    assert!(keys.iter().flat_map(|page| &page.kvs).all(|kv| kv.value.is_empty()));
    assert_eq!(keys.iter().map(|page| page.kvs.len()).sum::<usize>(), KEYS);
    let streams = made(&server)?[1];
    let sized = client.pages(prefix("page/")).page_size(1_000);
    Read::default().rest(sized, i64::MAX).await?;
    Read::default().rest(client.pages(prefix("page/")).separate(), i64::MAX).await?;
    assert_eq!(made(&server)?[1], streams);
    Ok(())
}

/// K24: what came is not repeated, and what is left is read at the same revision.
async fn pages_go_on_where_a_connection_broke(ctx: Ctx) -> CaseResult {
    let (server, writer) = ctx.server_and_client().await?;
    let revision = fill(&writer).await?;
    let bridge = Bridge::new(server.addr())?;
    let client = ctx.connect([ctx.url(bridge.addr())]).await?;
    let (mut read, mut pages) = (Read::default(), client.pages(prefix("page/")));
    // A page that is read by itself, if that, and some that come by one call.
    for count in [1, 3, 4] {
        read.next(&mut pages, count).await?;
        writer.put("page/00000", "later").await?;
        if count == 3 { bridge.reset_all() } else { bridge.drop_all() }
    }
    read.rest(pages, revision).await?;
    if ctx.etcd.version >= SINCE {
        let streams = calls(&server.metrics()?, "RangeStream");
        assert!(streams >= 3, "{streams} calls of which all but the last one broke");
    }
    Ok(())
}

/// K24: any other member has the same at that revision.
async fn pages_go_on_at_another_member(ctx: Ctx) -> CaseResult {
    let cluster = ctx.cluster().await?;
    let client = ctx.connect(cluster.client_urls()).await?;
    let revision = fill(&client).await?;
    let (mut read, mut pages) = (Read::default(), client.pages(prefix("page/")));
    read.next(&mut pages, 1).await?;
    client.put("page/00000", "later").await?;
    // One after the other, so that there is always a majority.
    for index in 0..3 {
        read.next(&mut pages, 1).await?;
        let member = cluster.member(index);
        ctx.order(&member, Member::kill).await?;
        read.next(&mut pages, 1).await?;
        ctx.order(&member, Member::restart).await?;
        ctx.until_connected(&client).await?;
    }
    read.rest(pages, revision).await
}

/// I-C6, H5: one page is in memory, and a window of the stream under way; other calls of the same
/// connection are answered; and the time between pages is nobody's.
async fn a_reader_who_is_slow_holds_the_server_back(ctx: Ctx) -> CaseResult {
    const TIMEOUT: Duration = Duration::from_secs(1);
    /// More than the pages that were taken, the window, and what the calls beside them took.
    const MOST: u64 = 4 << 20;
    let (server, writer) = ctx.server_and_client().await?;
    let revision = fill(&writer).await?;
    let bridge = Bridge::new(server.addr())?;
    let config = Config::new([ctx.url(bridge.addr())]).request_timeout(TIMEOUT);
    let client = ctx.connect_with(config).await?;
    let (mut read, mut pages) = (Read::default(), client.pages(prefix("page/")));
    while read.kvs.len() < 256 {
        read.next(&mut pages, 1).await?;
    }
    for n in 0..200 {
        client.put("other", n.to_string()).timeout(30 * SECOND).await?;
        client.get("page/00000").timeout(30 * SECOND).await?;
    }
    ctx.pause(2 * TIMEOUT).await;
    let passed = bridge.passed(Direction::Down);
    assert!(passed < MOST, "{passed} bytes for {} keys", read.kvs.len());
    read.rest(pages, revision).await
}

/// K16: the pinned revision goes away meanwhile, and what was read before that stays read.
async fn a_compaction_ends_pages_under_way(ctx: Ctx) -> CaseResult {
    let (_server, client) = ctx.server_and_client().await?;
    fill(&client).await?;
    let (mut read, mut pages) = (Read::default(), client.pages(prefix("page/")));
    read.next(&mut pages, 1).await?;
    let head = client.put("other", "v").await?.header.revision;
    client.compact(head).physical().await?;
    let error = loop {
        match pages.next().await.ok_or("an end without an error")? {
            Ok(page) => read.take(page),
            Err(error) => break error,
        }
    };
    COMPACTED.is_answered(&error);
    assert_eq!(error.outcome(), Outcome::Rejected);
    assert!(pages.next().await.is_none() && !read.is_whole);
    Ok(())
}
