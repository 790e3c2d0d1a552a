//! The control task: carries out what the channel asks, and wakes calls at their deadlines.

use crate::connection_task;
use crate::probe;
use crate::shared::Shared;
use crate::trace::Suspects;
use etcd3_core::channel::{Migration, Output};
use etcd3_core::{ErrorKind, Next};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

/// Runs until the client closes; closes it when it cannot go on.
pub(crate) async fn run(shared: Arc<Shared>) {
    let pool = &*shared.pool;
    let _end = Ending(&shared);
    let (mut sleep, mut suspects) = (None, Suspects::default());
    while !pool.is_over() {
        pool.wakeups.disarm();
        let now = pool.rt.now();
        let until = loop {
            match pool.poll_channel(now) {
                Next::Do(output) => carry_out(&shared, output, &mut suspects),
                Next::Wait(until) => break until,
            }
        };
        let until = until.into_iter().chain(pool.poll_cleanup(now)).min();
        let until = pool.wakeups.fire(now, until);
        if sleep.as_ref().map(|(at, _)| *at) != until {
            sleep = until.map(|at| (at, pool.rt.sleep_until(at)));
        }
        poll_fn(|cx| {
            if let Some((_, end)) = &mut sleep
                && end.as_mut().poll(cx).is_ready()
            {
                sleep = None;
                return Poll::Ready(());
            }
            pool.wakeups.poll_notified(cx)
        })
        .await;
    }
}

/// Closes the client when a control task ends, or that of its tokens, also by a panic of the
/// runtime: nobody would wake its calls, or leases.
pub(crate) struct Ending<'a>(pub(crate) &'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        // The leases of a client end before its cleanup does.
        if !self.0.pool.is_over() {
            self.0.tasks.close(ErrorKind::RuntimeEnded);
        }
    }
}

fn carry_out(shared: &Arc<Shared>, output: Output, suspects: &mut Suspects) {
    let pool = &shared.pool;
    match output {
        Output::Changed => {
            suspects.update(pool);
            pool.notify_changed();
        }
        Output::Dial(endpoint, connection) => {
            let handle = pool.add_connection(connection);
            let task = connection_task::run(Arc::clone(shared), endpoint, connection, handle);
            shared.tasks.spawn(task);
        }
        Output::Probe(endpoint, connection) => {
            shared.tasks.spawn(probe::run(Arc::clone(shared), endpoint, connection));
        }
        Output::Ping(connection) => {
            if let Some(handle) = pool.connection(connection) {
                handle.ping();
            }
        }
        Output::Migrate(connection, scope) => {
            if let Some(handle) = pool.connection(connection) {
                handle.migrate(scope);
                if scope == Migration::All {
                    pool.wakeups.wake_all();
                }
            }
        }
        Output::Close(connection) => {
            if let Some(handle) = pool.connection(connection) {
                handle.end(None);
            }
        }
        Output::Kill(connection, error) => {
            if let Some(handle) = pool.connection(connection) {
                handle.end(Some(error));
            }
        }
    }
}
