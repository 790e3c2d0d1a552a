//! A port that answers no SYN.

use crate::{Error, Result};
use socket2::{Domain, SockAddr, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The longest that the kernel may take to accept a connection on this machine.
const PROMPT: Duration = Duration::from_millis(200);
/// A number of connections that no queue holds that was asked to be the shortest one.
const MOST: usize = 64;

/// A port with a full accept queue: the kernel drops every further SYN, as a firewall does (N11).
///
/// A connect is answered by nothing, not even a refusal. Its drop frees the port.
#[derive(Debug)]
pub struct BlackHole {
    addr: SocketAddr,
    /// Connections that fill the queue; nobody accepts them.
    _queued: Vec<TcpStream>,
    _listener: Socket,
}

impl BlackHole {
    /// Makes one on a free port.
    ///
    /// # Errors
    ///
    /// Fails when there is no free port, and on systems whose queues do not fill up.
    pub fn new() -> Result<Self> {
        Self::on((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Makes one on this port, which must be free.
    pub(crate) fn on(addr: SocketAddr) -> Result<Self> {
        let listen = || {
            let listener = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
            listener.set_reuse_address(true)?;
            listener.bind(&SockAddr::from(addr))?;
            listener.listen(0)?;
            let addr = listener.local_addr()?.as_socket();
            Ok((listener, addr.ok_or(std::io::ErrorKind::AddrNotAvailable)?))
        };
        let (listener, addr) =
            listen().map_err(Error::doing::<std::io::Error>("cannot make a black hole"))?;
        let mut queued = Vec::new();
        while queued.len() < MOST {
            match TcpStream::connect_timeout(&addr, PROMPT) {
                Ok(stream) => queued.push(stream),
                Err(_) => return Ok(Self { addr, _queued: queued, _listener: listener }),
            }
        }
        Err(Error::new("the queue of a listener does not fill up on this system"))
    }

    /// Returns its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns its address as an endpoint of a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}
