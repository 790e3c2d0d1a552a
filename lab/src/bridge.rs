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

mod hall;

use crate::fault::{Direction, End, Fault, Links};
use crate::{Error, Result, until};
use hall::{CONNECT_LIMIT, Door, Duty, Hall, Straight};
pub(crate) use hall::{Guide, Way};
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
    hall: Arc<Hall>,
    acceptor: Option<JoinHandle<()>>,
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
        Self::guided(Box::new(Straight(target)))
    }

    /// Starts a proxy that leads each connection where the guide says.
    pub(crate) fn guided(guide: Box<dyn Guide>) -> Result<Self> {
        let failed = "cannot start a bridge";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::doing(failed))?;
        let addr = listener.local_addr().map_err(Error::doing(failed))?;
        let hall = Arc::new(Hall::new(guide));
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
        drop(self.hall.wait_while(|state| state.duty != Duty::Refuses));
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
        self.hall.set_door(Door::Ignoring);
        self.wake();
        self.await_duty(Duty::Ignores)
    }

    /// Ends a pause, a refusal or an ignorance. Connections that waited are relayed now.
    ///
    /// # Errors
    ///
    /// Fails when another program took the port during a refusal.
    pub fn resume_accept(&self) -> Result<()> {
        self.hall.set_door(Door::Open);
        self.await_duty(Duty::Listens)
    }

    /// Sets what happens to the bytes of these connections in these directions, in place of what
    /// happened to them before.
    ///
    /// Bytes that a fault made disappear are lost: a connection that lost some should be ended,
    /// which [`Bridge::heal`] does.
    pub fn set_fault(
        &self,
        links: Links,
        directions: impl IntoIterator<Item = Direction>,
        fault: Fault,
    ) {
        for direction in directions {
            self.hall.set_fault(links, direction, fault);
        }
    }

    /// Lets bytes pass again, on all connections; those that have lost some are closed.
    pub fn heal(&self) {
        let silent = self.hall.silent();
        self.set_fault(Links::All, Direction::BOTH, Fault::new());
        self.hall.end_links(End::Close, |id, _| silent.contains(&id));
        // Those whose fault ended by itself, and those that came in between.
        let dead = self.hall.silent();
        self.hall.end_links(End::Close, |id, _| dead.contains(&id));
    }

    /// Returns the numbers of the connections that are open now, the oldest first. Connections are
    /// numbered from 0 as they come, those included that are turned away.
    pub fn links(&self) -> Vec<u64> {
        self.hall.lock().links.keys().copied().collect()
    }

    /// Counts the bytes that have passed in a direction, on all connections.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.hall.passed(direction)
    }

    /// Counts the bytes that have disappeared in a direction, on all connections: whether anybody
    /// has met a fault that swallows.
    pub fn swallowed(&self, direction: Direction) -> u64 {
        self.hall.swallowed(direction)
    }

    /// Makes all bytes disappear in both directions from now on, without a sign to either side.
    /// New connections are accepted and their bytes disappear too.
    pub fn blackhole(&self) {
        self.set_fault(Links::All, Direction::BOTH, Fault::new().silence());
    }

    /// Ends a blackhole: bytes pass again, on new connections; those that exist have lost bytes
    /// and are closed.
    pub fn unblackhole(&self) {
        self.hall.end_all(End::Close);
        self.set_fault(Links::All, Direction::BOTH, Fault::new());
        // Those that came in between may have lost bytes too.
        self.hall.end_all(End::Close);
    }

    /// Resets the connections to a peer.
    pub(crate) fn reset_to(&self, peer: usize) {
        self.hall.end_links(End::Reset, |_, its| its == peer);
    }

    fn await_duty(&self, duty: Duty) -> Result<()> {
        until(CONNECT_LIMIT, "the port of a bridge to be free again", || {
            Ok((self.hall.lock().duty == duty).then_some(()))
        })
    }

    /// Makes a blocked accept return.
    fn wake(&self) {
        // Where nothing listens nothing is blocked either.
        if self.hall.lock().duty != Duty::Listens {
            return;
        }
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
        self.hall.end_arriving();
        self.hall.end_links(End::Close, |_, _| true);
    }
}
