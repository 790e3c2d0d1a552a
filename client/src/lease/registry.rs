//! The stream of leases that a client has, and what is wanted of it.

use super::cell::Cell;
use super::task;
use crate::shared::Shared;
use atomic_waker::AtomicWaker;
use etcd3_core::LeaseId;
use etcd3_core::channel::EndpointId;
use etcd3_core::lease::{Known, LossReason};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The streams of leases of a client: one, and one for each endpoint that clients are pinned to.
#[derive(Default)]
pub(crate) struct Registry {
    streams: Mutex<Vec<Arc<Mailbox>>>,
}

/// What users and the task of a stream give each other.
pub(super) struct Mailbox {
    pub(super) only: Option<EndpointId>,
    /// `None` once the task has ended, and nobody takes them any more.
    commands: Mutex<Option<VecDeque<Command>>>,
    /// The task, which waits for commands.
    pub(super) task: AtomicWaker,
}

/// What a user wants of the task of a stream.
pub(super) enum Command {
    /// Keep a lease alive, and note in the cell what becomes of it.
    Keep(Known, Arc<Cell>),
    /// Renew a lease once, and note that in the cell.
    Once(Arc<Cell>),
    /// Forget a cell; the lease is not renewed any more when none is left.
    Forget(Arc<Cell>),
    /// End a lease, for all who have it.
    End(LeaseId, LossReason),
}

impl Command {
    const fn needs_stream(&self) -> bool {
        matches!(self, Self::Keep(..) | Self::Once(_))
    }
}

impl Registry {
    /// Puts a command into the mailbox of the stream for this endpoint, or for any; a stream is
    /// begun if there is none.
    pub(super) fn command(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        only: Option<EndpointId>,
        command: Command,
    ) -> Arc<Mailbox> {
        let mut streams = self.lock();
        let found = streams.iter().find(|it| it.only == only).map(Arc::clone);
        let is_new = found.is_none();
        let mailbox = found.unwrap_or_else(|| {
            let mailbox = Arc::new(Mailbox::new(only));
            streams.push(Arc::clone(&mailbox));
            mailbox
        });
        // Under the lock: the task does not end in between.
        mailbox.lock().get_or_insert_default().push_back(command);
        drop(streams);
        mailbox.task.wake();
        if is_new {
            task::spawn(shared, self, &mailbox);
        }
        mailbox
    }

    /// Ends a lease for all who have it of this client, on whichever stream it is renewed.
    pub(super) fn end(&self, id: LeaseId, reason: LossReason) {
        let streams = self.lock().clone();
        for mailbox in streams {
            mailbox.command(Command::End(id, reason));
        }
    }

    /// Forgets a stream that has no lease, unless one is to be renewed; returns whether it is
    /// forgotten.
    pub(super) fn detach(&self, mailbox: &Arc<Mailbox>) -> bool {
        let mut streams = self.lock();
        let mut commands = mailbox.lock();
        let is_done = !commands.iter().flatten().any(Command::needs_stream);
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
    pub(super) const fn new(only: Option<EndpointId>) -> Self {
        Self { only, commands: Mutex::new(Some(VecDeque::new())), task: AtomicWaker::new() }
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

    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The machine hears nothing of it, and would wait for ever.
    #[test]
    fn a_stream_without_leases_ends_whatever_is_said_of_others() {
        let registry = Registry::default();
        let mailbox = Arc::new(Mailbox::new(None));
        registry.lock().push(Arc::clone(&mailbox));
        let cell = Arc::new(Cell::new(LeaseId(7)));
        mailbox.command(Command::Once(Arc::clone(&cell)));
        assert!(!registry.detach(&mailbox), "a lease is to be renewed");
        mailbox.take_commands();
        registry.end(LeaseId(7), LossReason::Revoked);
        mailbox.command(Command::Forget(cell));
        assert!(registry.detach(&mailbox));
        assert!(registry.lock().is_empty());
    }
}
