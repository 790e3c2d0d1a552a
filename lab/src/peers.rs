//! The network between the members of a cluster.
//!
//! Each member listens on a port that only its proxy knows, and advertises the proxy's port. All
//! members use the same advertised address, so the proxy finds out which one connects from the
//! owner of the connecting socket.

use crate::bridge::{Admission, Bridge};
use crate::{Error, Result, proc, until};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Bounds the wait for the number of a process that has just been started and already connects.
const ATTRIBUTION_LIMIT: Duration = Duration::from_millis(100);

/// Is the network of a cluster whose members are behind proxies.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    map: Arc<Map>,
    bridges: Mutex<Vec<Bridge>>,
}

/// Knows who is who, and who may talk to whom.
#[derive(Debug, Default)]
struct Map {
    pids: Mutex<Vec<Option<u32>>>,
    cut: Mutex<BTreeSet<(usize, usize)>>,
}

/// Decides about the connections to one member.
struct Gatekeeper {
    map: Arc<Map>,
    member: usize,
    proxy: SocketAddr,
}

impl Peers {
    /// Makes sure that this machine can tell who connects.
    pub(crate) fn new() -> Result<Self> {
        if proc::available() {
            return Ok(Self::default());
        }
        Err(Error::new("partitions need Linux: nothing else tells which member connects"))
    }

    /// Puts a proxy at `proxy` in front of the next member, which listens at `listen`.
    pub(crate) fn add(&self, proxy: SocketAddr, listen: SocketAddr) -> Result<()> {
        let mut bridges = lock(&self.bridges);
        let keeper = Gatekeeper { map: Arc::clone(&self.map), member: bridges.len(), proxy };
        bridges.push(Bridge::on(proxy, listen, Box::new(keeper))?);
        Ok(())
    }

    /// Tells which process a member is now.
    pub(crate) fn set_pid(&self, member: usize, pid: u32) {
        let mut pids = lock(&self.map.pids);
        let length = pids.len().max(member + 1);
        pids.resize(length, None);
        pids[member] = Some(pid);
    }

    /// Ends the connections between two members and allows no new ones.
    pub(crate) fn cut(&self, a: usize, b: usize) {
        lock(&self.map.cut).insert(pair(a, b));
        let bridges = lock(&self.bridges);
        for (to, from) in [(a, b), (b, a)] {
            if let Some(bridge) = bridges.get(to) {
                bridge.reset_from(|source| source == from);
            }
        }
    }

    /// Allows all connections again; the members make them by themselves.
    pub(crate) fn heal(&self) {
        lock(&self.map.cut).clear();
    }
}

impl Admission for Gatekeeper {
    fn source(&self, near: SocketAddr) -> Option<usize> {
        let found = until(ATTRIBUTION_LIMIT, "an attribution", || {
            let pids = lock(&self.map.pids).clone();
            Ok(proc::connector(&pids, near, self.proxy))
        });
        found.ok()
    }

    fn allows(&self, source: usize) -> bool {
        !lock(&self.map.cut).contains(&pair(source, self.member))
    }
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
