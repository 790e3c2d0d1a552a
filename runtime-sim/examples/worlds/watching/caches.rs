//! Caches, those who subscribe to them, and the states that they show.

use super::{CATCH_UP, PREFIX, PREFIX_END, State, TURN, Watching, may_fail, millis, range};
use etcd3::{Cache, CacheChanges, CacheItem, Client, prefix};
use etcd3_core::rng::Rng;
use etcd3_sim::history::watch::{Asked, Recorder, Start};
use std::time::Duration;

/// Somebody who has a cache and reads its changes.
pub(super) struct Cacher {
    pub(super) all: Watching,
    pub(super) client: Client,
    pub(super) name: String,
    pub(super) rng: Rng,
}

impl Cacher {
    pub(super) async fn run(mut self) -> Result<(), String> {
        loop {
            let history = usize::try_from(500 + self.rng.below(8_000)).unwrap_or_default();
            let cache = match self.client.cache(prefix(PREFIX)).max_history_bytes(history).await {
                Ok(cache) => cache,
                Err(error) if may_fail(&error) => continue,
                Err(error) => return Err(format!("{}: no cache: {}", self.name, error.report())),
            };
            let lasts = (self.rng.below(2) == 0).then(|| millis(&mut self.rng, 15_000));
            let followed = self.follow(&cache, lasts).await;
            if followed.map_err(|problem| format!("{}: {problem}", self.name))? {
                return Ok(());
            }
        }
    }

    /// Reads the changes of a cache until it is left; says whether everything came.
    async fn follow(&mut self, cache: &Cache, lasts: Option<Duration>) -> Result<bool, String> {
        let all = self.all.clone();
        let end = lasts.map(|lasts| all.world.now() + lasts);
        let mut subscription = self.subscribe(cache)?;
        loop {
            if let Some(through) = all.through() {
                return self.complete(cache, subscription, through).await.map(|()| true);
            }
            if end.is_some_and(|end| end <= all.world.now()) {
                subscription.recorder.cancel();
                all.keep(subscription.recorder)?;
                return Ok(false);
            }
            if self.rng.below(4) == 0 && !all.is_progress_unordered() {
                self.note(cache)?;
            }
            let Some(item) = all.within(TURN, subscription.changes.next()).await else { continue };
            match item {
                Some(Err(error)) if error.is_compacted() => {
                    subscription.recorder.cancel();
                    all.keep(subscription.recorder)?;
                    subscription = self.subscribe(cache)?;
                }
                Some(Ok(item)) => subscription = subscription.take(&all, item)?,
                Some(Err(error)) => return Err(format!("ended: {}", error.report())),
                None => return Err("ended without a reason".to_owned()),
            }
            if self.rng.below(6) == 0 {
                all.world.sleep(millis(&mut self.rng, 3_000)).await;
            }
        }
    }

    fn subscribe(&mut self, cache: &Cache) -> Result<Subscription, String> {
        let start = cache.revision() + 1;
        let (some, asked) = match self.rng.below(2) {
            0 => range("w/03", "w/07"),
            _ => range(PREFIX, PREFIX_END),
        };
        let changes = cache.changes_from(some, start).map_err(|e| e.report().to_string())?;
        Ok(Subscription::new(&self.name, changes, Asked { start: Start::At(start), ..asked }))
    }

    /// Notes what the cache shows. Where progress is told too early, its revision says too much.
    // W24
    fn note(&self, cache: &Cache) -> Result<(), String> {
        let pairs = cache.range(prefix(PREFIX)).map_err(|error| error.report().to_string())?;
        let state: State = pairs
            .into_iter()
            .map(|pair| (pair.key.to_vec(), (pair.mod_revision, pair.value.to_vec())))
            .collect();
        self.all.note_state(&self.name, cache.revision(), state);
        Ok(())
    }

    async fn complete(
        &self,
        cache: &Cache,
        mut subscription: Subscription,
        through: i64,
    ) -> Result<(), String> {
        let end = self.all.world.now() + CATCH_UP;
        while cache.wait_for(through).await.is_err() {
            if self.all.world.now() >= end {
                return Err(format!("at {}, and not at {through}", cache.revision()));
            }
        }
        if self.all.is_progress_unordered() {
            self.all.world.sleep(CATCH_UP / 4).await;
        }
        self.note(cache)?;
        // What is remembered is there at once.
        while let Some(Some(Ok(item))) =
            self.all.within(TURN / 100, subscription.changes.next()).await
        {
            subscription = subscription.take(&self.all, item)?;
        }
        subscription.recorder.cancel();
        self.all.keep(subscription.recorder)
    }
}

/// The changes of a cache, and the record of them since the last resync.
struct Subscription {
    name: String,
    changes: CacheChanges,
    recorder: Recorder,
}

impl Subscription {
    fn new(name: &str, changes: CacheChanges, asked: Asked) -> Self {
        let recorder = Recorder::new(format!("{name} {asked:?}"), asked);
        Self { name: name.to_owned(), changes, recorder }
    }

    fn take(mut self, all: &Watching, item: CacheItem) -> Result<Self, String> {
        match item {
            CacheItem::Events(batch) => {
                self.recorder.batch(&batch);
                Ok(self)
            }
            CacheItem::Differences(revision, _) => {
                all.found().resyncs += 1;
                let asked = self.recorder.asked().clone();
                self.recorder.cancel();
                all.keep(self.recorder)?;
                let asked = Asked { start: Start::At(revision + 1), ..asked };
                Ok(Self::new(&self.name, self.changes, asked))
            }
            _ => Err(format!("{item:?} is of no known kind")),
        }
    }
}
