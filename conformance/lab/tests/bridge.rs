//! The faults of a bridge, each seen from both sides.

use etcd3_lab::{Bridge, Connections, Result, until};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// A time in which everything happens that happens at all on this machine.
const LIMIT: Duration = Duration::from_secs(10);
/// The time for which a test listens to silence.
const SILENCE: Duration = Duration::from_millis(100);

/// A server that the test plays itself.
struct Target(TcpListener);

impl Target {
    fn new() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).expect("a port"))
    }

    fn bridge(&self) -> Bridge {
        Bridge::new(self.0.local_addr().expect("an address")).expect("a bridge")
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.0.accept().expect("a connection");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream
    }

    fn pair(&self, bridge: &Bridge) -> (TcpStream, TcpStream) {
        let client = connect(bridge.addr()).expect("a connection");
        (client, self.accept())
    }
}

fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) {
    let mut word = [0; 4];
    from.write_all(b"word").expect("written");
    to.read_exact(&mut word).expect("read");
    assert_eq!(&word, b"word");
}

fn is_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).expect("a limit");
    let error = stream.read(&mut [0]).expect_err("nothing to read");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
}

fn settles(bridge: &Bridge, expected: Connections) -> Result<()> {
    until(LIMIT, &format!("{expected:?}"), || Ok((bridge.connections() == expected).then_some(())))
}

#[test]
fn bytes_and_ends_of_streams_pass_both_ways() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, mut server) = target.pair(&bridge);
    passes(&mut client, &mut server);
    passes(&mut server, &mut client);
    client.shutdown(std::net::Shutdown::Write).expect("shut down");
    assert_eq!(server.read(&mut [0]).expect("an end"), 0);
    passes(&mut server, &mut client);
    drop(server);
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    let expected = Connections { accepted: 1, live: 0, rejected: 0 };
    assert_eq!(settles(&bridge, expected), Ok(()));
}

#[test]
fn more_bytes_than_any_buffer_pass_unchanged() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, mut server) = target.pair(&bridge);
    let sent: Vec<u8> = (0..16_000_000_u32).map(|i| i.to_le_bytes()[i as usize % 3]).collect();
    client.set_write_timeout(Some(SILENCE)).expect("a limit");
    // Nobody reads, until the bridge too is stuck in the middle of a write.
    let mut place = 0;
    while let Ok(n) = client.write(&sent[place..]) {
        place += n;
    }
    client.set_write_timeout(Some(LIMIT)).expect("a limit");
    std::thread::scope(|scope| {
        scope.spawn(|| client.write_all(&sent[place..]).expect("written"));
        let mut got = vec![0; sent.len()];
        server.read_exact(&mut got).expect("read");
        assert!(got == sent);
    });
}

#[test]
fn drop_all_ends_both_sides() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, mut server) = target.pair(&bridge);
    bridge.drop_all();
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    assert_eq!(server.read(&mut [0]).expect("an end"), 0);
    let expected = Connections { accepted: 1, live: 0, rejected: 0 };
    assert_eq!(settles(&bridge, expected), Ok(()));
    let (mut client, mut server) = target.pair(&bridge);
    passes(&mut client, &mut server);
}

#[test]
fn drop_all_ends_a_connection_that_is_only_being_made() {
    let target = Target::new();
    let bridge = target.bridge();
    for _ in 0..200 {
        // The target may see it before the bridge has written it down.
        let (mut client, mut server) = target.pair(&bridge);
        bridge.drop_all();
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        assert_eq!(server.read(&mut [0]).expect("an end"), 0);
    }
}

#[test]
fn reset_all_is_an_error_on_both_sides() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, mut server) = target.pair(&bridge);
    bridge.reset_all();
    for side in [&mut client, &mut server] {
        let error = side.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
}

#[test]
fn reset_all_also_frees_a_writer_that_nobody_reads() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, server) = target.pair(&bridge);
    client.set_write_timeout(Some(SILENCE)).expect("a limit");
    // Fills every buffer on the way.
    while client.write_all(&[0; 8192]).is_ok() {}
    bridge.reset_all();
    assert_eq!(bridge.connections(), Connections { accepted: 1, live: 0, rejected: 0 });
    drop(server);
}

#[test]
fn a_paused_connection_waits_and_is_served_later() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut before, mut its_server) = target.pair(&bridge);
    bridge.pause_accept();
    let mut client = connect(bridge.addr()).expect("the kernel accepts");
    client.write_all(b"word").expect("written");
    is_silent(&mut client);
    passes(&mut before, &mut its_server);
    assert_eq!(bridge.connections().accepted, 1);
    bridge.resume_accept().expect("resumed");
    let mut word = [0; 4];
    target.accept().read_exact(&mut word).expect("read");
    assert_eq!(&word, b"word");
}

#[test]
fn a_refusing_bridge_is_refused_by_the_kernel() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut before, mut its_server) = target.pair(&bridge);
    for _ in 0..3 {
        bridge.refuse();
        let error = connect(bridge.addr()).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        passes(&mut before, &mut its_server);
        bridge.resume_accept().expect("resumed");
        let (mut client, mut server) = target.pair(&bridge);
        passes(&mut client, &mut server);
    }
}

#[test]
fn a_blackhole_swallows_both_ways_and_its_end_closes() {
    let target = Target::new();
    let bridge = target.bridge();
    let (mut client, mut server) = target.pair(&bridge);
    bridge.blackhole();
    client.write_all(b"word").expect("written");
    server.write_all(b"word").expect("written");
    is_silent(&mut client);
    is_silent(&mut server);
    let (mut second, mut its_server) = target.pair(&bridge);
    second.write_all(b"word").expect("written");
    drop(second);
    is_silent(&mut its_server);
    bridge.unblackhole();
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    assert_eq!(server.read(&mut [0]).expect("an end"), 0);
    let (mut client, mut server) = target.pair(&bridge);
    passes(&mut client, &mut server);
}

#[test]
fn a_target_that_is_not_there_is_a_reset() {
    let target = Target::new();
    let bridge = target.bridge();
    drop(target);
    let mut client = connect(bridge.addr()).expect("the bridge accepts");
    assert!(client.read(&mut [0]).is_err());
    assert_eq!(bridge.connections(), Connections { accepted: 0, live: 0, rejected: 1 });
}

#[test]
fn drop_ends_every_connection_in_every_state() {
    for fault in [Bridge::pause_accept, Bridge::refuse, Bridge::blackhole] {
        let target = Target::new();
        let bridge = target.bridge();
        let (mut client, mut server) = target.pair(&bridge);
        fault(&bridge);
        let addr = bridge.addr();
        drop(bridge);
        assert_eq!(client.read(&mut [0]).expect("an end"), 0);
        assert_eq!(server.read(&mut [0]).expect("an end"), 0);
        assert!(connect(addr).is_err());
    }
}
