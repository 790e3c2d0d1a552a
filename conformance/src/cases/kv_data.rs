//! Keys with a history, and what a read of them must answer.

use etcd3::proto::mvccpb;
use etcd3::{Client, Error, Get, KeyValue};

/// What is written, in this order: the first put makes revision `start + 1`.
const PUTS: [(&str, &str); 8] = [
    ("a", "aa1"),
    ("b", "a"),
    ("c", "ac1"),
    ("c", "ac2"),
    ("c", "aac"),
    ("foo", "bar"),
    ("foo/abc", "0"),
    ("fop", "s"),
];

/// The puts that are not overwritten, in the order of their keys.
pub(super) const LATEST: &[usize] = &[1, 2, 5, 6, 7, 8];

/// The keys, on a server.
#[derive(Debug)]
pub(super) struct Data {
    /// The revision before the first put.
    pub(super) start: i64,
}

impl Data {
    /// Writes the keys.
    pub(super) async fn write(client: &Client) -> Result<Self, Error> {
        let start = client.get("a").await?.header.revision;
        for ((key, value), revision) in PUTS.into_iter().zip(start + 1..) {
            let put = client.put(key, value).await?;
            assert_eq!(put.header.revision, revision);
        }
        Ok(Self { start })
    }

    /// Returns the revision after the last put.
    pub(super) fn end(&self) -> i64 {
        self.start + 8
    }

    /// Returns the pair that the nth put wrote, counted from 1.
    fn kv(&self, nth: usize) -> KeyValue {
        let (key, value) = PUTS[nth - 1];
        let revisions: Vec<i64> = PUTS[..nth]
            .iter()
            .zip(self.start + 1..)
            .filter(|((other, _), _)| *other == key)
            .map(|(_, revision)| revision)
            .collect();
        let pair = mvccpb::KeyValue {
            key: key.into(),
            create_revision: revisions[0],
            mod_revision: revisions[revisions.len() - 1],
            version: i64::try_from(revisions.len()).unwrap(),
            value: value.into(),
            lease: 0,
        };
        pair.into()
    }

    /// Asserts that these reads answer as they should, in all that an answer holds.
    pub(super) async fn check_reads(&self, client: &Client, reads: Vec<Read>) -> Result<(), Error> {
        for Read { row, get, finds, count, more, keys_only } in reads {
            let answer = client.execute(get).await?;
            let mut kvs: Vec<_> = finds.iter().map(|nth| self.kv(*nth)).collect();
            for kv in kvs.iter_mut().filter(|_| keys_only) {
                kv.value.clear();
            }
            assert_eq!(answer.kvs, kvs, "{row}");
            assert_eq!((answer.count, answer.more), (count, more), "{row}");
            assert_eq!(answer.header.revision, self.end(), "{row}");
        }
        Ok(())
    }
}

/// A read, and what it must find.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// The row that asks for it.
    pub(super) row: &'static str,
    get: Get,
    /// By the number of the put.
    finds: &'static [usize],
    count: u64,
    more: bool,
    keys_only: bool,
}

impl Read {
    /// A read that finds these puts, in this order, and counts no others.
    pub(super) fn new(row: &'static str, get: Get, finds: &'static [usize]) -> Self {
        let count = u64::try_from(finds.len()).unwrap();
        Self { row, get, finds, count, more: false, keys_only: false }
    }

    /// Counts so many keys, though it does not find all of them.
    pub(super) fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    /// Expects that there is more, beyond its limit.
    pub(super) fn more(mut self) -> Self {
        self.more = true;
        self
    }

    /// Finds the same without the values.
    pub(super) fn keys_only(mut self) -> Self {
        self.get = self.get.keys_only();
        self.keys_only = true;
        self
    }
}
