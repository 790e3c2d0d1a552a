//! The server's half of a SOCKS 5 handshake (RFC 1928): connections to IPv4 addresses, without
//! authentication.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The longest wait for each part of a request.
const LIMIT: Duration = Duration::from_secs(10);

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const GRANTED: u8 = 0;

/// Reads where a client wants to be connected to.
pub(crate) fn request(mut stream: &TcpStream) -> std::io::Result<SocketAddr> {
    stream.set_read_timeout(Some(LIMIT))?;
    let [version, methods] = read(stream)?;
    let mut offered = vec![0; usize::from(methods)];
    stream.read_exact(&mut offered)?;
    if version != VERSION || !offered.contains(&NO_AUTHENTICATION) {
        return Err(ErrorKind::Unsupported.into());
    }
    stream.write_all(&[VERSION, NO_AUTHENTICATION])?;
    let head: [u8; 4] = read(stream)?;
    if head != [VERSION, CONNECT, 0, IPV4] {
        return Err(Error::from(ErrorKind::Unsupported));
    }
    let (ip, port): ([u8; 4], [u8; 2]) = (read(stream)?, read(stream)?);
    stream.set_read_timeout(None)?;
    Ok((Ipv4Addr::from(ip), u16::from_be_bytes(port)).into())
}

/// Tells a client that it is connected.
pub(crate) fn grant(mut stream: &TcpStream) -> std::io::Result<()> {
    // The address from which the connection was made tells nobody anything.
    stream.write_all(&[VERSION, GRANTED, 0, IPV4, 0, 0, 0, 0, 0, 0])
}

fn read<const N: usize>(mut stream: &TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
