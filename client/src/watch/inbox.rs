//! What was delivered to one watch and not taken yet.

use atomic_waker::AtomicWaker;
use etcd3_core::ResponseHeader;
use etcd3_core::error::Error;
use etcd3_core::watch::{Item, ResumeToken};
use event_listener::{Event, EventListener};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// The task of the stream puts items there, and the user takes them.
pub(super) struct Inbox {
    state: Mutex<State>,
    /// The user, who waits for the next item.
    user: AtomicWaker,
    /// Something changed that others than the reader wait for.
    changed: Event,
    /// The bytes that are taken before the task is told.
    report: usize,
}

struct State {
    items: VecDeque<Item>,
    /// The bytes that were taken since the task was told.
    taken: usize,
    /// Whether the server has the watch now.
    is_live: bool,
    is_created: bool,
    /// What tells of the creation, until it is taken: not among the items, since most watches have
    /// none then.
    created: Option<ResponseHeader>,
    /// The first revision that was not delivered.
    next: i64,
    /// Behind what was taken.
    token: ResumeToken,
    /// How often progress was told, and the last one.
    progress: (u64, i64),
    end: End,
}

impl State {
    const fn new(token: ResumeToken) -> Self {
        Self {
            items: VecDeque::new(),
            taken: 0,
            is_live: false,
            is_created: false,
            created: None,
            next: token.revision,
            token,
            progress: (0, 0),
            end: End::Open,
        }
    }

    /// Notes the cluster, which is not known before if a watch begins at a bare revision.
    const fn note_cluster(&mut self, header: &ResponseHeader) {
        if self.token.cluster_id == 0 {
            self.token.cluster_id = header.cluster_id;
        }
    }
}

enum End {
    Open,
    /// To be told behind the items.
    Error(Error),
    /// The reason was told, or the user ended it.
    Over,
}

/// What is known of a watch besides what it delivers.
pub(super) struct Known {
    pub(super) is_live: bool,
    pub(super) is_created: bool,
    pub(super) next: i64,
    pub(super) progress: (u64, i64),
    pub(super) is_over: bool,
    /// Why it ended, unless that was told.
    pub(super) error: Option<Error>,
}

impl Inbox {
    /// Makes one for a watch of which so many bytes may wait, and which begins here.
    pub(super) fn new(limit: usize, start: ResumeToken) -> Self {
        let state = Mutex::new(State::new(start));
        let (user, changed) = (AtomicWaker::new(), Event::new());
        // Often enough that a watch that has too much waiting goes on when half is taken.
        Self { state, user, changed, report: limit / 4 }
    }

    /// Puts an item there. Of news without events, only the last counts.
    pub(super) fn put(&self, item: Item) {
        let mut state = self.lock();
        if matches!(state.end, End::Over) {
            return;
        }
        match &item {
            Item::Created(header) => {
                (state.is_created, state.is_live) = (true, true);
                state.created = Some(*header);
                state.note_cluster(header);
            }
            Item::Resumed(_) => state.is_live = true,
            Item::Events(batch, _) => state.next = state.next.max(batch.revision() + 1),
            Item::Progress(revision) => {
                state.next = state.next.max(revision.saturating_add(1));
                state.progress = (state.progress.0 + 1, *revision);
            }
        }
        let is_news = matches!(item, Item::Events(..));
        if matches!(item, Item::Progress(_) | Item::Resumed(_)) {
            let same = std::mem::discriminant(&item);
            let waiting = state.items.iter().rev().take_while(|it| !matches!(it, Item::Events(..)));
            let place = waiting.take(2).position(|it| std::mem::discriminant(it) == same);
            if let Some(place) = place.map(|from_end| state.items.len() - 1 - from_end) {
                state.items.remove(place);
            }
        }
        if !matches!(item, Item::Created(_)) {
            state.items.push_back(item);
        }
        drop(state);
        self.user.wake();
        if !is_news {
            self.changed.notify(usize::MAX);
        }
    }

    /// Says that the watch is over, for this reason; the first one counts.
    pub(super) fn end(&self, error: Error) {
        let mut state = self.lock();
        state.is_live = false;
        if matches!(state.end, End::Open) {
            state.end = End::Error(error);
        }
        drop(state);
        self.user.wake();
        self.changed.notify(usize::MAX);
    }

    /// Says that the watch is over since the user ended it.
    pub(super) fn cancel(&self) {
        let mut state = self.lock();
        state.is_live = false;
        state.end = End::Over;
        state.items.clear();
        state.created = None;
        drop(state);
        self.user.wake();
        self.changed.notify(usize::MAX);
    }

    /// Notes that the stream was lost.
    pub(super) fn interrupt(&self) {
        self.lock().is_live = false;
    }

    /// Takes the next item, or the reason of the end, once. With an item comes how many bytes the
    /// task is to be told of.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Item, usize), Error>>> {
        self.user.register(cx.waker());
        let mut state = self.lock();
        if let Some(header) = state.created.take() {
            return Poll::Ready(Some(Ok((Item::Created(header), 0))));
        }
        if let Some(item) = state.items.pop_front() {
            if let Item::Events(batch, bytes) = &item {
                state.taken += bytes;
                state.token.revision = batch.resume_token().revision;
                state.note_cluster(&batch.header);
            }
            let is_due = state.taken >= self.report;
            let report = if is_due { std::mem::take(&mut state.taken) } else { 0 };
            return Poll::Ready(Some(Ok((item, report))));
        }
        match std::mem::replace(&mut state.end, End::Over) {
            End::Open => {
                state.end = End::Open;
                Poll::Pending
            }
            End::Error(error) => Poll::Ready(Some(Err(error))),
            End::Over => Poll::Ready(None),
        }
    }

    /// Returns from where a later watch goes on, behind what was taken of this one.
    pub(super) fn resume_token(&self) -> ResumeToken {
        self.lock().token
    }

    pub(super) fn known(&self) -> Known {
        let state = self.lock();
        let is_over = !matches!(state.end, End::Open);
        let error = match &state.end {
            End::Error(error) => Some(error.clone()),
            End::Open | End::Over => None,
        };
        let State { is_live, is_created, next, progress, .. } = *state;
        Known { is_live, is_created, next, progress, is_over, error }
    }

    /// Notified when news without events come, or the watch ends.
    pub(super) fn listen(&self) -> EventListener {
        self.changed.listen()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
