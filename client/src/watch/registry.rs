//! Which streams of watches a client has.

use super::inbox::Inbox;
use super::task;
use crate::shared::Shared;
use atomic_waker::AtomicWaker;
use etcd3_core::channel::EndpointId;
use etcd3_core::error::Error;
use etcd3_core::watch::{WatchOptions, WatcherKey};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many watches share a stream; beyond, another one is opened.
const MAX_WATCHERS: usize = 1_000;

/// What the watches of one stream have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StreamKind {
    pub(super) require_leader: bool,
    pub(super) only: Option<EndpointId>,
    /// The one watch that it is for.
    pub(super) owner: Option<WatcherKey>,
}

/// The streams of watches of a client.
#[derive(Default)]
pub(crate) struct Registry {
    streams: Mutex<Vec<Arc<Mailbox>>>,
    keys: AtomicU64,
}

/// What users and the task of a stream give each other.
pub(super) struct Mailbox {
    pub(super) kind: StreamKind,
    /// How many watches there are, those included that the task does not know yet.
    watchers: AtomicUsize,
    /// `None` once the task has ended, and nobody takes them any more.
    commands: Mutex<Option<VecDeque<Command>>>,
    /// The task, which waits for commands.
    pub(super) task: AtomicWaker,
    status: Mutex<StreamStatus>,
}

/// What a user wants of the task of a stream.
pub(super) enum Command {
    Create(WatcherKey, WatchOptions, Arc<Inbox>),
    Cancel(WatcherKey),
    Taken(WatcherKey, usize),
    RequestProgress(WatcherKey),
}

/// How a stream does.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamStatus {
    /// The endpoint that it was last opened to.
    pub(super) endpoint: Option<Arc<str>>,
    /// When the last message came, in nanoseconds, if it is open.
    pub(super) heard: Option<u64>,
    /// Why the stream before failed.
    pub(super) last_error: Option<Error>,
}

impl Registry {
    /// Adds a watch to a stream of this kind, which is opened if there is none; with a stream of
    /// its own if that is wanted.
    pub(super) fn attach(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        kind: StreamKind,
        options: WatchOptions,
        inbox: Arc<Inbox>,
    ) -> (WatcherKey, Arc<Mailbox>) {
        let key = WatcherKey(self.keys.fetch_add(1, Ordering::Relaxed));
        let owner = options.has_own_stream().then_some(key);
        let kind = StreamKind { owner, ..kind };
        let mut streams = self.lock();
        let has_room = |it: &&Arc<Mailbox>| {
            it.kind == kind && it.watchers.load(Ordering::Relaxed) < MAX_WATCHERS
        };
        let found = streams.iter().find(has_room).map(Arc::clone);
        let is_new = found.is_none();
        let mailbox = found.unwrap_or_else(|| {
            let mailbox = Arc::new(Mailbox::new(kind));
            streams.push(Arc::clone(&mailbox));
            mailbox
        });
        mailbox.watchers.fetch_add(1, Ordering::Relaxed);
        // Under the lock: the task does not end in between.
        mailbox.lock().get_or_insert_default().push_back(Command::Create(key, options, inbox));
        drop(streams);
        mailbox.task.wake();
        if is_new {
            task::spawn(shared, self, &mailbox);
        }
        (key, mailbox)
    }

    /// Forgets a stream, unless more is wanted of it; returns whether it is forgotten.
    pub(super) fn detach(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut streams = self.lock();
        let mut commands = mailbox.lock();
        let is_done = commands.as_ref().is_none_or(VecDeque::is_empty);
        if is_done {
            *commands = None;
            drop(commands);
            streams.retain(|it| !Arc::ptr_eq(it, mailbox));
        }
        is_done
    }

    /// Forgets a stream, and returns what was wanted of it.
    pub(super) fn abandon(&self, mailbox: &Arc<Mailbox>) -> VecDeque<Command> {
        let mut streams = self.lock();
        streams.retain(|it| !Arc::ptr_eq(it, mailbox));
        mailbox.lock().take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Mailbox>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailbox {
    fn new(kind: StreamKind) -> Self {
        Self {
            kind,
            watchers: AtomicUsize::new(0),
            commands: Mutex::new(Some(VecDeque::new())),
            task: AtomicWaker::new(),
            status: Mutex::default(),
        }
    }

    /// Has the task do something, unless it has ended.
    pub(super) fn command(&self, command: Command) {
        if let Some(commands) = &mut *self.lock() {
            commands.push_back(command);
        }
        self.task.wake();
    }

    pub(super) fn take_commands(&self) -> VecDeque<Command> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Notes that a watch is gone.
    pub(super) fn forget(&self) {
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn status(&self) -> StreamStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn update_status(&self, update: impl FnOnce(&mut StreamStatus)) {
        update(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
