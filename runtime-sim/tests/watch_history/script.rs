//! Records in one line, over a small history.
//!
//! ```text
//! revision  2    3    4    5         6               7    8         9
//!           a=1  b=1  a=2  delete a  a=3, b=2, c=1   c=2  delete b  d=1
//! ```
//!
//! A word is a batch, `p4` is progress, `r` a resumption. A batch joins revisions by `+`; of the
//! three events of revision 6, `6/ca` are two.

use crate::store::{Store, batch, event};
use etcd3_sim::etcd3::Bytes;
use etcd3_sim::history::watch::{Asked, Batch, Delivery, End, Event, Log, Record, Start};

pub(crate) fn small() -> Log {
    compacted(&[])
}

pub(crate) fn compacted(at: &[i64]) -> Log {
    let mut store = Store::default();
    let revisions: [&[(&'static str, Option<&'static str>)]; 8] = [
        &[("a", Some("1"))],
        &[("b", Some("1"))],
        &[("a", Some("2"))],
        &[("a", None)],
        &[("a", Some("3")), ("b", Some("2")), ("c", Some("1"))],
        &[("c", Some("2"))],
        &[("b", None)],
        &[("d", Some("1"))],
    ];
    for writes in revisions {
        let owned = |(key, value): &(&'static str, Option<&'static str>)| {
            (Bytes::from(*key), value.map(Bytes::from))
        };
        store.commit(&writes.iter().map(owned).collect::<Vec<_>>());
    }
    Log::new(store.changes, at.iter().copied()).unwrap()
}

/// A watch of all keys with previous pairs and progress.
pub(crate) fn all(start: i64) -> Asked {
    Asked { prev_kv: true, progress_notify: true, ..plain(start) }
}

/// A watch of all keys without options.
pub(crate) fn plain(start: i64) -> Asked {
    Asked::new(&b"\0"[..], &b"\0"[..], Start::At(start))
}

/// A watch of `a`, without options.
pub(crate) fn only_a(start: i64) -> Asked {
    Asked::new("a", "", Start::At(start))
}

pub(crate) fn now(after: i64, by: i64) -> Asked {
    Asked { start: Start::Now { after, by }, ..all(0) }
}

/// Returns the record of an open watch. Only what is named in the script is delivered, whether or
/// not it was asked for.
pub(crate) fn play(asked: Asked, script: &str) -> Record {
    let log = small();
    let deliver = |word: &str| match word.as_bytes()[0] {
        b'p' => Delivery::Progress(word[1..].parse().unwrap()),
        b'r' => Delivery::Resumed,
        _ => {
            let parts = word.split('+');
            Delivery::Batch(batch(parts.flat_map(|part| events(&log, &asked, part)).collect()))
        }
    };
    let deliveries = script.split_whitespace().map(deliver).collect();
    Record { name: script.to_owned(), asked, deliveries, end: End::Open }
}

fn events(log: &Log, asked: &Asked, part: &str) -> Vec<Event> {
    let (revision, keys) = part.split_once('/').unwrap_or((part, ""));
    let revision: i64 = revision.parse().unwrap();
    let group = log.first_at(revision)..log.first_at(revision + 1);
    let place = |key: u8| group.clone().find(|at| log.changes()[*at].kv.key[..] == [key]);
    let places: Vec<usize> = match keys {
        "" => group.clone().collect(),
        keys => keys.bytes().filter_map(place).collect(),
    };
    places.into_iter().map(|at| event(log, asked, at)).collect()
}

impl Edit for Record {
    fn batch(&mut self, at: usize) -> &mut Batch {
        match &mut self.deliveries[at] {
            Delivery::Batch(batch) => batch,
            other => panic!("{other:?} is no batch"),
        }
    }

    fn ends(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn but(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }
}

/// Edits of a record.
pub(crate) trait Edit: Sized {
    fn batch(&mut self, at: usize) -> &mut Batch;
    fn ends(self, end: End) -> Self;
    fn but(self, edit: impl FnOnce(&mut Self)) -> Self;

    fn first(&mut self, at: usize) -> &mut Event {
        &mut self.batch(at).events[0]
    }
}
