//! What is known of the stream that is open.

use super::asking::Asking;
#[cfg(feature = "laws")]
use super::digest::Digest;
use super::events::{Settings, WatcherKey};
use super::parts::Parts;
use crate::Instant;
use crate::attempt::Sent;
use crate::stream::Inbound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
#[cfg(feature = "laws")]
use std::hash::Hasher;
use std::time::Duration;

/// How many creations may wait for their answers, once it is known that the server takes ids that
/// are chosen for it. Before that, and where it does not, one.
// W4, W70
const MAX_CREATING: usize = 256;
/// How many cancelled ids are remembered, of those that the server chose.
const MAX_CANCELED: usize = 10_000;
/// How many watchers that nobody created may be cancelled before the server counts as broken.
// W44, X2
const MAX_STRANGERS: u32 = 1_000;
/// The most doublings of the time for an answer, each after a stream that was given up for want of
/// one.
// I-W11
const MAX_DOUBLINGS: u32 = 3;
/// The shortest time of silence after which a server is asked whether it is there.
const MIN_PROBE_INTERVAL: Duration = Duration::from_millis(100);
/// Without events, the positions are moved once in so many intervals.
// W11
const PROGRESS_INTERVALS: u32 = 4;

/// A creation that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Creating {
    /// The id that was chosen.
    pub(super) id: i64,
    /// Whose it is; nobody's if that was cancelled meanwhile, or is a probe.
    pub(super) key: Option<WatcherKey>,
    /// Whether the cancellation was sent.
    pub(super) is_canceled: bool,
    /// How many requests for progress were sent before it.
    pub(super) asked: u64,
    /// Whether it is to begin with what comes next, and not at a revision.
    pub(super) is_from_now: bool,
}

impl Creating {
    pub(super) const fn new(id: i64, key: Option<WatcherKey>, is_from_now: bool) -> Self {
        Self { id, key, is_canceled: false, asked: 0, is_from_now }
    }
}

/// A watcher that the server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Live {
    pub(super) key: WatcherKey,
    /// How many requests for progress were sent before its creation.
    pub(super) asked: u64,
    /// The revision of the store when it was created.
    pub(super) revision: i64,
}

/// What the server is asked, when it is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Due {
    /// For progress.
    Progress,
    /// To create a watcher, which every server answers.
    Probe,
    /// Nothing more: it does not answer.
    Lost,
}

/// The stream that is open.
#[derive(Debug, Clone)]
pub(super) struct Open {
    pub(super) inbound: Inbound,
    pub(super) sent: Sent,
    /// When the last message came.
    pub(super) heard: Instant,
    /// Since when the oldest creation waits for its answer.
    unanswered_since: Option<Instant>,
    /// When the silent server was asked for progress.
    probed: Option<Instant>,
    pub(super) asking: Asking,
    /// The watchers that the server has, by their ids there.
    pub(super) ids: BTreeMap<i64, Live>,
    pub(super) parts: Parts,
    pub(super) creating: VecDeque<Creating>,
    /// Whether the server takes the ids that are chosen for it, once that is known. etcd's proxy
    /// does not, and may answer creations out of order.
    pub(super) takes_ids: Option<bool>,
    /// The ids of watchers that were cancelled, where the server chose them or nobody did.
    canceled: BTreeSet<i64>,
    /// How many watchers that nobody created were cancelled.
    strangers: u32,
    /// When a watcher was last created.
    pub(super) accepted: Option<Instant>,
    /// Whether a message came that was more than the answer to a creation.
    pub(super) is_useful: bool,
}

impl Open {
    pub(super) fn new(now: Instant, sent: Sent, max_message_bytes: usize) -> Self {
        Self {
            inbound: Inbound::new(max_message_bytes),
            sent,
            heard: now,
            unanswered_since: None,
            probed: None,
            asking: Asking::new(now),
            ids: BTreeMap::new(),
            parts: Parts::default(),
            creating: VecDeque::new(),
            takes_ids: None,
            canceled: BTreeSet::new(),
            strangers: 0,
            accepted: None,
            is_useful: false,
        }
    }

    /// Notes that a message came.
    pub(super) fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.probed = None;
    }

    /// Returns whether another creation may be sent.
    pub(super) fn may_create(&self) -> bool {
        let most = if self.takes_ids == Some(true) { MAX_CREATING } else { 1 };
        self.creating.len() < most
    }

    /// Notes that a creation was sent.
    pub(super) fn created(&mut self, now: Instant, creating: Creating) {
        self.unanswered_since.get_or_insert(now);
        let asked = self.asking.sent();
        self.creating.push_back(Creating { asked, ..creating });
    }

    /// Takes out the creation that is answered: the one with this id, or the oldest.
    pub(super) fn answered(&mut self, now: Instant, id: Option<i64>) -> Option<Creating> {
        let place = match id {
            Some(id) if self.takes_ids == Some(true) => {
                self.creating.iter().position(|it| it.id == id)?
            }
            _ => 0,
        };
        let creating = self.creating.remove(place)?;
        self.unanswered_since = (!self.creating.is_empty()).then_some(now);
        Some(creating)
    }

    /// Returns whether the creation under this id, chosen here, waits for its answer.
    pub(super) fn is_creating(&self, id: i64) -> bool {
        self.takes_ids != Some(false) && self.creating.iter().any(|it| it.id == id)
    }

    /// Binds an id to its watcher.
    pub(super) fn bind(&mut self, id: i64, live: Live) {
        self.canceled.remove(&id);
        self.ids.insert(id, live);
    }

    /// Forgets a watcher that the server has no more, or is to have no more.
    pub(super) fn unbind(&mut self, id: i64) -> Option<WatcherKey> {
        self.parts.forget(id);
        self.ids.remove(&id).map(|live| live.key)
    }

    /// Notes that the cancellation of a watcher is sent.
    pub(super) fn cancel(&mut self, id: i64) {
        // What is chosen here is never chosen again, and needs no memory.
        if self.takes_ids == Some(true) {
            return;
        }
        self.canceled.insert(id);
        if self.canceled.len() > MAX_CANCELED {
            self.canceled.pop_first();
        }
    }

    /// Judges a watcher that nobody has: returns whether it is to be cancelled, or `None` when
    /// there are too many of them. `last_id` is the last one that was chosen here.
    // W44, W82, I7
    pub(super) fn cancel_stranger(&mut self, id: i64, last_id: i64) -> Option<bool> {
        let is_old = self.takes_ids == Some(true) && (1..=last_id).contains(&id);
        if is_old || !self.canceled.insert(id) {
            return Some(false);
        }
        self.strangers += 1;
        (self.strangers <= MAX_STRANGERS).then_some(true)
    }

    /// Forgets an id whose cancellation is confirmed.
    pub(super) fn confirm_cancel(&mut self, id: i64) {
        self.canceled.remove(&id);
    }

    /// Returns what is to be asked, and when. `is_awaited` says whether somebody waits for
    /// progress.
    pub(super) fn due(
        &self,
        settings: &Settings,
        unanswered: u32,
        is_awaited: bool,
    ) -> Option<(Instant, Due)> {
        let patience = settings.answer_timeout.saturating_mul(1 << unanswered.min(MAX_DOUBLINGS));
        let lost = self.unanswered_since.map(|since| (since + patience, Due::Lost));
        if self.ids.is_empty() {
            return lost;
        }
        let interval = settings.probe_interval.max(MIN_PROBE_INTERVAL);
        let refresh = interval.saturating_mul(PROGRESS_INTERVALS);
        let progress = self.asking.due(is_awaited, refresh).map(|at| (at, Due::Progress));
        let silence = match self.probed {
            None => (self.heard + interval, Due::Progress),
            Some(probed) => (probed + settings.answer_timeout, Due::Probe),
        };
        // A probe is under way, or a creation will tell.
        let silence = Some(silence).filter(|_| self.unanswered_since.is_none());
        [lost, progress, silence].into_iter().flatten().min_by_key(|due| due.0)
    }

    /// Notes that the server is asked for progress since that was due.
    pub(super) fn on_due(&mut self, now: Instant, settings: &Settings) {
        self.asking.ask(now);
        if self.heard + settings.probe_interval.max(MIN_PROBE_INTERVAL) <= now {
            self.probed.get_or_insert(now);
        }
    }
}

#[cfg(feature = "laws")]
impl Open {
    /// Feeds what is not public in this module to a digest.
    pub(super) fn digest_times(&self, digest: &mut Digest<'_, impl Hasher>) {
        for at in [Some(self.heard), self.unanswered_since, self.probed] {
            digest.at(at);
        }
        for id in &self.canceled {
            digest.id(*id);
        }
        digest.put((self.canceled.len(), self.strangers));
    }
}
