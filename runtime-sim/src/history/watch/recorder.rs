//! Records of watches of the client.

use super::record::{Asked, Batch, Delivery, End, Event, Kind, Prev, Record};
use etcd3::{Error, ErrorKind, EventKind, Previous, WatchBatch, WatchItem};

/// Takes what a [`Watch`](etcd3::Watch) of the client delivers, item by item, and makes a
/// [`Record`] of it.
///
/// ```
/// use etcd3_sim::history::watch::*;
/// use etcd3_sim::{ClusterConfig, Personality, run};
/// use etcd3::{Config, prefix};
///
/// let (checked, _) = run(1, |world| async move {
///     let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), 1));
///     let client = world.host().client(Config::new(etcd.endpoints()))?;
///     let mut watch = client.watch(prefix("k/")).from_revision(1).await?;
///     let mut recorder = Recorder::new("k/", Asked::new("k/", "k0", Start::At(1)));
///     let through = client.put("k/a", "1").await?.header.revision;
///     while recorder.position() < through {
///         recorder.take(watch.next_item().await.as_ref());
///     }
///     let demands = Demands { through, known: &[] };
///     let log = etcd.log().expect("changes of one store");
///     Ok::<_, etcd3::Error>(recorder.finish().map(|record| check(&log, &record, &demands)))
/// })?;
/// assert!(checked?.expect("one item follows the other").is_clean());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    record: Record,
    is_created: bool,
    is_over: bool,
    /// What came that cannot be a part of a record.
    flaw: Option<String>,
}

impl Recorder {
    /// Begins a record of a watch that was just begun.
    #[must_use]
    pub fn new(name: impl Into<String>, asked: Asked) -> Self {
        let record = Record { name: name.into(), asked, deliveries: Vec::new(), end: End::Open };
        Self { record, is_created: false, is_over: false, flaw: None }
    }

    /// Returns what was asked of the watch.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.record.asked
    }

    /// Notes that progress is asked for from now on.
    pub fn request_progress(&mut self) {
        self.record.asked.progress_notify = true;
    }

    /// Returns the revision of the last event or progress; 0 before the first.
    #[must_use]
    pub fn position(&self) -> i64 {
        let position = self.record.deliveries.iter().rev().find_map(|delivery| match delivery {
            Delivery::Batch(batch) => batch.events.last().map(|event| event.kv.mod_revision),
            Delivery::Progress(revision) => Some(*revision),
            Delivery::Resumed => None,
        });
        position.unwrap_or_default()
    }

    /// Returns from where a watch goes on after this one; `None` before the first event.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        self.record.deliveries.iter().rev().find_map(|delivery| match delivery {
            Delivery::Batch(batch) => batch.next,
            Delivery::Progress(_) | Delivery::Resumed => None,
        })
    }

    /// Takes the next item of the watch, or its end.
    pub fn take(&mut self, item: Option<&Result<WatchItem, Error>>) {
        if self.is_over && item.is_some() {
            self.note(format!("{item:?} came after the end"));
        }
        match item {
            None => self.is_over = true,
            Some(Err(error)) => self.fail(error),
            Some(Ok(WatchItem::Created(_))) => {
                if std::mem::replace(&mut self.is_created, true) {
                    self.note("it was created twice".to_owned());
                }
            }
            Some(Ok(item)) if !self.is_created => {
                self.note(format!("{item:?} came before it was created"));
            }
            Some(Ok(WatchItem::Events(batch))) => self.batch(batch),
            Some(Ok(WatchItem::Progress(revision))) => {
                if !self.record.asked.progress_notify {
                    self.note(format!("nobody asked for the progress at {revision}"));
                }
                self.record.deliveries.push(Delivery::Progress(*revision));
            }
            Some(Ok(WatchItem::Resumed(_))) => self.record.deliveries.push(Delivery::Resumed),
            Some(Ok(item)) => self.note(format!("{item:?} is of no known kind")),
        }
    }

    /// Takes events of a watch whose other news are not told.
    pub fn batch(&mut self, batch: &WatchBatch) {
        let events = batch.events.iter().map(|event| self.event(event)).collect();
        let next = Some(batch.resume_token().revision);
        let header = batch.header.revision;
        self.record.deliveries.push(Delivery::Batch(Batch { header, events, next }));
    }

    /// Takes the reason why the watch ended.
    pub fn fail(&mut self, error: &Error) {
        self.is_over = true;
        self.record.end = match error.kind() {
            ErrorKind::WatchCompacted { requested, compacted } => {
                End::Compacted { requested, compacted }
            }
            _ => End::Failed,
        };
    }

    /// Notes that the user cancelled the watch.
    pub fn cancel(&mut self) {
        self.record.end = End::Cancelled;
    }

    /// Ends the record.
    ///
    /// # Errors
    ///
    /// When items came that cannot follow each other, in words.
    pub fn finish(self) -> Result<Record, String> {
        match self.flaw {
            None => Ok(self.record),
            Some(flaw) => Err(format!("{}: {flaw}", self.record.name)),
        }
    }

    fn event(&mut self, event: &etcd3::Event) -> Event {
        let kind = match event.kind {
            EventKind::Put => Kind::Put,
            EventKind::Delete => Kind::Delete,
        };
        let prev = match event.prev_kv() {
            Previous::NotRequested => Prev::NotAsked,
            Previous::Absent => Prev::Absent,
            Previous::Unavailable => Prev::Unavailable,
            Previous::Pair(pair) => Prev::Pair(pair.clone().into()),
        };
        if event.is_modify() != (kind == Kind::Put && !event.is_create()) {
            self.note(format!("{event:?} is neither a creation nor a change"));
        }
        Event { kind, kv: event.kv.clone().into(), is_create: event.is_create(), prev }
    }

    fn note(&mut self, flaw: String) {
        self.flaw.get_or_insert(flaw);
    }
}
