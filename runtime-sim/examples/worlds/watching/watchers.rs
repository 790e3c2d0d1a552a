//! Watches with all options, read fast or slowly, cancelled at random moments and gone on with.

use super::{
    CATCH_UP, KEYS, PREFIX, PREFIX_END, TURN, Watching, choose, draw, may_fail, millis, range,
};
use etcd3::runtime::Instant;
use etcd3::{Client, Error, KeyRange, Watch, WatchItem};
use etcd3_core::rng::Rng;
use etcd3_sim::Host;
use etcd3_sim::history::watch::{Asked, Recorder, Start};
use std::time::Duration;

/// Somebody who watches one thing after the other.
pub(super) struct Watcher {
    pub(super) all: Watching,
    pub(super) host: Host,
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) rng: Rng,
}

/// How a watch is read, and for how long.
struct Manner {
    /// The longest pause between two items.
    pause_ms: u64,
    /// When it is cancelled; `None` to keep it to the end.
    lasts: Option<Duration>,
}

impl Watcher {
    pub(super) async fn run(mut self) -> Result<(), String> {
        let mut number = 0;
        let mut resume = None;
        loop {
            number += 1;
            let (range, mut asked) = self.draw_range();
            let begun = match self.begin(range, &mut asked, resume.take()).await {
                Ok(begun) => begun,
                Err(problem) => return Err(format!("{} does not begin: {problem}", self.name)),
            };
            let Some(watch) = begun else { continue };
            let recorder = Recorder::new(format!("{}.{number} {asked:?}", self.name), asked);
            let manner = Manner {
                pause_ms: choose(&mut self.rng, &[1, 1, 50, 2_000]),
                lasts: (self.rng.below(3) > 0).then(|| millis(&mut self.rng, 12_000)),
            };
            let (is_whole, recorder) = self.read(watch, recorder, &manner).await?;
            resume = recorder.next().filter(|_| self.rng.below(2) == 0);
            self.all.keep(recorder)?;
            if is_whole {
                return Ok(());
            }
        }
    }

    fn draw_range(&mut self) -> (KeyRange, Asked) {
        let rng = &mut self.rng;
        let key = format!("{PREFIX}{:02}", rng.below(KEYS));
        match rng.below(7) {
            0 => range(&key, ""),
            1 => range("key-2", ""),
            2 => range("key-", "key."),
            3 => range(&key, PREFIX_END),
            4 => range(PREFIX, "\0"),
            5 => range("\0", "\0"),
            _ => range(PREFIX, PREFIX_END),
        }
    }

    /// Begins a watch; `None` when that failed in a way that passes.
    async fn begin(
        &mut self,
        range: KeyRange,
        asked: &mut Asked,
        resume: Option<i64>,
    ) -> Result<Option<Watch>, String> {
        let rng = &mut self.rng;
        let before = self.all.etcd.revision();
        let client = match rng.below(8) {
            0 => {
                let endpoint = choose(rng, &self.all.etcd.endpoints());
                self.client.pinned_to(endpoint).map_err(|error| error.report().to_string())?
            }
            _ => self.client.clone(),
        };
        let mut request = client.watch(range);
        let start = match (resume, rng.below(6)) {
            (Some(next), _) => Some(next),
            (None, 0) => Some(before + 1 + i64::try_from(rng.below(3)).unwrap_or_default()),
            (None, 1 | 2) => {
                Some((before - i64::try_from(rng.below(60)).unwrap_or_default()).max(1))
            }
            _ => None,
        };
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
            request = request.max_buffered_bytes(usize::try_from(rng.below(4_000)).unwrap_or(0));
        }
        if rng.below(5) == 0 {
            request = request.own_stream();
        }
        request = request.fragment(rng.below(3) > 0).require_leader(rng.below(4) > 0);
        if rng.below(8) == 0 {
            // Given up while it is being begun.
            let soon = millis(rng, 20);
            let _ = self.all.within(soon, request.send()).await;
            return Ok(None);
        }
        let begun = request.send().await;
        let by = self.all.etcd.revision() + 1;
        asked.start = start.map_or(Start::Now { after: before, by }, Start::At);
        match begun {
            Ok(watch) => Ok(Some(watch)),
            Err(error) if may_fail(&error) => Ok(None),
            Err(error) => Err(error.report().to_string()),
        }
    }

    /// Reads a watch until it is over; says whether everything was delivered that had to be.
    async fn read(
        &mut self,
        mut watch: Watch,
        mut recorder: Recorder,
        manner: &Manner,
    ) -> Result<(bool, Recorder), String> {
        let all = self.all.clone();
        let end = manner.lasts.map(|lasts| all.world.now() + lasts);
        loop {
            if let Some(through) = all.through() {
                self.complete(watch, &mut recorder, through).await?;
                return Ok((true, recorder));
            }
            if end.is_some_and(|end| end <= all.world.now()) {
                recorder.cancel();
                self.cancel(watch).await?;
                return Ok((false, recorder));
            }
            if self.rng.below(40) == 0 {
                recorder.request_progress();
                let _ = all.within(TURN, watch.request_progress()).await;
            }
            let Some(item) = all.within(TURN, watch.next_item()).await else { continue };
            recorder.take(item.as_ref());
            self.draw(item.as_ref());
            if let Some(Err(error)) = item {
                if !error.is_compacted() {
                    return Err(format!("{} ended: {}", self.name, error.report()));
                }
                recorder.take(watch.next_item().await.as_ref());
                return Ok((false, recorder));
            }
            all.world.sleep(millis(&mut self.rng, manner.pause_ms)).await;
        }
    }

    /// Has a batch drawn, if it is one.
    fn draw(&self, item: Option<&Result<WatchItem, Error>>) {
        if let Some(Ok(WatchItem::Events(batch))) = item {
            draw(&self.host, &self.name, batch);
        }
    }

    async fn cancel(&mut self, mut watch: Watch) -> Result<(), String> {
        match self.rng.below(3) {
            0 => drop(watch),
            1 => watch.cancel().await,
            _ => {
                let began = self.all.world.now();
                watch.handle().cancel().await;
                if let Some(item) = watch.next_item().await {
                    return Err(format!("{}: {item:?} came after it was cancelled", self.name));
                }
                let took = self.all.world.now().saturating_since(began);
                // I-W9
                if took > Duration::from_millis(100) {
                    return Err(format!("{}: cancelling took {took:?}", self.name));
                }
            }
        }
        Ok(())
    }

    /// Reads everything up to a revision, which the server must say to have sent.
    async fn complete(
        &self,
        mut watch: Watch,
        recorder: &mut Recorder,
        through: i64,
    ) -> Result<(), String> {
        let all = &self.all;
        recorder.request_progress();
        let end = all.world.now() + CATCH_UP;
        let handle = watch.handle();
        let asking = async {
            while all.world.now() < end {
                // Whatever comes of it, the items tell.
                let _ = handle.request_progress().await;
                all.world.sleep(TURN).await;
            }
        };
        let reading = async {
            // Where progress is told too early, events come after it.
            let more = if all.is_progress_unordered() { CATCH_UP / 4 } else { Duration::ZERO };
            let mut rest = None;
            loop {
                if recorder.position() >= through {
                    rest.get_or_insert(all.world.now() + more);
                }
                let now = all.world.now();
                let left = rest.map_or(CATCH_UP, |rest: Instant| rest.saturating_since(now));
                if left.is_zero() {
                    return Ok(());
                }
                let Some(item) = all.within(left, watch.next_item()).await else { continue };
                recorder.take(item.as_ref());
                self.draw(item.as_ref());
                match item {
                    Some(Ok(_)) => {}
                    Some(Err(error)) if error.is_compacted() => return Ok(()),
                    Some(Err(error)) => {
                        return Err(format!("{} ended: {}", self.name, error.report()));
                    }
                    None => return Err(format!("{} ended without a reason", self.name)),
                }
            }
        };
        let hung = async {
            asking.await;
            Err("does not catch up".to_owned())
        };
        futures_lite::FutureExt::or(reading, hung).await.map_err(|problem| {
            format!("{problem}: {}, through {through}, {:?}", self.name, handle.status())
        })
    }
}
