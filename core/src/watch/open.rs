//! What is known of the stream that is open.

use super::events::{Settings, WatcherKey};
use crate::Instant;
use crate::attempt::Sent;
use crate::stream::Inbound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How many creations may wait for their answers, once it is known that the server takes ids that
/// are chosen for it. Before that, and where it does not, one.
// W4, W70
const MAX_CREATING: usize = 256;
/// How many ids of the server's own may be cancelled without an answer before it counts as broken.
const MAX_CANCELED: usize = 10_000;
/// A request for progress that is answered out of order is repeated after this time.
// W24
const REPEAT_PROGRESS: Duration = Duration::from_millis(100);
/// Without events, the positions are moved once in so many intervals.
// W11
const PROGRESS_INTERVALS: u32 = 4;

/// A creation that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Creating {
    /// The id that was chosen.
    pub(super) id: i64,
    /// Whose it is; nobody's if that was cancelled meanwhile, or is a probe.
    pub(super) key: Option<WatcherKey>,
    /// Whether the cancellation was sent.
    pub(super) is_canceled: bool,
    /// Whether it is to begin with what comes next, and not at a revision.
    pub(super) is_from_now: bool,
}

impl Creating {
    pub(super) const fn new(id: i64, key: Option<WatcherKey>, is_from_now: bool) -> Self {
        Self { id, key, is_canceled: false, is_from_now }
    }
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
    opened: Instant,
    /// When the last message came.
    pub(super) heard: Instant,
    /// Since when the oldest creation waits for its answer.
    asked: Option<Instant>,
    /// When the silent server was asked for progress.
    probed: Option<Instant>,
    /// When it was last asked for progress, whatever for.
    progress_asked: Instant,
    /// The watchers that the server has, by their ids there.
    pub(super) ids: BTreeMap<i64, WatcherKey>,
    pub(super) creating: VecDeque<Creating>,
    /// Whether the server takes the ids that are chosen for it, once that is known. etcd's proxy
    /// does not, and may answer creations out of order.
    pub(super) takes_ids: Option<bool>,
    /// The ids whose cancellation was sent and not confirmed.
    canceled: BTreeSet<i64>,
    /// Whether the server answers requests for progress in their order.
    pub(super) is_ordered: bool,
    /// The revision of an answer that may have overtaken events, and when to ask again.
    pub(super) unconfirmed: Option<(i64, Instant)>,
    /// Whether a message came that was more than the answer to a creation.
    pub(super) is_useful: bool,
}

impl Open {
    pub(super) fn new(now: Instant, sent: Sent, max_message_bytes: usize) -> Self {
        Self {
            inbound: Inbound::new(max_message_bytes),
            sent,
            opened: now,
            heard: now,
            asked: None,
            probed: None,
            progress_asked: now,
            ids: BTreeMap::new(),
            creating: VecDeque::new(),
            takes_ids: None,
            canceled: BTreeSet::new(),
            is_ordered: false,
            unconfirmed: None,
            is_useful: false,
        }
    }

    /// Returns how long it has been open.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.opened)
    }

    /// Notes that a message came.
    pub(super) const fn hear(&mut self, now: Instant) {
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
        self.asked.get_or_insert(now);
        self.creating.push_back(creating);
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
        self.asked = (!self.creating.is_empty()).then_some(now);
        Some(creating)
    }

    /// Notes that a cancellation is sent for this id. Returns false when it was sent before, and
    /// `None` when too many are not answered.
    pub(super) fn cancel(&mut self, id: i64) -> Option<bool> {
        let is_new = self.canceled.insert(id);
        (self.canceled.len() <= MAX_CANCELED).then_some(is_new)
    }

    /// Takes out an id whose cancellation is confirmed; returns whether it was sent.
    pub(super) fn confirm_cancel(&mut self, id: i64) -> bool {
        self.canceled.remove(&id)
    }

    /// Returns whether this id was cancelled, and that was not confirmed yet.
    pub(super) fn is_canceled(&self, id: i64) -> bool {
        self.canceled.contains(&id)
    }

    /// Notes that the server is asked for progress.
    pub(super) const fn ask_progress(&mut self, now: Instant) {
        self.progress_asked = now;
    }

    /// Takes the revision that an answer to a request for progress names; returns the one up to
    /// which all events have come, if that can be said.
    // I-W7, W24
    pub(super) fn take_progress(&mut self, now: Instant, revision: i64) -> Option<i64> {
        if self.is_ordered {
            return Some(revision);
        }
        match self.unconfirmed {
            // What this one may have overtaken is newer than the one before, or the same.
            Some((before, again)) if again <= now => {
                self.unconfirmed = Some((revision, now + REPEAT_PROGRESS));
                Some(before.min(revision))
            }
            Some(_) => None,
            None => {
                self.unconfirmed = Some((revision, now + REPEAT_PROGRESS));
                None
            }
        }
    }

    /// Returns what is to be asked, and when. `is_watching` says whether there are watchers that
    /// the server has, `is_awaited` whether somebody waits for progress.
    pub(super) fn due(
        &self,
        settings: &Settings,
        unanswered: u32,
        is_watching: bool,
        is_awaited: bool,
    ) -> Option<(Instant, Due)> {
        let doubled = 1u32.checked_shl(unanswered).unwrap_or(u32::MAX);
        let patience = settings.answer_timeout.saturating_mul(doubled);
        let lost = self.asked.map(|asked| (asked + patience, Due::Lost));
        if !is_watching {
            return lost;
        }
        let again = self.unconfirmed.filter(|_| is_awaited);
        let again =
            again.map(|(_, at)| (at.max(self.progress_asked + REPEAT_PROGRESS), Due::Progress));
        let silence = match self.probed {
            None => Some((self.heard + settings.probe_interval, Due::Progress)),
            Some(probed) => Some((probed + settings.answer_timeout, Due::Probe)),
        };
        // A probe is under way, or a creation will tell.
        let silence = silence.filter(|_| self.asked.is_none());
        let refresh = settings.probe_interval.saturating_mul(PROGRESS_INTERVALS);
        let refresh = (self.is_ordered || is_awaited)
            .then_some((self.progress_asked + refresh, Due::Progress));
        [lost, again, silence, refresh].into_iter().flatten().min_by_key(|due| due.0)
    }

    /// Notes that something was due.
    pub(super) fn on_due(&mut self, now: Instant, settings: &Settings) {
        self.progress_asked = now;
        if self.heard + settings.probe_interval <= now {
            self.probed.get_or_insert(now);
        }
    }
}
