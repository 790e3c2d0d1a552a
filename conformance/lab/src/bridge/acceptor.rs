//! The threads of a bridge: one that accepts, one for each connection that is being made, and two
//! for each connection that is relayed.

use crate::black_hole::BlackHole;
use crate::fault::{Cut, Direction, Fault, Relays};
use crate::relay::Relay;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The limit of the proxy's own connects, which all go to this machine.
pub(super) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The pause before the proxy tries again what the machine has just refused.
const RETRY: Duration = Duration::from_millis(5);

/// A rule for where each incoming connection goes. It is asked on a thread of the connection's own,
/// so that one that says nothing delays no other.
pub(crate) trait Router: Send + Sync {
    /// Returns the way of a connection, which may be read from it; `None` turns it away.
    fn route(&self, near: &TcpStream) -> Option<Route>;
    /// Tells whether connections to that peer may exist.
    fn allows(&self, peer: usize) -> bool;
    /// Tells the side that connected that its connection is relayed from now on.
    fn welcome(&self, near: &TcpStream) -> std::io::Result<()>;
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) target: SocketAddr,
    /// The number of the target, for those who tell targets apart.
    pub(crate) peer: usize,
}

/// The rule that leads every connection to one target.
pub(super) struct OneTarget(pub(super) SocketAddr);

impl Router for OneTarget {
    fn route(&self, _near: &TcpStream) -> Option<Route> {
        Some(Route { target: self.0, peer: 0 })
    }

    fn allows(&self, _peer: usize) -> bool {
        true
    }

    fn welcome(&self, _near: &TcpStream) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum AcceptMode {
    #[default]
    Open,
    Paused,
    Refusing,
    Ignoring,
    Closed,
}

/// The state of a bridge's port, as others see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum PortState {
    #[default]
    Listens,
    Ignores,
    Refuses,
}

/// The socket of the accepting thread.
enum Port {
    Listening(TcpListener),
    Full(BlackHole),
    Closed,
}

impl Port {
    /// Opens the socket for a mode; the port may not be free yet.
    fn open(mode: AcceptMode, addr: SocketAddr) -> Self {
        let port = match mode {
            AcceptMode::Refusing | AcceptMode::Closed => return Self::Closed,
            AcceptMode::Open | AcceptMode::Paused => {
                TcpListener::bind(addr).ok().map(Self::Listening)
            }
            AcceptMode::Ignoring => BlackHole::on(addr).ok().map(Self::Full),
        };
        port.unwrap_or_else(|| {
            std::thread::sleep(RETRY);
            Self::Closed
        })
    }

    fn state(&self) -> PortState {
        match self {
            Self::Listening(_) => PortState::Listens,
            Self::Full(_) => PortState::Ignores,
            Self::Closed => PortState::Refuses,
        }
    }
}

/// What the threads of a bridge share.
pub(super) struct Acceptor {
    router: Box<dyn Router>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    mode: AcceptMode,
    pub(super) port: PortState,
    /// The faults of connections to come, by direction.
    faults: [Fault; 2],
    /// The faults of connections to come to some peers, in both directions, in place of those.
    peer_faults: BTreeMap<usize, Fault>,
    /// The number of connections that were accepted while the port was open.
    arrived: u64,
    /// The connections that are being made, by number.
    arriving: BTreeMap<u64, TcpStream>,
    pub(super) relays: BTreeMap<u64, Entry>,
    pub(super) accepted: u64,
    pub(super) rejected: u64,
    /// The bytes that passed on connections that are gone, by direction.
    passed: [u64; 2],
    /// The bytes that were lost there.
    swallowed: [u64; 2],
    /// The number of calls that ended all connections, and how the last one did.
    endings: (u64, Option<Cut>),
}

#[derive(Debug)]
pub(super) struct Entry {
    peer: usize,
    relay: Arc<Relay>,
    pumps: [JoinHandle<()>; 2],
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Acceptor {
    pub(super) fn new(router: Box<dyn Router>) -> Self {
        Self { router, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_mode(&self, mode: AcceptMode) {
        self.lock().mode = mode;
        self.changed.notify_all();
    }

    pub(super) fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.changed
            .wait_while(state, |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts connections until the bridge closes.
    pub(super) fn accept_all(self: Arc<Self>, listener: TcpListener, addr: SocketAddr) {
        let mut port = Port::Listening(listener);
        loop {
            let mode = self.lock().mode;
            port = match (mode, port) {
                (AcceptMode::Closed, _) => return,
                (AcceptMode::Open | AcceptMode::Paused, Port::Listening(listener)) => {
                    match listener.accept() {
                        Ok((stream, _)) => self.receive(stream),
                        // No file numbers left, or a connection that was gone at once.
                        Err(_) => std::thread::sleep(RETRY),
                    }
                    Port::Listening(listener)
                }
                (AcceptMode::Ignoring, Port::Full(hole)) => Port::Full(hole),
                (_, before) => {
                    drop(before);
                    Port::open(mode, addr)
                }
            };
            let state = port.state();
            self.lock().port = state;
            self.changed.notify_all();
            let idle_at = match port {
                Port::Listening(_) => continue,
                Port::Full(_) => AcceptMode::Ignoring,
                Port::Closed => AcceptMode::Refusing,
            };
            drop(self.wait_while(|state| state.mode == idle_at));
        }
    }

    /// Holds a connection while that is asked for, and relays it if the port is open then.
    fn receive(self: &Arc<Self>, near: TcpStream) {
        let mut state = self.wait_while(|state| state.mode == AcceptMode::Paused);
        if state.mode != AcceptMode::Open {
            return;
        }
        let Ok(handle) = near.try_clone() else { return turn_away(state, &near) };
        let (id, endings) = (state.arrived, state.endings.0);
        state.arrived += 1;
        state.arriving.insert(id, handle);
        drop(state);
        let acceptor = Arc::clone(self);
        std::thread::spawn(move || acceptor.lead(near, id, endings));
    }

    /// Connects an accepted connection to its target and relays it.
    fn lead(self: Arc<Self>, near: TcpStream, id: u64, endings: u64) {
        let far =
            self.router.route(&near).filter(|way| self.router.allows(way.peer)).and_then(|way| {
                let far = TcpStream::connect_timeout(&way.target, CONNECT_LIMIT).ok()?;
                self.router.welcome(&near).ok()?;
                Some((way.peer, far))
            });
        let mut state = self.lock();
        state.arriving.remove(&id);
        self.changed.notify_all();
        let Some((peer, far)) = far else { return turn_away(state, &near) };
        let relay = Arc::new(Relay::new(near, far));
        // Asked again under the lock: cutting a peer off ends its relays under it, too.
        if !self.router.allows(peer) {
            state.rejected += 1;
            return relay.end(Cut::Reset);
        }
        if state.mode == AcceptMode::Closed {
            return relay.end(Cut::Close);
        }
        state.accepted += 1;
        if let (count, Some(end)) = state.endings
            && count != endings
        {
            return relay.end(end);
        }
        for way in Direction::BOTH {
            let of_peer = state.peer_faults.get(&peer).copied();
            relay.set(way, id, of_peer.unwrap_or(state.faults[way.index()]));
        }
        let pumps = Direction::BOTH.map(|way| {
            let (acceptor, relay) = (Arc::clone(&self), Arc::clone(&relay));
            std::thread::spawn(move || {
                relay.pump(way);
                drop(relay);
                acceptor.forget(id);
            })
        });
        state.relays.insert(id, Entry { peer, relay, pumps });
    }

    /// Ends the connections that are being made, and waits for their threads.
    pub(super) fn end_arriving(&self) {
        for near in self.lock().arriving.values() {
            // One that is gone already needs no end.
            let _ = near.shutdown(Shutdown::Both);
        }
        drop(self.wait_while(|state| !state.arriving.is_empty()));
    }

    /// Lets go of a relay when the last of its threads ends.
    fn forget(&self, id: u64) {
        let mut state = self.lock();
        if let Some(entry) = state.relays.get(&id)
            && Arc::strong_count(&entry.relay) == 1
            && let Some(entry) = state.relays.remove(&id)
        {
            state.bury(&entry.relay);
        }
    }

    /// Sets what happens to the bytes of a direction of these relays.
    pub(super) fn set_fault(&self, relays: Relays, direction: Direction, fault: Fault) {
        let mut state = self.lock();
        if !matches!(relays, Relays::One(_)) {
            state.faults[direction.index()] = fault;
        }
        let chosen: Vec<_> = state
            .relays
            .iter()
            .filter(|(id, _)| relays == Relays::All || relays == Relays::One(**id))
            .map(|(id, entry)| (*id, Arc::clone(&entry.relay)))
            .collect();
        // Under the lock, so that no relay is made in between that knows nothing of it.
        for (id, relay) in &chosen {
            relay.set(direction, *id, fault);
        }
        drop(state);
        for (id, relay) in chosen {
            drop(relay);
            self.forget(id);
        }
    }

    /// Sets what happens to the bytes of the connections to a peer, in both directions; `None` ends
    /// that for those to come.
    pub(super) fn set_peer_fault(&self, peer: usize, fault: Option<Fault>) {
        let mut state = self.lock();
        match fault {
            Some(fault) => state.peer_faults.insert(peer, fault),
            None => state.peer_faults.remove(&peer),
        };
        // Under the lock, as above.
        for (id, entry) in state.relays.iter().filter(|(_, entry)| entry.peer == peer) {
            for way in Direction::BOTH {
                entry.relay.set(way, *id, fault.unwrap_or_default());
            }
        }
    }

    /// Counts the bytes that passed in a direction, on all connections.
    pub(super) fn passed(&self, direction: Direction) -> u64 {
        let state = self.lock();
        let live = state.relays.values().map(|entry| entry.relay.total(direction));
        state.passed[direction.index()] + live.sum::<u64>()
    }

    /// Counts the bytes that disappeared in a direction, on all connections.
    pub(super) fn swallowed(&self, direction: Direction) -> u64 {
        let state = self.lock();
        let live = state.relays.values().map(|entry| entry.relay.swallowed(direction));
        state.swallowed[direction.index()] + live.sum::<u64>()
    }

    /// Returns the ids of the connections that lose bytes, or would.
    pub(super) fn silent(&self) -> Vec<u64> {
        let state = self.lock();
        let silent = state.relays.iter().filter(|(_, entry)| entry.relay.is_silent());
        silent.map(|(id, _)| *id).collect()
    }

    /// Ends all relays, those that are only being made included.
    pub(super) fn end_all(&self, end: Cut) {
        let mut state = self.lock();
        state.endings = (state.endings.0 + 1, Some(end));
        drop(state);
        self.end_relays(end, |_, _| true);
    }

    /// Ends certain relays, by number and peer, and waits for their threads.
    pub(super) fn end_relays(&self, end: Cut, wanted: impl Fn(u64, usize) -> bool) {
        let mut state = self.lock();
        let relays = std::mem::take(&mut state.relays);
        let (ending, staying) = relays.into_iter().partition(|(id, e)| wanted(*id, e.peer));
        state.relays = staying;
        drop(state);
        let ending: BTreeMap<u64, Entry> = ending;
        for entry in ending.values() {
            entry.relay.end(end);
        }
        for entry in ending.into_values() {
            for pump in entry.pumps {
                let _ = pump.join();
            }
            self.lock().bury(&entry.relay);
        }
    }
}

/// Resets a connection that is not relayed.
fn turn_away(mut state: MutexGuard<'_, State>, near: &TcpStream) {
    state.rejected += 1;
    // With no time to linger the drop of the socket is a reset.
    let _ = socket2::SockRef::from(near).set_linger(Some(Duration::ZERO));
}

impl State {
    /// Keeps the counts of a relay that is gone.
    fn bury(&mut self, relay: &Relay) {
        for way in Direction::BOTH {
            self.passed[way.index()] += relay.total(way);
            self.swallowed[way.index()] += relay.swallowed(way);
        }
    }
}
