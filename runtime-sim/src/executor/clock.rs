//! The clocks of hosts: one that is suspended stands still while the world goes on.

use super::{Executor, Sleep};
use etcd3::runtime::Instant;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// How the clocks of one host differ from the time of the world.
#[derive(Default)]
pub(super) struct HostClock {
    /// How long the host was suspended, up to the last time that it was resumed.
    suspended: Duration,
    /// When it was suspended, if it is.
    since: Option<Instant>,
    /// How far its wall clock is ahead.
    wall_ahead: Duration,
    /// The sleeps that were polled while it is suspended, by tasks of others.
    sleepers: Vec<Waker>,
}

impl HostClock {
    pub(super) const fn is_suspended(&self) -> bool {
        self.since.is_some()
    }

    /// Converts the time of the world.
    fn at(&self, now: Instant) -> Instant {
        self.since.unwrap_or(now) - self.suspended
    }
}

impl Executor {
    /// Returns the time of a host.
    pub(crate) fn now_of(&self, host: u32) -> Instant {
        let now = self.now();
        self.lock().clocks.get(&host).map_or(now, |clock| clock.at(now))
    }

    /// Returns how long a host was suspended, and its wall clock is ahead.
    pub(crate) fn suspended_of(&self, host: u32) -> Duration {
        let state = self.lock();
        state.clocks.get(&host).map_or(Duration::ZERO, |clock| clock.suspended + clock.wall_ahead)
    }

    /// Stops the tasks of a host and its clock.
    pub(crate) fn suspend(&self, host: u32) {
        let mut state = self.lock();
        let now = state.now;
        state.clocks.entry(host).or_default().since.get_or_insert(now);
    }

    /// Lets the tasks of a host and its clock go on.
    pub(crate) fn resume(&self, host: u32) {
        let mut state = self.lock();
        let now = state.now;
        let Some(clock) = state.clocks.get_mut(&host) else { return };
        if let Some(since) = clock.since.take() {
            clock.suspended += now.saturating_since(since);
        }
        let sleepers = std::mem::take(&mut clock.sleepers);
        drop(state);
        sleepers.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn set_wall_ahead(&self, host: u32, ahead: Duration) {
        self.lock().clocks.entry(host).or_default().wall_ahead = ahead;
    }

    /// Completes once the clock of a host has reached `at`.
    pub(crate) fn sleep_of(&self, host: u32, at: Instant) -> HostSleep {
        HostSleep { executor: self.clone(), host, at, sleep: None }
    }
}

/// A future that completes at a moment of the time of a host.
pub(crate) struct HostSleep {
    executor: Executor,
    host: u32,
    at: Instant,
    sleep: Option<Sleep>,
}

impl HostSleep {
    /// Returns when the host will reach the moment, in the time of the world; `Pending` while its
    /// clock stands still.
    fn poll_moment(&self, cx: &Context<'_>) -> Poll<Instant> {
        let mut state = self.executor.lock();
        let now = state.now;
        let Some(clock) = state.clocks.get_mut(&self.host) else { return Poll::Ready(self.at) };
        if clock.is_suspended() && clock.at(now) < self.at {
            if !clock.sleepers.iter().any(|waker| waker.will_wake(cx.waker())) {
                clock.sleepers.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(self.at + clock.suspended)
    }
}

impl Future for HostSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Later than it was if the host has been suspended since.
        let moment = ready!(self.poll_moment(cx));
        let sleep = self.sleep.take().filter(|sleep| sleep.at == moment);
        let sleep = sleep.unwrap_or_else(|| self.executor.sleep_until(moment));
        Pin::new(self.sleep.insert(sleep)).poll(cx)
    }
}
