//! What is done, and what is seen of it.

use crate::SHARED_LEASE;
use crate::draw::Draw;
use crate::place::{Place, revision_of};
use etcd3::proto::etcdserverpb as pb;
use etcd3::{
    Bytes, Client, Compare, Error, ErrorKind, EventKind, Get, GetResponse, KeyRange, KeyValue, Op,
    OpResponse, Watch,
};
use futures_lite::future::poll_once;
use std::time::Duration;

/// One operation.
#[derive(Debug)]
pub(crate) enum Step {
    Op(Op),
    Compare(Vec<Compare>),
    Pages(KeyRange, u64),
    Stream(Get),
    Message(pb::DeleteRangeRequest),
    /// A watch from this revision on, which is dropped after what there is.
    Watch(KeyRange, i64),
    /// A watch that goes on, of which there are a few.
    Begin(KeyRange),
    /// What has come for those.
    Read,
    Grant(i64),
    Revoke(i64),
    Attached(i64),
    Lock(Vec<u8>),
    Elect(Vec<u8>),
    Compact(i64),
}

/// The watches that go on. Each has a stream of its own: others that catch up would have requests
/// for progress wait.
#[derive(Default)]
pub(crate) struct Open(Vec<Watch>);

/// What is seen of an operation.
#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Op(OpResponse),
    Holds(bool),
    Pages(Vec<GetResponse>),
    Events(Vec<Change>),
    /// The keys of a lease, some of which are of others.
    Keys(Vec<Bytes>),
    Names(Vec<Bytes>),
    Nothing,
    Failed(ErrorKind),
}

/// An event: what happened, and the pairs after it and before.
type Change = (EventKind, KeyValue, Option<KeyValue>);

impl Step {
    pub(crate) fn draw(draw: &mut Draw, place: &Place) -> Self {
        match draw.below(100) {
            0..=19 => Self::Op(draw.get(place).into()),
            20..=39 => Self::Op(draw.put(place).into()),
            40..=44 => Self::Op(draw.delete(place).into()),
            45..=64 => Self::Op(draw.txn(place, 2).into()),
            65..=69 => Self::Compare(draw.compares(place)),
            70..=73 => Self::Pages(draw.range(place), draw.below(4)),
            74..=77 => Self::Stream(etcd3::get(draw.range(place)).limit(draw.below(4))),
            78..=79 => {
                let (key, range_end) = draw.range(place).into_parts();
                Self::Message(pb::DeleteRangeRequest { key, range_end, prev_kv: true })
            }
            80..=84 => Self::Watch(watched(draw, place), draw.past()),
            85 => Self::Begin(watched(draw, place)),
            86..=87 => Self::Read,
            88..=90 => Self::Grant(draw.lease()),
            91 => Self::Revoke(draw.lease()),
            92..=94 => Self::Attached(draw.one_of(&[1, 2, SHARED_LEASE, SHARED_LEASE])),
            95..=96 => Self::Lock(place.name(draw.one_of(&[b"l", b"", b"l/m"]))),
            97..=98 => Self::Elect(place.name(draw.one_of(&[b"e", b"", b"e/m"]))),
            _ => {
                let revision = draw.past().max(draw.compacted);
                draw.compacted = revision;
                Self::Compact(revision)
            }
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Op(Op::Get(_)) => "get",
            Self::Op(Op::Put(_)) => "put",
            Self::Op(Op::Delete(_)) => "delete",
            Self::Op(_) => "txn",
            Self::Compare(_) => "compare",
            Self::Pages(..) => "pages",
            Self::Stream(_) => "range stream",
            Self::Message(_) => "message",
            Self::Watch(..) => "watch",
            Self::Begin(_) => "watch that goes on",
            Self::Read => "events",
            Self::Grant(_) => "grant",
            Self::Revoke(_) => "revoke",
            Self::Attached(_) => "keys of a lease",
            Self::Lock(_) => "lock",
            Self::Elect(_) => "election",
            Self::Compact(_) => "compact",
        }
    }

    pub(crate) async fn run(self, client: &Client, open: &mut Open) -> Seen {
        self.seen(client, open).await.unwrap_or_else(|error| Seen::Failed(error.kind()))
    }

    async fn seen(self, client: &Client, open: &mut Open) -> Result<Seen, Error> {
        Ok(match self {
            Self::Op(op) => Seen::Op(client.execute(op).await?),
            Self::Compare(compares) => Seen::Holds(client.compare(compares).await?),
            Self::Pages(range, size) => {
                let pages = client.pages(range);
                let mut pages = if size > 0 { pages.page_size(size) } else { pages };
                let mut all = vec![];
                while let Some(page) = pages.next().await {
                    all.push(page?);
                }
                Seen::Pages(all)
            }
            Self::Stream(get) => {
                let (mut pieces, mut all) = (client.range_stream(get), vec![]);
                while let Some(piece) = pieces.next().await {
                    all.push(piece?);
                }
                Seen::Pages(all)
            }
            Self::Message(message) => {
                let response = client.rpc(message).await?;
                Seen::Op(OpResponse::Delete(response.into()))
            }
            Self::Watch(range, revision) => {
                let begun = client.watch(range).from_revision(revision).prev_kv();
                let mut watch = begun.own_stream().await?;
                Seen::Events(read(&mut watch).await?)
            }
            Self::Begin(range) => {
                if open.0.len() > 3 {
                    open.0.remove(0).cancel().await;
                }
                open.0.push(client.watch(range).prev_kv().own_stream().await?);
                Seen::Nothing
            }
            Self::Read => {
                let mut events = vec![];
                for watch in &mut open.0 {
                    events.extend(read(watch).await?);
                }
                Seen::Events(events)
            }
            Self::Grant(id) => {
                client.grant(Duration::from_secs(1_000_000)).id(id).await?;
                Seen::Nothing
            }
            Self::Revoke(id) => {
                client.revoke(id).await?;
                Seen::Nothing
            }
            Self::Attached(id) => {
                let mut keys = client.time_to_live(id).keys().await?.keys;
                keys.sort();
                Seen::Keys(keys)
            }
            Self::Lock(name) => {
                let held = client.raw().lock(name, SHARED_LEASE).await?.key;
                client.raw().unlock(held.clone()).await?;
                Seen::Names(vec![held])
            }
            Self::Elect(name) => elect(client, name).await?,
            Self::Compact(revision) => {
                client.compact(revision).await?;
                Seen::Nothing
            }
        })
    }
}

/// A range to watch: to servers an empty key is the lowest one there.
fn watched(draw: &mut Draw, place: &Place) -> KeyRange {
    let (key, end) = draw.bounds();
    let key = if key.is_empty() && matches!(place, Place::ByHand(_)) { &[0] } else { key };
    place.range(key, end)
}

/// Takes all events that there are.
async fn read(watch: &mut Watch) -> Result<Vec<Change>, Error> {
    watch.request_progress().await?;
    let mut changes = vec![];
    while let Some(Some(batch)) = poll_once(watch.next()).await {
        for event in &batch? {
            changes.push((event.kind, event.kv.clone(), event.prev_kv().pair().cloned()));
        }
    }
    Ok(changes)
}

async fn elect(client: &Client, name: Vec<u8>) -> Result<Seen, Error> {
    let services = client.raw();
    let elected = services.campaign(name.clone(), SHARED_LEASE, "v").await?.elected;
    services.proclaim(elected.clone(), "w").await?;
    let seen = services.leader(name.clone()).await?.kv.key;
    let observed = services.observe(name).next().await.transpose()?.map(|it| it.kv.key);
    services.resign(elected.clone()).await?;
    let mut names = vec![elected.name, elected.key, seen];
    names.extend(observed);
    Ok(Seen::Names(names))
}

impl Seen {
    /// Takes the prefix off everywhere.
    pub(crate) fn seen_from(mut self, place: &Place) -> Self {
        match &mut self {
            Self::Op(response) => place.op(response),
            Self::Pages(pages) => pages.iter_mut().for_each(|page| place.get(page)),
            Self::Events(events) => {
                for (_, after, before) in events {
                    std::iter::once(after).chain(before).for_each(|pair| place.pair(pair));
                }
            }
            Self::Keys(keys) => place.keys(keys),
            Self::Names(names) => names.iter_mut().for_each(|name| place.name_within(name)),
            Self::Holds(_) | Self::Nothing | Self::Failed(_) => {}
        }
        self
    }

    pub(crate) const fn is_error(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// Returns how many keys are in it.
    pub(crate) fn keys(&self) -> u64 {
        match self {
            Self::Pages(pages) => pages.iter().map(|page| page.kvs.len() as u64).sum(),
            Self::Events(events) => events.len() as u64,
            Self::Keys(keys) | Self::Names(keys) => keys.len() as u64,
            Self::Op(OpResponse::Get(get)) => get.kvs.len() as u64,
            _ => 0,
        }
    }

    pub(crate) fn revision(&self) -> i64 {
        match self {
            Self::Op(OpResponse::Get(get)) => revision_of(&get.header),
            Self::Op(OpResponse::Put(put)) => revision_of(&put.header),
            Self::Op(OpResponse::Delete(delete)) => revision_of(&delete.header),
            Self::Op(OpResponse::Txn(txn)) => revision_of(&txn.header),
            _ => 0,
        }
    }
}
