//! The task of the stream of leases.

use super::cell::MIN_SUSPENSION;
use super::holders::Holders;
use super::registry::{Command, Mailbox, Registry};
use crate::call::open_stream::Receiver;
use crate::call::{CallOptions, OperationCall};
use crate::shared::Shared;
use crate::stream::{OwnedStream, Owner, StreamTask};
use crate::trace;
use etcd3_core::channel::{EndpointId, HealthSignal};
use etcd3_core::error::{Cause, Error};
use etcd3_core::lease::{
    Input, KeepAlive, LeaseLost, LossReason, Output, Renewal, Settings, SingleRenewal,
};
use etcd3_core::method::{self, Effect, Method};
use etcd3_core::proto::etcdserverpb::{LeaseKeepAliveRequest, LeaseTimeToLiveRequest};
use etcd3_core::request::Raw;
use etcd3_core::transport::{Event, Lost};
use etcd3_core::{Instant, LeaseId, Machine, Outcome};
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the stream stays open when there is no lease.
const LINGER: Duration = Duration::from_secs(5);
/// How long the question may take whether a lease exists.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// Runs the stream of this mailbox.
pub(super) fn spawn(shared: &Arc<Shared>, registry: &Arc<Registry>, mailbox: &Arc<Mailbox>) {
    let config = &shared.config;
    let settings = Settings {
        backoff: config.reconnect_backoff,
        max_message_bytes: config.max_response_bytes,
        // A member that is cut off could renew nothing, and would not say so.
        // L17
        require_leader: true,
        only: mailbox.only,
        linger: LINGER,
        seed: shared.next_seed(),
    };
    let owner = LeaseOwner::new(Arc::clone(shared), Arc::clone(registry), Arc::clone(mailbox));
    let task = StreamTask::new(Arc::clone(&shared.pool), owner, KeepAlive::new(settings));
    shared.tasks.spawn(task);
}

struct LeaseOwner {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    mailbox: Arc<Mailbox>,
    leases: BTreeMap<LeaseId, Holders>,
    singles: Vec<Single>,
    confirmations: Vec<(LeaseId, OperationCall<Raw<LeaseTimeToLiveRequest>>)>,
    /// What the runtime said last of the time that the machine was suspended.
    suspended: Duration,
}

/// A call that renews one lease.
struct Single {
    renewal: SingleRenewal,
    ordered: Instant,
    call: OperationCall<Raw<LeaseKeepAliveRequest>>,
}

impl LeaseOwner {
    fn new(shared: Arc<Shared>, registry: Arc<Registry>, mailbox: Arc<Mailbox>) -> Self {
        let suspended = shared.pool.rt.suspended();
        Self {
            shared,
            registry,
            mailbox,
            leases: BTreeMap::new(),
            singles: Vec::new(),
            confirmations: Vec::new(),
            suspended,
        }
    }

    fn command(&mut self, now: Instant, machine: &mut KeepAlive, command: Command) {
        match command {
            Command::Keep(known, cell) => {
                let id = cell.id;
                self.tell_lost(machine, id);
                let holders = self.leases.entry(id).or_default();
                let is_first = holders.is_empty();
                holders.keep(cell);
                if known.is_new {
                    // What was asked for before the grant tells nothing of this lease.
                    self.drop_calls(id);
                    machine.handle(now, Input::Remove(id));
                }
                if is_first || known.is_new {
                    machine.handle(now, Input::Add(id, known));
                }
                if !is_first {
                    // What others have is renewed, so that this one hears of it.
                    machine.handle(now, Input::Renew(id));
                }
            }
            Command::Once(cell) => {
                let id = cell.id;
                self.tell_lost(machine, id);
                self.leases.entry(id).or_default().once(cell);
                machine.handle(now, Input::Renew(id));
            }
            Command::Forget(cell) => {
                let Some(holders) = self.leases.get_mut(&cell.id) else { return };
                holders.remove(&cell);
                self.forget_unused(now, machine, cell.id);
            }
            Command::End(id, reason) => {
                machine.handle(now, Input::Revoked(id));
                self.lose(id, &LeaseLost::new(reason));
            }
        }
    }

    /// Tells those who have a lease that it is lost, if that was found out, before somebody else
    /// has it again.
    fn tell_lost(&mut self, machine: &mut KeepAlive, id: LeaseId) {
        if let Some(lost) = machine.take_lost(id) {
            self.lost(id, lost);
        }
    }

    /// Stops renewing a lease that nobody has any more.
    fn forget_unused(&mut self, now: Instant, machine: &mut KeepAlive, id: LeaseId) {
        if self.leases.get(&id).is_some_and(Holders::is_empty) {
            self.leases.remove(&id);
            self.drop_calls(id);
            machine.handle(now, Input::Remove(id));
        }
    }

    fn drop_calls(&mut self, id: LeaseId) {
        self.singles.retain(|it| it.renewal.lease != id);
        self.confirmations.retain(|it| it.0 != id);
    }

    fn renewed(&mut self, now: Instant, machine: &mut KeepAlive, id: LeaseId, renewal: Renewal) {
        if !self.singles.is_empty() || !self.confirmations.is_empty() {
            self.drop_calls(id);
        }
        let Some(holders) = self.leases.get_mut(&id) else { return };
        self.shared.pool.telemetry.counters.leases.renewed.add(1);
        holders.renew(renewal, self.suspended);
        if holders.is_empty() {
            self.forget_unused(now, machine, id);
        }
    }

    /// Takes what the machine found out of a lease.
    fn lost(&mut self, id: LeaseId, lost: LeaseLost) {
        trace::lease_lost(id, &lost);
        self.shared.pool.telemetry.counters.leases.lost.add(1);
        let cause = lost.cause.map(complete);
        self.lose(id, &LeaseLost::new(lost.reason).with_cause(cause));
    }

    fn lose(&mut self, id: LeaseId, lost: &LeaseLost) {
        self.drop_calls(id);
        let Some(holders) = self.leases.remove(&id) else { return };
        for cell in holders.iter() {
            cell.lose(|| lost.clone());
        }
    }

    /// Renews a lease by a call of its own, at another endpoint than the last time.
    // I-L3
    fn renew_singly(
        &mut self,
        now: Instant,
        machine: &KeepAlive,
        single: SingleRenewal,
        until: Instant,
    ) {
        let others = self.singles.iter().filter(|it| it.renewal == single);
        let last = others.filter_map(|it| it.call.last_endpoint()).last();
        let timeout = until.saturating_since(now);
        let options = CallOptions {
            // Those that are not answered are left running, and others are begun.
            attempt_timeout: Some(timeout),
            avoid: last.or(machine.endpoint()),
            ..self.options(timeout)
        };
        let request = Raw(LeaseKeepAliveRequest { id: single.lease.0 });
        let call = OperationCall::new(Arc::clone(&self.shared), request, options);
        self.singles.push(Single { renewal: single, ordered: now, call });
    }

    // I-L4
    fn confirm(&mut self, now: Instant, machine: &KeepAlive, id: LeaseId) {
        let left = machine.valid_until(id).map(|until| until.saturating_since(now));
        let timeout = left.unwrap_or(CONFIRM_TIMEOUT).min(CONFIRM_TIMEOUT);
        let request = Raw(LeaseTimeToLiveRequest { id: id.0, keys: false });
        let options = self.options(timeout);
        let call = OperationCall::new(Arc::clone(&self.shared), request, options);
        self.confirmations.push((id, call));
    }

    fn options(&self, timeout: Duration) -> CallOptions {
        let only: Option<EndpointId> = self.mailbox.only;
        let (timeout, require_leader) = (Some(timeout), Some(true));
        CallOptions { timeout, require_leader, only, ..CallOptions::default() }
    }

    fn poll_calls(&mut self, now: Instant, machine: &mut KeepAlive, cx: &mut Context<'_>) {
        let mut index = 0;
        while let Some(it) = self.singles.get_mut(index) {
            let Poll::Ready((answer, _)) = Pin::new(&mut it.call).poll(cx) else {
                index += 1;
                continue;
            };
            let it = self.singles.swap_remove(index);
            let sent = it.call.last_sent().unwrap_or(it.ordered);
            let ttl = |ttl: i64| Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
            let result = answer.map(|answer| ttl(answer.ttl));
            machine.handle(now, Input::Single(it.renewal, sent, result));
        }
        let mut index = 0;
        while let Some((_, call)) = self.confirmations.get_mut(index) {
            let Poll::Ready((answer, _)) = Pin::new(call).poll(cx) else {
                index += 1;
                continue;
            };
            let (id, _) = self.confirmations.swap_remove(index);
            machine.handle(now, Input::Confirmed(id, answer.map(|answer| answer.ttl > 0)));
        }
    }

    // I-L8
    fn count_suspension(&mut self, now: Instant, machine: &mut KeepAlive) {
        let suspended = self.shared.pool.rt.suspended();
        let slept = suspended.saturating_sub(self.suspended);
        if slept > MIN_SUSPENSION {
            machine.handle(now, Input::Suspended(slept));
            self.suspended = suspended;
        } else if suspended < self.suspended {
            // The clock was set back.
            self.suspended = suspended;
        }
    }
}

impl Owner for LeaseOwner {
    type Machine = KeepAlive;

    fn method(&self) -> &'static Method {
        &method::LEASE_KEEP_ALIVE
    }

    fn take_commands(
        &mut self,
        now: Instant,
        machine: &mut KeepAlive,
        cx: &mut Context<'_>,
    ) -> ControlFlow<()> {
        self.mailbox.task.register(cx.waker());
        self.count_suspension(now, machine);
        for command in self.mailbox.take_commands() {
            self.command(now, machine, command);
        }
        self.poll_calls(now, machine, cx);
        ControlFlow::Continue(())
    }

    fn carry_out(
        &mut self,
        now: Instant,
        output: Output,
        machine: &mut KeepAlive,
        stream: &mut OwnedStream,
    ) -> ControlFlow<()> {
        match output {
            Output::Attempt(order) => {
                let counters = &self.shared.pool.telemetry.counters.leases;
                counters.streams.add(1);
                if order.number > 1 {
                    counters.reopened.add(1);
                    let error = machine.last_error();
                    trace::stream_lost(method::LEASE_KEEP_ALIVE.path, stream.endpoint(), error);
                }
                stream.begin(now, machine.signal(), order);
            }
            Output::Send(frames) => {
                if !stream.push(frames) {
                    // A server that takes nothing is left for another one.
                    stream.release(now, HealthSignal::Unhealthy);
                    let cause = Some(Cause::new("the server takes no more requests"));
                    let lost = Lost { outcome: Outcome::Unknown, reset: None, cause };
                    machine.handle(now, Input::Stream(Event::Lost(lost)));
                }
            }
            Output::RenewSingly(single, until) => self.renew_singly(now, machine, single, until),
            Output::Confirm(id) => self.confirm(now, machine, id),
            Output::Renewed(id, renewal) => self.renewed(now, machine, id, renewal),
            Output::Late(id, since, error) => {
                self.shared.pool.telemetry.counters.leases.late.add(1);
                trace::lease_late(id, now.saturating_since(since), error.as_ref());
                let error = error.map(complete);
                let holders = self.leases.get(&id);
                for cell in holders.into_iter().flat_map(Holders::iter) {
                    cell.late(since, error.clone());
                }
            }
            Output::Lost(id, lost) => self.lost(id, lost),
            Output::Close => {
                stream.release(now, machine.signal());
                if self.shared.pool.is_closed() || self.registry.detach(&self.mailbox) {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn signal(machine: &KeepAlive) -> HealthSignal {
        machine.signal()
    }
}

/// Completes the error of a renewal.
fn complete(error: Error) -> Error {
    error.with_method(method::LEASE_KEEP_ALIVE.path).with_effect(Effect::IdempotentWrite)
}

impl Drop for LeaseOwner {
    fn drop(&mut self) {
        // Also when the runtime drops the task, or it panics.
        let lost = || LeaseLost::new(LossReason::Closed);
        for command in self.registry.abandon(&self.mailbox) {
            if let Command::Keep(_, cell) | Command::Once(cell) = command {
                cell.lose(lost);
            }
        }
        for holders in std::mem::take(&mut self.leases).into_values() {
            for cell in holders.iter() {
                cell.lose(lost);
            }
        }
    }
}

impl Receiver for KeepAlive {
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

#[cfg(test)]
mod tests {
    use super::super::cell::Cell;
    use super::*;
    use crate::still::Still;
    use etcd3_core::Next;
    use etcd3_core::lease::Known;

    const ID: LeaseId = LeaseId(7);

    fn settings() -> Settings {
        let backoff = crate::Config::new(["http://a"]).reconnect_backoff;
        let (max_message_bytes, require_leader) = (1 << 20, true);
        Settings { backoff, max_message_bytes, require_leader, only: None, linger: LINGER, seed: 1 }
    }

    // It is of those who had the lease before.
    #[test]
    fn a_loss_that_is_not_told_yet_is_told_to_nobody_who_comes_after_it() {
        let (shared, mailbox) = (Still::shared(&["http://a"]), Arc::new(Mailbox::new(None)));
        let rt = Arc::clone(&shared.pool.rt);
        for is_once in [false, true] {
            let mut owner =
                LeaseOwner::new(Arc::clone(&shared), Arc::default(), Arc::clone(&mailbox));
            let mut machine = KeepAlive::new(settings());
            let mut now = Instant::ORIGIN;
            let [before, after] = [(); 2].map(|()| Arc::new(Cell::new(ID)));
            let keep = |cell: &Arc<Cell>| Command::Keep(Known::default(), Arc::clone(cell));
            owner.command(now, &mut machine, keep(&before));
            let single = loop {
                match machine.poll(now) {
                    Next::Do(Output::RenewSingly(single, _)) => break single,
                    Next::Do(_) => {}
                    Next::Wait(until) => now = until.expect("a lease is to be renewed"),
                }
            };
            machine.handle(now, Input::Single(single, now, Ok(Duration::ZERO)));
            let next = if is_once { Command::Once(Arc::clone(&after)) } else { keep(&after) };
            owner.command(now, &mut machine, next);
            for _ in 0..10 {
                if let Next::Do(Output::Lost(id, lost)) = machine.poll(now) {
                    owner.lost(id, lost);
                }
            }
            assert!(before.is_lost_as(LossReason::Expired));
            assert!(after.look(&*rt).status.is_valid());
            assert_eq!((owner.leases.len(), machine.len()), (1, 1));
        }
    }
}
