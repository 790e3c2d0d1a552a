//! The network between the members of a cluster.
//!
//! ```text
//!   member 0 --SOCKS--> proxy of member 0 ---> member 1, member 2
//!   member 1 --SOCKS--> proxy of member 1 ---> member 0, member 2
//! ```
//!
//! All members advertise addresses that nobody can connect to, and each reaches the others through
//! a proxy of its own, which `HTTP_PROXY` names to it alone. So a proxy knows which member connects
//! because nobody else knows the proxy, and which one is meant because the request says so; nothing
//! has to be asked about sockets.

use crate::bridge::{Bridge, Route, Router};
use crate::fault::{Direction, Fault, Relays};
use crate::{Error, Result, socks};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The network of the advertised addresses. It is for documentation of multicast (RFC 5771), so no
/// TCP connection to it can be made: a member that does not use its proxy fails at once. Go's
/// programs do not use a proxy for loopback addresses.
const NETWORK: [u8; 3] = [233, 252, 0];
/// The advertised port, which etcd's own defaults have, too.
const PORT: u16 = 2380;

/// The network of a cluster whose members are behind proxies.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    map: Arc<Map>,
    proxies: Mutex<Vec<Bridge>>,
}

/// Where members listen, and which of them may not talk to each other.
#[derive(Debug, Default)]
struct Map {
    listening: Mutex<Vec<SocketAddr>>,
    cut: Mutex<BTreeSet<(usize, usize)>>,
}

/// The rule that leads the connections of one member to the others.
struct Outward {
    map: Arc<Map>,
    member: usize,
}

impl Peers {
    /// Returns the address that a member advertises.
    ///
    /// # Errors
    ///
    /// Fails for more members than the network has addresses.
    pub(crate) fn advertised(member: usize) -> Result<SocketAddr> {
        let host = u8::try_from(member + 1).map_err(|_| Error::new("too many members"))?;
        let [a, b, c] = NETWORK;
        Ok(SocketAddr::from(([a, b, c, host], PORT)))
    }

    /// Adds the next member, which listens at `listen`, and starts its proxy.
    pub(crate) fn add(&self, listen: SocketAddr) -> Result<()> {
        let mut proxies = lock(&self.proxies);
        let router = Outward { map: Arc::clone(&self.map), member: proxies.len() };
        proxies.push(Bridge::routed(Box::new(router))?);
        lock(&self.map.listening).push(listen);
        Ok(())
    }

    /// Returns the value of `HTTP_PROXY` for a member.
    pub(crate) fn proxy_of(&self, member: usize) -> Option<String> {
        lock(&self.proxies).get(member).map(|proxy| format!("socks5://{}", proxy.addr()))
    }

    /// Ends the connections between two members and allows no new ones.
    pub(crate) fn cut(&self, a: usize, b: usize) {
        lock(&self.map.cut).insert(pair(a, b));
        let proxies = lock(&self.proxies);
        for (from, to) in [(a, b), (b, a)] {
            if let Some(proxy) = proxies.get(from) {
                proxy.reset_to(to);
            }
        }
    }

    /// Sets what happens to the bytes of all connections of a member with the others.
    pub(crate) fn set_fault(&self, member: usize, fault: Fault) {
        for (from, proxy) in lock(&self.proxies).iter().enumerate() {
            if from == member {
                proxy.set_fault(Relays::All, Direction::BOTH, fault);
            } else {
                proxy.set_peer_fault(member, Some(fault));
            }
        }
    }

    /// Allows all connections again, without faults; the members make them by themselves, also in
    /// place of those that have lost bytes.
    pub(crate) fn heal(&self) {
        lock(&self.map.cut).clear();
        let proxies = lock(&self.proxies);
        for proxy in proxies.iter() {
            (0..proxies.len()).for_each(|peer| proxy.set_peer_fault(peer, None));
            proxy.heal();
        }
    }
}

impl Router for Outward {
    fn route(&self, near: &TcpStream) -> Option<Route> {
        let peer = member_at(socks::request(near).ok()?)?;
        let target = lock(&self.map.listening).get(peer).copied()?;
        Some(Route { target, peer })
    }

    fn allows(&self, peer: usize) -> bool {
        !lock(&self.map.cut).contains(&pair(self.member, peer))
    }

    fn welcome(&self, near: &TcpStream) -> std::io::Result<()> {
        socks::grant(near)
    }
}

/// Finds the member that advertises an address.
fn member_at(addr: SocketAddr) -> Option<usize> {
    let IpAddr::V4(ip) = addr.ip() else { return None };
    let [a, b, c, host] = ip.octets();
    let is_ours = [a, b, c] == NETWORK && addr.port() == PORT;
    usize::from(host).checked_sub(1).filter(|_| is_ours)
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    /// Members 0 and 1, of which the second is played by the test.
    fn two() -> (Peers, TcpListener) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let peers = Peers::default();
        // Nobody connects to the first member.
        peers.add(addr).expect("a proxy");
        peers.add(addr).expect("a proxy");
        (peers, listener)
    }

    /// Connects to the proxy of a member as Go does.
    fn dial(peers: &Peers, from: usize) -> TcpStream {
        let proxy = peers.proxy_of(from).expect("a proxy");
        let addr = proxy.strip_prefix("socks5://").expect("a proxy of SOCKS");
        let near = TcpStream::connect(addr).expect("a connection");
        near.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        near
    }

    fn asks_for(mut near: &TcpStream, to: SocketAddr) -> std::io::Result<()> {
        let IpAddr::V4(ip) = to.ip() else { panic!("{to}") };
        near.write_all(&[5, 1, 0])?;
        near.read_exact(&mut [0; 2])?;
        near.write_all(&[&[5, 1, 0, 1][..], &ip.octets(), &to.port().to_be_bytes()].concat())?;
        let mut reply = [0; 10];
        near.read_exact(&mut reply)?;
        assert_eq!(reply[..2], [5, 0]);
        Ok(())
    }

    #[test]
    fn a_connection_that_says_nothing_holds_up_no_other() {
        let (peers, listener) = two();
        let silent: Vec<TcpStream> = (0..20).map(|_| dial(&peers, 0)).collect();
        let mut half = dial(&peers, 0);
        half.write_all(&[5]).expect("written");
        let near = dial(&peers, 0);
        asks_for(&near, Peers::advertised(1).expect("an address")).expect("relayed");
        let (mut far, _) = listener.accept().expect("a connection");
        (&near).write_all(b"word").expect("written");
        let mut word = [0; 4];
        far.read_exact(&mut word).expect("read");
        assert_eq!(&word, b"word");
        // It must not wait for those that are silent either.
        drop(peers);
        drop(silent);
    }

    #[test]
    fn two_members_that_are_cut_off_are_reset_until_they_heal() {
        let (peers, listener) = two();
        let to = Peers::advertised(1).expect("an address");
        let mut before = dial(&peers, 0);
        asks_for(&before, to).expect("relayed");
        let _far = listener.accept().expect("a connection");
        peers.cut(1, 0);
        assert!(before.read(&mut [0]).is_err(), "reset");
        assert!(asks_for(&dial(&peers, 0), to).is_err(), "reset");
        peers.heal();
        asks_for(&dial(&peers, 0), to).expect("relayed again");
    }

    #[test]
    fn a_fault_is_met_on_the_way_to_a_member_and_from_it_until_it_is_healed() {
        let (peers, listener) = two();
        let to = Peers::advertised(1).expect("an address");
        let reaches = |from: usize, silence: Option<usize>| {
            let near = dial(&peers, from);
            asks_for(&near, Peers::advertised(1 - from).expect("an address")).expect("relayed");
            let (far, _) = listener.accept().expect("a connection");
            if let Some(member) = silence {
                peers.set_fault(member, Fault::new().silence());
            }
            (&near).write_all(b"x").expect("written");
            far.set_read_timeout(Some(Duration::from_millis(100))).expect("a limit");
            let arrives = (&far).read(&mut [0]).is_ok();
            peers.heal();
            arrives
        };
        assert!(reaches(0, None), "{to}");
        assert!(!reaches(0, Some(0)), "what it sends");
        assert!(!reaches(0, Some(1)), "what is sent to it");
        assert!(reaches(0, None), "healed");
        assert!(reaches(1, None), "healed");
    }

    #[test]
    fn only_addresses_of_members_are_reached() {
        let (peers, listener) = two();
        let real = listener.local_addr().expect("an address");
        for stranger in [real, Peers::advertised(2).expect("an address")] {
            assert!(asks_for(&dial(&peers, 0), stranger).is_err(), "{stranger}");
        }
        assert_eq!(member_at(Peers::advertised(7).expect("an address")), Some(7));
        assert!(Peers::advertised(255).is_err());
        assert!(TcpStream::connect(Peers::advertised(0).expect("an address")).is_err());
    }
}
