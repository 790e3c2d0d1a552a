//! Up to which revision everything has been delivered, while there are no events.
//!
//! Servers tell it of a watcher now and then, after what they sent before. When they are asked they
//! tell it of all watchers of the stream at once, and only if none is catching up; those before
//! 3.4.25 and 3.5.8 may tell it before the events that it covers.

// W22–W25, I-W7

use super::{Item, Output, Stream, Watcher, WatcherKey, Watches};
use crate::Instant;
use crate::proto::etcdserverpb::WatchProgressRequest;
use crate::proto::etcdserverpb::watch_request::RequestUnion;

/// Returns whether a server of this version, as it tells it itself, answers requests for progress
/// after the events that the answer covers. What cannot be read counts as old.
#[must_use]
pub fn progress_is_ordered(version: &str) -> bool {
    let number = |part: Option<&str>| part.and_then(|text| text.parse::<u32>().ok());
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = release.split('.');
    let (major, minor, patch) = (number(parts.next()), number(parts.next()), number(parts.next()));
    match (major, minor, patch) {
        (Some(3), Some(4), Some(patch)) => patch >= 25,
        (Some(3), Some(5), Some(patch)) => patch >= 8,
        (Some(major), Some(minor), Some(_)) => (major, minor) > (3, 5),
        _ => false,
    }
}

impl Watches {
    /// Asks for progress of a watcher.
    pub(super) fn request_progress(&mut self, now: Instant, key: WatcherKey) {
        let Some(watcher) = self.watchers.get_mut(&key) else {
            self.ignored += 1;
            return;
        };
        let is_first = !std::mem::replace(&mut watcher.awaits_progress, true);
        let is_live = watcher.is_live();
        self.awaiting += usize::from(is_first);
        if let Stream::Open(open) = &mut self.stream
            && self.awaiting == 1
        {
            open.asking.begin_anew();
        }
        if is_live {
            self.ask_progress(now);
        }
    }

    /// Asks the server for progress, now or soon: what is asked for together is asked once.
    pub(super) fn ask_progress(&mut self, now: Instant) {
        let Stream::Open(open) = &mut self.stream else { return };
        if open.asking.want(now) {
            open.asking.ask(now);
            self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        }
    }

    /// Takes progress that the server tells of one watcher.
    // W76
    pub(super) fn on_own_progress(&mut self, key: WatcherKey, revision: i64) {
        let Some(watcher) = self.watchers.get_mut(&key) else { return };
        if !watcher.may_progress(revision) {
            return;
        }
        watcher.position.progressed(revision);
        watcher.strikes = 0;
        if revision < watcher.told {
            return;
        }
        watcher.told = revision;
        let is_awaited = std::mem::take(&mut watcher.awaits_progress);
        self.awaiting -= usize::from(is_awaited);
        if is_awaited || watcher.options.has_progress_notify() {
            self.outputs.push_back(Output::Deliver(key, Item::Progress(revision)));
        }
    }

    /// Takes progress that the server tells of all watchers of the stream.
    // W77
    pub(super) fn on_common_progress(&mut self, now: Instant, revision: i64) {
        let Stream::Open(open) = &mut self.stream else { return };
        let is_ordered = open.asking.is_ordered;
        let older = open.ids.values().filter(|live| live.revision < revision);
        open.asking.settle(older.map(|live| live.asked).max().unwrap_or(0));
        let Some(answer) = open.asking.take(now, revision) else { return };
        open.is_useful = true;
        self.strikes = 0;
        let revision = answer.revision;
        let (mut keys, mut doubted) = (vec![], None);
        for (_, live) in open.ids.iter().filter(|(id, _)| !open.parts.contains(**id)) {
            let is_behind = |watcher: &Watcher| watcher.position.next() <= revision;
            if !answer.covers(live) && self.watchers.get(&live.key).is_some_and(is_behind) {
                doubted = doubted.max(Some(live.asked));
            } else {
                keys.push(live.key);
            }
        }
        let more = doubted.map_or(0, |asked| open.asking.doubt(now, asked));
        for _ in 0..more {
            self.send(RequestUnion::ProgressRequest(WatchProgressRequest {}));
        }
        for key in keys {
            if is_ordered {
                self.on_own_progress(key, revision);
                continue;
            }
            // Good enough to be told, but not to resume from.
            let Some(watcher) = self.watchers.get_mut(&key) else { continue };
            let is_news = watcher.may_progress(revision) && watcher.told <= revision;
            if watcher.awaits_progress && is_news {
                (watcher.awaits_progress, watcher.told) = (false, revision);
                self.awaiting -= 1;
                self.outputs.push_back(Output::Deliver(key, Item::Progress(revision)));
            }
        }
    }
}
