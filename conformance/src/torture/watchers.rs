//! Those who watch while things go wrong, with all options.

use super::board::{Board, CALLS, PREFIX, PREFIX_END, choose, millis};
use super::sums;
use etcd3::{Client, Error, KeyRange, Watch};
use etcd3_core::rng::Rng;
use etcd3_lab::load::Limit;
use etcd3_sim::history::watch::{Asked, Recorder, Start};
use futures_lite::FutureExt;
use std::time::{Duration, Instant};

/// The time in which somebody who watches looks up from what they do.
pub(super) const TURN: Duration = Duration::from_millis(500);
/// How long after the end of all faults everything may take to be delivered.
pub(super) const CATCH_UP: Duration = Duration::from_secs(60);

/// Somebody who watches one thing after the other.
pub(super) struct Watcher {
    pub(super) board: Board,
    pub(super) client: Client,
    /// Reads how far the store is, by another way than the watches.
    pub(super) head: Client,
    pub(super) number: usize,
    pub(super) rng: Rng,
    /// Whether servers may tell of progress before the events that it covers.
    // W24
    pub(super) is_unordered: bool,
}

/// Returns whether something may go wrong so while the cluster is troubled.
pub(super) fn may_fail(error: &Error) -> bool {
    error.is_retryable() || error.is_compacted()
}

impl Watcher {
    /// Watches until everything was delivered.
    pub(super) async fn run(mut self) {
        let done = match self.number % 16 {
            7 => sums::list(&self.board, &self.client, self.number).await,
            15 => sums::cache(&self.board, &self.client, self.number, self.is_unordered).await,
            _ => self.watch().await,
        };
        match done {
            Ok(()) => self.board.lock().complete.push(Instant::now()),
            Err(problem) => self.board.problem(format!("watcher {}: {problem}", self.number)),
        }
    }

    async fn watch(&mut self) -> Result<(), String> {
        let mut resume = None;
        for turn in 0.. {
            let (range, mut asked) = self.draw_range();
            let begun = self.begin(range, &mut asked, resume.take()).await?;
            let Some(watch) = begun else { continue };
            let recorder = Recorder::new(format!("{}.{turn} {asked:?}", self.number), asked);
            let lasts = (self.rng.below(3) == 0).then(|| millis(&mut self.rng, 15_000));
            let pause_ms = choose(&mut self.rng, &[1, 1, 1, 30, 1_500]);
            let (is_whole, recorder) = self.read(watch, recorder, lasts, pause_ms).await?;
            resume = recorder.next().filter(|_| self.rng.below(2) == 0);
            self.board.keep(recorder);
            if is_whole {
                break;
            }
        }
        Ok(())
    }

    fn draw_range(&mut self) -> (KeyRange, Asked) {
        let key = format!("{PREFIX}{:02}", self.rng.below(20));
        let (from, to) = match self.number % 8 {
            0 => (key.as_str(), ""),
            1 => ("key-2", ""),
            2 => (CALLS, "key."),
            3 => (key.as_str(), PREFIX_END),
            4 => (PREFIX, "\0"),
            5 => ("\0", "\0"),
            _ => (PREFIX, PREFIX_END),
        };
        let (from, to) = (from.as_bytes().to_vec(), to.as_bytes().to_vec());
        (KeyRange::from_wire(from.clone(), to.clone()), Asked::new(from, to, Start::At(1)))
    }

    /// Begins a watch; `None` when that failed in a way that passes.
    async fn begin(
        &mut self,
        range: KeyRange,
        asked: &mut Asked,
        resume: Option<i64>,
    ) -> Result<Option<Watch>, String> {
        let rng = &mut self.rng;
        let before = self.board.acknowledged();
        let mut request = self.client.watch(range);
        let around = |rng: &mut Rng| {
            let offset = i64::try_from(rng.below(200)).unwrap_or_default() - 100;
            (before + offset).max(1)
        };
        let start = resume.or_else(|| (rng.below(3) == 0).then(|| around(rng)));
        if let Some(start) = start {
            request = request.from_revision(start);
        }
        match rng.below(6) {
            0 => {
                asked.no_put = true;
                request = request.without_puts();
            }
            1 => {
                asked.no_delete = true;
                request = request.without_deletes();
            }
            _ => {}
        }
        if rng.below(2) == 0 {
            asked.prev_kv = true;
            request = request.prev_kv();
        }
        if rng.below(3) == 0 {
            asked.progress_notify = true;
            request = request.progress_notify();
        }
        if rng.below(4) == 0 {
            request = request.max_buffered_bytes(usize::try_from(rng.below(20_000)).unwrap_or(0));
        }
        // A watch that begins in the future holds up the progress of others on its stream.
        // W23
        if rng.below(4) == 0 || start.is_some_and(|start| start > before) {
            request = request.own_stream();
        }
        request = request.fragment(rng.below(3) > 0).require_leader(rng.below(4) > 0);
        let begun = request.send().await;
        let by = match (start, &begun) {
            (None, Ok(_)) => self.head().await.map_or(i64::MAX, |head| head + 1),
            _ => i64::MAX,
        };
        asked.start = start.map_or(Start::Now { after: before, by }, Start::At);
        match begun {
            Ok(watch) => Ok(Some(watch)),
            Err(error) if may_fail(&error) => Ok(None),
            Err(error) => Err(format!("does not begin: {}", error.report())),
        }
    }

    async fn head(&self) -> Option<i64> {
        let read = self.head.get("head").timeout(Duration::from_secs(5));
        read.await.ok().map(|found| found.header.revision)
    }

    /// Reads a watch until it is over; says whether everything was delivered that had to be.
    async fn read(
        &mut self,
        mut watch: Watch,
        mut recorder: Recorder,
        lasts: Option<Duration>,
        pause_ms: u64,
    ) -> Result<(bool, Recorder), String> {
        let board = self.board.clone();
        let end = lasts.map(|lasts| Instant::now() + lasts);
        loop {
            if let Some(through) = board.through() {
                self.complete(watch, &mut recorder, through).await?;
                return Ok((true, recorder));
            }
            if end.is_some_and(|end| end <= Instant::now()) {
                recorder.cancel();
                watch.handle().cancel().await;
                return match watch.next_item().await {
                    None => Ok((false, recorder)),
                    Some(item) => Err(format!("{item:?} came after it was cancelled")),
                };
            }
            let Some(item) = board.within(TURN, watch.next_item()).await else { continue };
            recorder.take(item.as_ref());
            match item {
                Some(Ok(_)) => {}
                Some(Err(error)) if error.is_compacted() => {
                    recorder.take(watch.next_item().await.as_ref());
                    return Ok((false, recorder));
                }
                Some(Err(error)) => return Err(format!("ended: {}", error.report())),
                None => return Err("ended without a reason".to_owned()),
            }
            if pause_ms > 1 {
                board.pause(millis(&mut self.rng, pause_ms)).await;
            }
        }
    }

    /// Reads everything up to a revision, which the server must say to have sent.
    async fn complete(
        &self,
        mut watch: Watch,
        recorder: &mut Recorder,
        through: i64,
    ) -> Result<(), String> {
        let board = &self.board;
        recorder.request_progress();
        let limit = Limit::new(CATCH_UP);
        let handle = watch.handle();
        let hung = async {
            while !limit.left().is_zero() {
                // Whatever comes of it, the items tell.
                let _ = board.within(TURN * 4, handle.request_progress()).await;
                board.pause(TURN).await;
            }
            let position = handle.status();
            Err(format!("does not catch up: through {through}, {position:?}"))
        };
        let reading = async {
            let mut rest: Option<Instant> = None;
            loop {
                if recorder.position() >= through {
                    // Where progress is told too early, events come after it.
                    let more = if self.is_unordered { TURN * 6 } else { Duration::ZERO };
                    let until = *rest.get_or_insert_with(|| Instant::now() + more);
                    if until <= Instant::now() {
                        return Ok(());
                    }
                }
                let Some(item) = board.within(TURN, watch.next_item()).await else { continue };
                recorder.take(item.as_ref());
                match item {
                    Some(Ok(_)) => {}
                    Some(Err(error)) if error.is_compacted() => return Ok(()),
                    Some(Err(error)) => return Err(format!("ended: {}", error.report())),
                    None => return Err("ended without a reason".to_owned()),
                }
            }
        };
        reading.or(hung).await
    }
}
