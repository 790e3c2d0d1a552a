//! A TCP proxy that misbehaves on command.
//!
//! ```text
//!           pause_accept            refuse
//!   Open ------------------> Paused ------> Refusing
//!    ^  \________________________refuse________^ |
//!    |__________________resume_accept____________|      drop: any ---> Closed
//! ```

use crate::relay::{Direction, End, Faults, Link};
use crate::{Error, Result, until};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bounds the proxy's own connects, which all go to this machine.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Is the pause before the proxy tries again what the machine has just refused.
const RETRY: Duration = Duration::from_millis(5);

/// Is a TCP proxy in front of a server, for making a connection fail in a chosen way.
///
/// It listens on a free loopback port. When the target refuses a connection, the side that
/// connected to the bridge sees its connection accepted and then reset. All threads end with the
/// bridge.
#[derive(Debug)]
pub struct Bridge {
    addr: SocketAddr,
    hall: Arc<Hall>,
    acceptor: Option<JoinHandle<()>>,
}

/// Counts the connections of a [`Bridge`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// Counts those that were relayed to the target since the start.
    pub accepted: u64,
    /// Counts those that are open now.
    pub live: usize,
    /// Counts those that were turned away: nobody knew their source, they came from a source that
    /// is cut off, or the target refused them.
    pub rejected: u64,
}

/// Decides about each incoming connection by the source it comes from.
pub(crate) trait Admission: Send + Sync {
    /// Attributes a connection that came from `near`; `None` turns it away.
    fn source(&self, near: SocketAddr) -> Option<usize>;
    /// Tells whether connections from that source may exist.
    fn allows(&self, source: usize) -> bool;
}

/// Lets everybody in.
struct Everybody;

impl Admission for Everybody {
    fn source(&self, _near: SocketAddr) -> Option<usize> {
        Some(0)
    }

    fn allows(&self, _source: usize) -> bool {
        true
    }
}

impl Bridge {
    /// Starts a proxy in front of `target`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Fails when there is no free port.
    pub fn new(target: SocketAddr) -> Result<Self> {
        Self::on((Ipv4Addr::LOCALHOST, 0).into(), target, Box::new(Everybody))
    }

    /// Starts a proxy on a port that was reserved for it.
    pub(crate) fn on(
        addr: SocketAddr,
        target: SocketAddr,
        admission: Box<dyn Admission>,
    ) -> Result<Self> {
        let listener = TcpListener::bind(addr).map_err(Error::doing("cannot start a bridge"))?;
        let addr = listener.local_addr().map_err(Error::doing("cannot start a bridge"))?;
        let hall = Arc::new(Hall {
            target,
            admission,
            faults: Arc::default(),
            state: Mutex::new(State { door: Door::Open, listening: true, ..State::default() }),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&hall);
        let acceptor = std::thread::spawn(move || thread.accept_all(listener, addr));
        Ok(Self { addr, hall, acceptor: Some(acceptor) })
    }

    /// Returns the address to connect to instead of the target's.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the bridge's address as an endpoint of a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Counts connections.
    pub fn connections(&self) -> Connections {
        let state = self.hall.lock();
        Connections { accepted: state.accepted, live: state.links.len(), rejected: state.rejected }
    }

    /// Closes all connections, also one whose way to the target is only being made; both sides
    /// read the end of the stream.
    pub fn drop_all(&self) {
        self.hall.end_all(End::Close);
    }

    /// Resets all connections, also one whose way to the target is only being made; both sides get
    /// an error.
    pub fn reset_all(&self) {
        self.hall.end_all(End::Reset);
    }

    /// Leaves new connections waiting: they are established, but nobody answers on them until
    /// [`Bridge::resume_accept`].
    pub fn pause_accept(&self) {
        self.hall.set_door(Door::Paused);
    }

    /// Closes the listening socket, so that new connections are refused by the kernel, until
    /// [`Bridge::resume_accept`]. Relayed connections go on; those that a pause held are lost.
    pub fn refuse(&self) {
        self.hall.set_door(Door::Refusing);
        self.wake();
        drop(self.hall.wait_while(|state| state.listening));
    }

    /// Ends a pause or a refusal. Connections that waited are relayed now.
    ///
    /// # Errors
    ///
    /// Fails when another program took the port during a refusal.
    pub fn resume_accept(&self) -> Result<()> {
        self.hall.set_door(Door::Open);
        until(CONNECT_LIMIT, "the port of a bridge to be free again", || {
            Ok(self.hall.lock().listening.then_some(()))
        })
    }

    /// Makes all bytes disappear in both directions from now on, without a sign to either side.
    /// New connections are accepted and their bytes disappear too.
    pub fn blackhole(&self) {
        self.hall.faults.set_swallow(true);
    }

    /// Ends a blackhole: bytes pass again, on new connections; those that exist have lost bytes
    /// and are closed.
    pub fn unblackhole(&self) {
        self.hall.end_all(End::Close);
        self.hall.faults.set_swallow(false);
        // Those that came in between may have lost bytes too.
        self.hall.end_all(End::Close);
    }

    /// Resets the connections that came from a source.
    pub(crate) fn reset_from(&self, wanted: impl Fn(usize) -> bool) {
        self.hall.end_links(End::Reset, wanted);
    }

    /// Makes a blocked accept return.
    fn wake(&self) {
        // It fails when nothing listens, and then nothing is blocked either.
        let _ = TcpStream::connect_timeout(&self.addr, CONNECT_LIMIT);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.hall.set_door(Door::Closed);
        self.wake();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.hall.end_links(End::Close, |_| true);
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Door {
    #[default]
    Open,
    Paused,
    Refusing,
    Closed,
}

/// Is what the threads of a bridge share.
struct Hall {
    target: SocketAddr,
    admission: Box<dyn Admission>,
    faults: Arc<Faults>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    door: Door,
    listening: bool,
    links: BTreeMap<u64, Entry>,
    accepted: u64,
    rejected: u64,
    /// Counts the calls that ended all connections, and tells how the last one did.
    endings: (u64, Option<End>),
}

#[derive(Debug)]
struct Entry {
    source: usize,
    link: Arc<Link>,
    pumps: [JoinHandle<()>; 2],
}

impl fmt::Debug for Hall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hall").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Hall {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_door(&self, door: Door) {
        self.lock().door = door;
        self.changed.notify_all();
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.changed
            .wait_while(state, |state| condition(state))
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts connections until the bridge closes.
    fn accept_all(self: Arc<Self>, listener: TcpListener, addr: SocketAddr) {
        let mut listener = Some(listener);
        loop {
            let door = self.lock().door;
            match (door, &listener) {
                (Door::Closed, _) => return,
                (Door::Open | Door::Paused, Some(open)) => {
                    match open.accept() {
                        Ok((stream, near)) => self.receive(stream, near),
                        // No file numbers left, or a connection that was gone at once.
                        Err(_) => std::thread::sleep(RETRY),
                    }
                }
                (Door::Open | Door::Paused, None) => {
                    listener = TcpListener::bind(addr).ok();
                    if listener.is_none() {
                        std::thread::sleep(RETRY);
                    }
                }
                (Door::Refusing, _) => listener = None,
            }
            self.lock().listening = listener.is_some();
            self.changed.notify_all();
            if listener.is_none() {
                drop(self.wait_while(|state| state.door == Door::Refusing));
            }
        }
    }

    /// Holds a connection while the door is paused, and relays it if it is open then.
    fn receive(self: &Arc<Self>, near: TcpStream, from: SocketAddr) {
        let state = self.wait_while(|state| state.door == Door::Paused);
        let (door, endings) = (state.door, state.endings.0);
        drop(state);
        if door != Door::Open {
            return;
        }
        let Some(source) = self.admission.source(from).filter(|&from| self.admission.allows(from))
        else {
            return self.reject(&near);
        };
        let Ok(far) = TcpStream::connect_timeout(&self.target, CONNECT_LIMIT) else {
            return self.reject(&near);
        };
        let link = Arc::new(Link::new(near, far, Arc::clone(&self.faults)));
        let mut state = self.lock();
        // Asked again under the lock: whoever cuts a source off ends its links under it too.
        if !self.admission.allows(source) {
            state.rejected += 1;
            return link.end(End::Reset);
        }
        let id = state.accepted;
        state.accepted += 1;
        if let (count, Some(end)) = state.endings
            && count != endings
        {
            return link.end(end);
        }
        let pumps = [Direction::Up, Direction::Down].map(|way| {
            let (hall, link) = (Arc::clone(self), Arc::clone(&link));
            std::thread::spawn(move || {
                link.pump(way);
                drop(link);
                hall.forget(id);
            })
        });
        state.links.insert(id, Entry { source, link, pumps });
    }

    fn reject(&self, near: &TcpStream) {
        self.lock().rejected += 1;
        // With no time to linger the drop of the socket is a reset.
        let _ = socket2::SockRef::from(near).set_linger(Some(Duration::ZERO));
    }

    /// Lets go of a link when the last of its threads ends.
    fn forget(&self, id: u64) {
        let mut state = self.lock();
        if let Some(entry) = state.links.get(&id)
            && Arc::strong_count(&entry.link) == 1
        {
            state.links.remove(&id);
        }
    }

    /// Ends all links, those that are only being made included.
    fn end_all(&self, end: End) {
        let mut state = self.lock();
        state.endings = (state.endings.0 + 1, Some(end));
        drop(state);
        self.end_links(end, |_| true);
    }

    /// Ends the links from certain sources and waits for their threads.
    fn end_links(&self, end: End, wanted: impl Fn(usize) -> bool) {
        let mut state = self.lock();
        let links = std::mem::take(&mut state.links);
        let (ending, staying) = links.into_iter().partition(|(_, entry)| wanted(entry.source));
        state.links = staying;
        drop(state);
        let ending: BTreeMap<u64, Entry> = ending;
        for entry in ending.values() {
            entry.link.end(end);
        }
        for entry in ending.into_values() {
            drop(entry.link);
            for pump in entry.pumps {
                let _ = pump.join();
            }
        }
    }
}
