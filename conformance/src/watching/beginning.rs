//! Idle watches "from now on" that are cut right after they were created, while others write.
//!
//! The revision that a server tells with the creation is of no use then: it may be one that the
//! watch is yet to deliver, or one from before.

// H1, H2, I-W5

use super::LIMIT;
use crate::{BoxError, Ctx};
use etcd3::{Client, Config, Error, WatchItem};
use etcd3_lab::Bridge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

const WRITERS: usize = 8;
/// How many events of each watch are looked at.
const EVENTS: usize = 20;
/// Every so many watches, one is on the stream that the watches of a client share.
const SHARED: usize = 5;

/// What became of watches that were cut at their beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Watches.
    pub watches: usize,
    /// Those of them that had delivered nothing when they were cut.
    pub resumed: usize,
    /// Events that did not come.
    pub lost: i64,
    /// Events from before the watch was begun.
    pub old: i64,
    /// Events that came twice.
    pub repeated: i64,
}

impl Cuts {
    /// Returns what is wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let is_well = (self.lost, self.old, self.repeated) == (0, 0, 0);
        let is_shown = self.resumed * 4 > self.watches;
        let mut problems = vec![];
        if !is_well {
            problems.push(format!("cuts at the beginning do harm: {self:?}"));
        }
        if !is_shown {
            problems.push(format!("too few watches were cut at their beginning: {self:?}"));
        }
        problems
    }
}

/// Writers of one key, so that every revision is an event.
struct Writers {
    /// The highest revision that a writer was told.
    written: Arc<AtomicI64>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<crate::JoinHandle<Result<(), Error>>>,
}

impl Writers {
    fn start(ctx: &Ctx, client: &Client) -> Self {
        let (written, is_over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
        let tasks = (0..WRITERS)
            .map(|_| {
                let client = client.clone();
                let (written, is_over) = (Arc::clone(&written), Arc::clone(&is_over));
                ctx.spawn(async move {
                    while !is_over.load(Ordering::SeqCst) {
                        let put = client.put("k", "v").await?;
                        written.fetch_max(put.header.revision, Ordering::SeqCst);
                    }
                    Ok(())
                })
            })
            .collect();
        Self { written, is_over, tasks }
    }

    async fn stop(self) -> Result<(), Error> {
        self.is_over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}

/// Begins so many watches, one after the other, and cuts each at once.
///
/// # Errors
///
/// When a server fails, or a watch does.
pub async fn cut_at_the_beginning(ctx: &Ctx, watches: usize) -> Result<Cuts, BoxError> {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let config = Config::new([bridge.url()]).reconnect_backoff_min(Duration::from_millis(5));
    let client = ctx.connect_with(config).await?;
    let direct = ctx.connect([server.client_url()]).await?;
    direct.put("k", "old").await?;
    let writers = Writers::start(ctx, &direct);
    let mut cuts = Cuts { watches, ..Cuts::default() };
    for n in 0..watches {
        let before = writers.written.load(Ordering::SeqCst);
        let watch = client.watch("k").timeout(LIMIT);
        // A stream that was opened often is opened every two seconds; the others have their own.
        let watch = if n % SHARED == SHARED - 1 { watch } else { watch.own_stream() };
        let mut watch = watch.await?;
        if n % 4 < 2 {
            bridge.reset_all();
        } else {
            bridge.drop_all();
        }
        let after = direct.get("k").await?.header.revision;
        let looking = look(&mut watch, before, after, &mut cuts);
        ctx.within(LIMIT, looking).await.ok_or("a watch does not go on")??;
    }
    writers.stop().await?;
    Ok(cuts)
}

/// Takes the first events of a watch that began between two revisions; each revision is one.
async fn look(
    watch: &mut etcd3::Watch,
    before: i64,
    after: i64,
    cuts: &mut Cuts,
) -> Result<(), BoxError> {
    let (mut start, mut taken) = (None, 0);
    while taken < EVENTS {
        match watch.next_item().await.ok_or("it has ended")?? {
            WatchItem::Resumed(at) if start.is_none() => {
                cuts.resumed += 1;
                start = Some(at);
                cuts.old += (before + 1 - at).max(0);
                cuts.lost += (at - after - 1).max(0);
            }
            WatchItem::Events(batch) => {
                for event in batch {
                    let revision = event.revision();
                    let expected = *start.get_or_insert_with(|| {
                        // It was not cut before that: it must lie between the two.
                        cuts.old += (before + 1 - revision).max(0);
                        cuts.lost += (revision - after - 1).max(0);
                        revision
                    });
                    cuts.lost += (revision - expected).max(0);
                    cuts.repeated += (expected - revision).max(0);
                    start = Some(revision + 1);
                    taken += 1;
                }
            }
            _ => {}
        }
    }
    Ok(())
}
