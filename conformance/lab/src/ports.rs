//! Ports that nobody else is given for a while.

use crate::{Error, Result};
use socket2::{Domain, Socket, Type};
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Loopback ports for programs that must be told their port before they start.
///
/// Each port was chosen by the kernel, and a connection of the lab's own rests on it in the state
/// `TIME_WAIT`: for about a minute the kernel gives such a port to nobody who asks for any port,
/// while a program that asks for just this one, as etcd does, gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(Vec<u16>);

impl Ports {
    /// Reserves `count` ports, all different.
    ///
    /// # Errors
    ///
    /// Fails when the loopback interface has no free port left.
    pub fn reserve(count: usize) -> Result<Self> {
        (0..count).map(|_| hold(0).map_err(Error::doing("no free port"))).collect()
    }

    /// Takes a port out.
    ///
    /// # Errors
    ///
    /// Fails when all of them have been taken.
    pub fn take(&mut self) -> Result<SocketAddr> {
        let port = self.0.pop().ok_or_else(|| Error::new("all reserved ports are taken"))?;
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }
}

impl FromIterator<u16> for Ports {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        Self(ports.into_iter().collect())
    }
}

/// Keeps a port from others for a while, or any port when it is 0; nobody listens on it meanwhile.
///
/// It works too on the port of a program that has just ended and is to start again.
pub(crate) fn hold(port: u16) -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let near = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Without it the program itself would not get the port either.
    near.set_reuse_address(true)?;
    near.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    near.connect(&listener.local_addr()?.into())?;
    let (mut far, addr) = listener.accept()?;
    // The side that closes first is the one that stays in TIME_WAIT: the side with our port.
    drop(near);
    far.read_to_end(&mut Vec::new())?;
    Ok(addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_and_can_be_listened_on() {
        let mut ports = Ports::reserve(20).expect("20 ports");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..20 {
            let addr = ports.take().expect("one of 20");
            assert!(seen.insert(addr.port()), "{addr} twice");
            TcpListener::bind(addr).expect("a reserved port is free");
        }
        assert!(ports.take().is_err());
    }

    #[test]
    fn the_port_of_a_program_that_has_ended_is_held_for_it() {
        let program = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("any port");
        let addr = program.local_addr().expect("an address");
        assert!(hold(addr.port()).is_err(), "it is in use");
        drop(program);
        assert_eq!(hold(addr.port()).expect("held"), addr.port());
        assert!(std::net::TcpStream::connect(addr).is_err(), "nobody listens");
        TcpListener::bind(addr).expect("the program gets it");
    }

    #[test]
    fn nobody_who_asks_for_any_port_gets_a_reserved_one() {
        let Ports(reserved) = Ports::reserve(100).expect("100 ports");
        for _ in 0..2000 {
            let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("any port");
            let port = other.local_addr().expect("an address").port();
            assert!(!reserved.contains(&port), "{port} was reserved");
        }
    }
}
