//! The task of one stream of watches.

use super::inbox::Inbox;
use super::registry::{Command, Mailbox, Registry};
use crate::call::open_stream::Receiver;
use crate::call::{CallOptions, OperationCall};
use crate::pool::ConnectionHandle;
use crate::shared::Shared;
use crate::stream::{OwnedStream, Owner, StreamTask};
use crate::trace;
use etcd3_core::channel::{EndpointId, HealthSignal};
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::{Cause, Error, ErrorKind};
use etcd3_core::method::{self, Effect, Method};
use etcd3_core::proto::etcdserverpb::StatusRequest;
use etcd3_core::request::{Get, Raw};
use etcd3_core::transport::{Event, Lost};
use etcd3_core::watch::{Input, Output, Settings, WatcherKey, Watches, progress_is_ordered};
use etcd3_core::{Bytes, Instant, Machine, Outcome, get};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the stream stays open when nothing is watched.
// I-W9
const LINGER: Duration = Duration::from_secs(1);

/// Runs the stream of this mailbox.
pub(super) fn spawn(shared: &Arc<Shared>, registry: &Arc<Registry>, mailbox: &Arc<Mailbox>) {
    let config = &shared.config;
    let settings = Settings {
        backoff: config.reconnect_backoff,
        max_message_bytes: config.max_response_bytes,
        max_request_bytes: config.limits.max_request_bytes,
        max_batch_bytes: config.max_response_bytes,
        require_leader: mailbox.kind.require_leader,
        only: mailbox.kind.only,
        probe_interval: config.watch_probe_interval,
        answer_timeout: config.attempt_timeout.saturating_mul(2),
        linger: LINGER,
        seed: shared.next_seed(),
    };
    let owner = WatchOwner {
        shared: Arc::clone(shared),
        registry: Arc::clone(registry),
        mailbox: Arc::clone(mailbox),
        watches: BTreeMap::new(),
        identification: None,
        confirmation: None,
        heard: None,
    };
    let task = StreamTask::new(Arc::clone(&shared.pool), owner, Watches::new(settings));
    shared.tasks.spawn(task);
}

struct WatchOwner {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    mailbox: Arc<Mailbox>,
    /// The inbox of each watch.
    watches: BTreeMap<WatcherKey, Arc<Inbox>>,
    identification: Option<Identification>,
    confirmation: Option<OperationCall<Get>>,
    heard: Option<Instant>,
}

/// A server that is asked for its version.
struct Identification {
    connection: Arc<ConnectionHandle>,
    call: OperationCall<Raw<StatusRequest>>,
}

impl WatchOwner {
    fn command(&mut self, now: Instant, machine: &mut Watches, command: Command) {
        let input = match command {
            Command::Create(key, options, inbox) => {
                self.watches.insert(key, inbox);
                Input::Create(key, options)
            }
            Command::Cancel(key) => {
                if let Some(inbox) = self.forget(key) {
                    inbox.cancel();
                }
                Input::Cancel(key)
            }
            Command::Taken(key, bytes) => Input::Taken(key, bytes),
            Command::RequestProgress(key) => Input::RequestProgress(key),
        };
        machine.handle(now, input);
    }

    fn forget(&mut self, key: WatcherKey) -> Option<Arc<Inbox>> {
        let inbox = self.watches.remove(&key)?;
        self.mailbox.forget();
        Some(inbox)
    }

    fn end(&mut self, key: WatcherKey, error: Error) {
        if let Some(inbox) = self.forget(key) {
            inbox.end(self.complete(error));
        }
    }

    /// Completes an error that ends a watch.
    fn complete(&self, error: Error) -> Error {
        let error = error.with_method(method::WATCH.path).with_effect(Effect::Read);
        match error.endpoint() {
            Some(_) => error,
            None => error.with_endpoint(self.mailbox.status().endpoint),
        }
    }

    /// Finds out whether the server answers requests for progress in their order.
    // W24
    fn identify(&mut self, stream: &OwnedStream, endpoint: EndpointId) -> Option<bool> {
        let connection = stream.connection()?;
        if let Some(is_ordered) = connection.facts.is_progress_ordered() {
            return Some(is_ordered);
        }
        let options = CallOptions { max_attempts: Some(1), ..self.options(Some(endpoint)) };
        let call = OperationCall::new(Arc::clone(&self.shared), Raw(StatusRequest {}), options);
        self.identification = Some(Identification { connection, call });
        None
    }

    /// Finds out whether the cluster is the one that it was, by a key that is watched: others may
    /// not be readable.
    // I-W15
    fn confirm(&mut self, machine: &Watches) {
        let key = machine.any_range().map_or_else(Bytes::new, |range| range.start().clone());
        let options = self.options(self.mailbox.kind.only);
        let read = get(key).keys_only();
        self.confirmation = Some(OperationCall::new(Arc::clone(&self.shared), read, options));
    }

    fn options(&self, only: Option<EndpointId>) -> CallOptions {
        let timeout = Some(self.shared.config.connect_timeout);
        CallOptions { timeout, only, ..CallOptions::default() }
    }

    fn poll_calls(&mut self, now: Instant, machine: &mut Watches, cx: &mut Context<'_>) {
        if let Some(asked) = &mut self.identification
            && let Poll::Ready((status, _)) = Pin::new(&mut asked.call).poll(cx)
        {
            // Some servers tell it to some users only: then it is not known.
            if let Ok(status) = status {
                let is_ordered = progress_is_ordered(&status.version);
                asked.connection.facts.note_progress_order(is_ordered);
                machine.handle(now, Input::OrderedProgress(is_ordered));
            }
            self.identification = None;
        }
        if let Some(call) = &mut self.confirmation
            && let Poll::Ready((read, _)) = Pin::new(call).poll(cx)
        {
            machine.handle(now, Input::Confirmed(read.map(|found| found.header)));
            self.confirmation = None;
        }
    }

    /// The stream is not open any more.
    fn interrupted(&mut self, machine: &Watches) {
        self.identification = None;
        self.heard = None;
        let error = machine.last_error().cloned();
        self.mailbox.update_status(|status| {
            status.heard = None;
            status.last_error = error;
        });
        for inbox in self.watches.values() {
            inbox.interrupt();
        }
    }
}

impl Owner for WatchOwner {
    type Machine = Watches;

    fn method(&self) -> &'static Method {
        &method::WATCH
    }

    fn take_commands(
        &mut self,
        now: Instant,
        machine: &mut Watches,
        cx: &mut Context<'_>,
    ) -> ControlFlow<()> {
        self.mailbox.task.register(cx.waker());
        for command in self.mailbox.take_commands() {
            self.command(now, machine, command);
        }
        self.poll_calls(now, machine, cx);
        if machine.heard() != self.heard {
            self.heard = machine.heard();
            let heard = self.heard.map(Instant::as_nanos);
            self.mailbox.update_status(|status| status.heard = heard);
        }
        ControlFlow::Continue(())
    }

    fn carry_out(
        &mut self,
        now: Instant,
        output: Output,
        machine: &mut Watches,
        stream: &mut OwnedStream,
    ) -> ControlFlow<()> {
        match output {
            Output::Attempt(order) => {
                self.interrupted(machine);
                let counters = &self.shared.pool.telemetry.counters.watches;
                counters.streams.add(1);
                if order.number > 1 {
                    counters.reopened.add(1);
                    trace::stream_lost(method::WATCH.path, stream.endpoint(), machine.last_error());
                }
                stream.begin(now, machine.signal(), order);
            }
            Output::Identify(endpoint) => {
                let text = stream.endpoint().map(Endpoint::text);
                self.mailbox.update_status(|status| status.endpoint = text);
                if let Some(is_ordered) = self.identify(stream, endpoint) {
                    machine.handle(now, Input::OrderedProgress(is_ordered));
                }
            }
            Output::Confirm => self.confirm(machine),
            Output::Send(frame) => {
                if !stream.push(frame) {
                    // A server that takes nothing is left for another one.
                    stream.release(now, HealthSignal::Unhealthy);
                    let cause = Some(Cause::new("the server takes no more requests"));
                    let lost = Lost { outcome: Outcome::Unknown, reset: None, cause };
                    machine.handle(now, Input::Stream(Event::Lost(lost)));
                }
            }
            Output::Deliver(key, item) => {
                if let Some(inbox) = self.watches.get(&key) {
                    self.shared.pool.telemetry.counters.watches.count(&item);
                    inbox.put(item);
                }
            }
            Output::Suspended(key) => {
                if let Some(inbox) = self.watches.get(&key) {
                    inbox.interrupt();
                }
            }
            Output::End(key, error) => {
                self.shared.pool.telemetry.counters.watches.failed.add(1);
                self.end(key, error);
            }
            Output::Close => {
                self.interrupted(machine);
                stream.release(now, machine.signal());
                if self.shared.pool.is_closed() || self.registry.detach(&self.mailbox) {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn signal(machine: &Watches) -> HealthSignal {
        machine.signal()
    }
}

impl Drop for WatchOwner {
    fn drop(&mut self) {
        // Also when the runtime drops the task, or it panics.
        let kind = self.shared.pool.closed_kind().unwrap_or(ErrorKind::RuntimeEnded);
        let error = self.complete(Error::new(kind));
        for command in self.registry.abandon(&self.mailbox) {
            if let Command::Create(_, _, inbox) = command {
                inbox.end(error.clone());
            }
        }
        for inbox in std::mem::take(&mut self.watches).into_values() {
            inbox.end(error.clone());
        }
    }
}

impl Receiver for Watches {
    fn is_receiving(&self) -> bool {
        self.is_streaming()
    }

    fn is_whole(&self) -> bool {
        false
    }

    fn may_migrate(&self) -> bool {
        self.is_streaming()
    }

    fn receive(&mut self, now: Instant, event: Event) {
        self.handle(now, Input::Stream(event));
    }

    fn migrate(&mut self, now: Instant) {
        self.handle(now, Input::Migrate);
    }
}
