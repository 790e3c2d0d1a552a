//! A TCP proxy that misbehaves on command.
//!
//! ```text
//!           pause_accept            refuse
//!   Open ------------------> Paused ------> Refusing
//!    ^  \________________________refuse________^ |
//!    |__________________resume_accept____________|      drop: any ---> Closed
//! ```
//!
//! [`Bridge::ignore`] leads to `Ignoring` as `refuse` does to `Refusing`.

mod acceptor;

use crate::fault::{Cut, Direction, Fault, Relays};
use crate::{Error, Result, until};
use acceptor::{AcceptMode, Acceptor, CONNECT_LIMIT, OneTarget, PortState};
pub(crate) use acceptor::{Route, Router};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A TCP proxy in front of a server, for making a connection fail in a chosen way.
///
/// It listens on a free loopback port. When the target refuses a connection, the side that
/// connected to the bridge sees its connection accepted and then reset. All threads end with the
/// bridge.
#[derive(Debug)]
pub struct Bridge {
    addr: SocketAddr,
    acceptor: Arc<Acceptor>,
    accepting: Option<JoinHandle<()>>,
}

/// The numbers of connections of a [`Bridge`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// The number of those that were relayed to the target since the start.
    pub accepted: u64,
    /// The number of those that are open now.
    pub live: usize,
    /// The number of those that were turned away: they did not say where to, their target is cut
    /// off, or it refused them.
    pub rejected: u64,
}

impl Bridge {
    /// Starts a proxy in front of `target`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// Fails when there is no free port.
    pub fn new(target: SocketAddr) -> Result<Self> {
        Self::routed(Box::new(OneTarget(target)))
    }

    /// Starts a proxy that leads each connection where the router says.
    pub(crate) fn routed(router: Box<dyn Router>) -> Result<Self> {
        let failed = "cannot start a bridge";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::doing(failed))?;
        let addr = listener.local_addr().map_err(Error::doing(failed))?;
        let acceptor = Arc::new(Acceptor::new(router));
        let thread = Arc::clone(&acceptor);
        let accepting = std::thread::spawn(move || thread.accept_all(listener, addr));
        Ok(Self { addr, acceptor, accepting: Some(accepting) })
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
        let state = self.acceptor.lock();
        Connections { accepted: state.accepted, live: state.relays.len(), rejected: state.rejected }
    }

    /// Closes all connections, also one whose way to the target is only being made; both sides
    /// read the end of the stream.
    pub fn drop_all(&self) {
        self.acceptor.end_all(Cut::Close);
    }

    /// Resets all connections, also one whose way to the target is only being made; both sides get
    /// an error.
    pub fn reset_all(&self) {
        self.acceptor.end_all(Cut::Reset);
    }

    /// Leaves new connections waiting: they are established, but nobody answers on them until
    /// [`Bridge::resume_accept`].
    pub fn pause_accept(&self) {
        self.acceptor.set_mode(AcceptMode::Paused);
    }

    /// Closes the listening socket, so that new connections are refused by the kernel, until
    /// [`Bridge::resume_accept`]. Relayed connections go on; those that a pause held are lost.
    pub fn refuse(&self) {
        self.acceptor.set_mode(AcceptMode::Refusing);
        self.wake();
        drop(self.acceptor.wait_while(|state| state.port != PortState::Refuses));
    }

    /// Answers no SYN from now on, as a firewall does, until [`Bridge::resume_accept`]. Relayed
    /// connections go on; those that a pause held are lost.
    ///
    /// # Errors
    ///
    /// Fails when another program takes the port meanwhile, or as [`BlackHole::new`] does.
    ///
    /// [`BlackHole::new`]: crate::BlackHole::new
    pub fn ignore(&self) -> Result<()> {
        self.acceptor.set_mode(AcceptMode::Ignoring);
        self.wake();
        self.await_port(PortState::Ignores)
    }

    /// Ends a pause, a refusal or an ignorance. Connections that waited are relayed now.
    ///
    /// # Errors
    ///
    /// Fails when another program took the port during a refusal.
    pub fn resume_accept(&self) -> Result<()> {
        self.acceptor.set_mode(AcceptMode::Open);
        self.await_port(PortState::Listens)
    }

    /// Sets what happens to the bytes of these connections in these directions, in place of what
    /// happened to them before.
    ///
    /// Bytes that a fault made disappear are lost: a connection that lost some should be ended,
    /// which [`Bridge::heal`] does.
    pub fn set_fault(
        &self,
        relays: Relays,
        directions: impl IntoIterator<Item = Direction>,
        fault: Fault,
    ) {
        for direction in directions {
            self.acceptor.set_fault(relays, direction, fault);
        }
    }

    /// Lets bytes pass again, on all connections; those that have lost some are closed.
    pub fn heal(&self) {
        let silent = self.acceptor.silent();
        self.set_fault(Relays::All, Direction::BOTH, Fault::new());
        self.acceptor.end_relays(Cut::Close, |id, _| silent.contains(&id));
        // Those whose fault ended by itself, and those that came in between.
        let dead = self.acceptor.silent();
        self.acceptor.end_relays(Cut::Close, |id, _| dead.contains(&id));
    }

    /// Returns the numbers of the connections that are open now, the oldest first. Connections are
    /// numbered from 0 as they come, those included that are turned away.
    pub fn relays(&self) -> Vec<u64> {
        self.acceptor.lock().relays.keys().copied().collect()
    }

    /// Counts the bytes that have passed in a direction, on all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.acceptor.passed(direction)
    }

    /// Counts the bytes that have disappeared in a direction, on all connections: whether anybody
    /// has met a fault that swallows.
    pub fn swallowed(&self, direction: Direction) -> u64 {
        self.acceptor.swallowed(direction)
    }

    /// Makes all bytes disappear in both directions from now on, without a sign to either side.
    /// New connections are accepted and their bytes disappear too.
    pub fn blackhole(&self) {
        self.set_fault(Relays::All, Direction::BOTH, Fault::new().silence());
    }

    /// Ends a blackhole: bytes pass again, on new connections; those that exist have lost bytes
    /// and are closed.
    pub fn unblackhole(&self) {
        self.acceptor.end_all(Cut::Close);
        self.set_fault(Relays::All, Direction::BOTH, Fault::new());
        // Those that came in between may have lost bytes too.
        self.acceptor.end_all(Cut::Close);
    }

    /// Sets what happens to the bytes of the connections to a peer, in both directions.
    pub(crate) fn set_peer_fault(&self, peer: usize, fault: Option<Fault>) {
        self.acceptor.set_peer_fault(peer, fault);
    }

    /// Resets the connections to a peer.
    pub(crate) fn reset_to(&self, peer: usize) {
        self.acceptor.end_relays(Cut::Reset, |_, its| its == peer);
    }

    fn await_port(&self, state: PortState) -> Result<()> {
        until(CONNECT_LIMIT, "the port of a bridge to be free again", || {
            Ok((self.acceptor.lock().port == state).then_some(()))
        })
    }

    /// Makes a blocked accept return.
    fn wake(&self) {
        // Where nothing listens nothing is blocked either.
        if self.acceptor.lock().port != PortState::Listens {
            return;
        }
        let _ = TcpStream::connect_timeout(&self.addr, CONNECT_LIMIT);
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.acceptor.set_mode(AcceptMode::Closed);
        self.wake();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        self.acceptor.end_arriving();
        self.acceptor.end_relays(Cut::Close, |_, _| true);
    }
}
