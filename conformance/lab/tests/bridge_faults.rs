//! What a bridge does to bytes, seen by one who talks to an echo behind it (N1 to N14).

use etcd3_lab::Direction::{Down, Up};
use etcd3_lab::{BlackHole, Bridge, Cut, Direction, Fault, Relays, until};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A time in which everything happens that happens at all on this machine.
const LIMIT: Duration = Duration::from_secs(10);
/// The time for which a test listens to silence.
const SILENCE: Duration = Duration::from_millis(100);

/// Starts a server that says whatever it is told; each connection has a thread of its own.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut &stream, &mut &stream);
                let _ = stream.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

fn bridge() -> Bridge {
    Bridge::new(echo()).expect("a bridge")
}

fn connect(bridge: &Bridge) -> TcpStream {
    let stream = TcpStream::connect(bridge.addr()).expect("a connection");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A connection that has been used.
fn used(bridge: &Bridge) -> TcpStream {
    let mut client = connect(bridge);
    answers(&mut client);
    client
}

fn answers(client: &mut TcpStream) {
    client.write_all(b"word").expect("written");
    let mut word = [0; 4];
    client.read_exact(&mut word).expect("an answer");
    assert_eq!(&word, b"word");
}

fn is_silent(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(SILENCE)).expect("a limit");
    let error = stream.read(&mut [0]).expect_err("nothing to read");
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
}

/// Returns what can be read until the connection ends, and how it ends.
fn rest(client: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = client.read_to_end(&mut bytes).err().map(|error| error.kind());
    (bytes, end)
}

// N1
#[test]
fn silence_in_both_directions_is_a_black_hole() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, Direction::BOTH, Fault::new().silence());
    client.write_all(b"word").expect("written");
    is_silent(&mut client);
    bridge.heal();
    assert_eq!(rest(&mut client), (vec![], None), "it has lost bytes");
    used(&bridge);
}

// N2
#[test]
fn silence_in_one_direction_leaves_the_other() {
    for (direction, reaches_the_server) in [(Up, false), (Down, true)] {
        let bridge = bridge();
        let mut client = used(&bridge);
        bridge.set_fault(Relays::All, [direction], Fault::new().silence());
        client.write_all(b"word").expect("written");
        is_silent(&mut client);
        assert_eq!(bridge.passed(Up), if reaches_the_server { 8 } else { 4 });
        assert_eq!(bridge.passed(Down), 4);
        let swallowed = [Up, Down].map(|direction| bridge.swallowed(direction));
        assert_eq!(swallowed, if reaches_the_server { [0, 4] } else { [4, 0] });
        bridge.heal();
        let swallowed = [Up, Down].map(|direction| bridge.swallowed(direction));
        assert_eq!(swallowed.iter().sum::<u64>(), 4, "also of a connection that is gone");
    }
}

// N3, and control of one connection among several.
#[test]
fn one_connection_is_reset_and_the_other_is_not() {
    let bridge = bridge();
    let (mut first, mut second) = (used(&bridge), used(&bridge));
    assert_eq!(bridge.relays(), [0, 1]);
    bridge.set_fault(Relays::One(0), [Up], Fault::new().cut(0, Cut::Reset));
    assert_eq!(rest(&mut first), (vec![], Some(ErrorKind::ConnectionReset)));
    answers(&mut second);
    used(&bridge);
}

// N4
#[test]
fn one_direction_ends_and_the_other_goes_on() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, [Down], Fault::new().cut(0, Cut::Fin));
    assert_eq!(client.read(&mut [0]).expect("an end"), 0);
    client.write_all(b"word").expect("the other direction is open");
    until(LIMIT, "the bytes to arrive", || Ok((bridge.passed(Up) == 8).then_some(())))
        .expect("arrived");

    let bridge = Bridge::new(echo()).expect("a bridge");
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, [Up], Fault::new().cut(2, Cut::Fin));
    client.write_all(b"word").expect("written");
    assert_eq!(rest(&mut client), (b"wo".to_vec(), None), "the echo ends, too");
}

// N5: what is sent at once comes at once, later, and in order.
#[test]
fn delayed_bytes_come_later_and_in_order() {
    let (latency, jitter) = (Duration::from_millis(60), Duration::from_millis(120));
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, [Up], Fault::new().delay(latency, jitter).seed(7));
    let begin = Instant::now();
    for number in 0..40 {
        client.write_all(&[number]).expect("written");
        std::thread::yield_now();
    }
    let mut numbers = [0; 40];
    client.read_exact(&mut numbers).expect("answers");
    assert!(begin.elapsed() >= latency);
    assert!(numbers.is_sorted(), "{numbers:?}");
    client.shutdown(Shutdown::Write).expect("shut down");
    assert_eq!(rest(&mut client), (vec![], None), "the end comes last");
}

// N6: twice the rate takes half the time, about.
#[test]
fn a_throttle_lets_so_many_bytes_pass_in_a_second() {
    let time = |rate| {
        let bridge = bridge();
        let mut client = used(&bridge);
        bridge.set_fault(Relays::All, [Up], Fault::new().throttle(rate));
        let begin = Instant::now();
        client.write_all(&[7; 2000]).expect("written");
        client.read_exact(&mut [0; 2000]).expect("answers");
        begin.elapsed()
    };
    let (slow, fast) = (time(4_000), time(400_000));
    assert!(slow > 3 * fast, "{slow:?} {fast:?}");
}

// N7
#[test]
fn bytes_drip_one_by_one_and_are_all_there() {
    let target = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let bridge = Bridge::new(target.local_addr().expect("an address")).expect("a bridge");
    let mut client = connect(&bridge);
    let (mut server, _) = target.accept().expect("a connection");
    // Slow enough for each byte to be read before the next one comes.
    bridge.set_fault(Relays::All, [Up], Fault::new().pieces(1).throttle(200));
    client.write_all(b"0123456789").expect("written");
    let mut reads = Vec::new();
    let mut bytes = Vec::<u8>::new();
    while bytes.len() < 10 {
        let mut chunk = [0; 16];
        let n = server.read(&mut chunk).expect("read");
        reads.push(n);
        bytes.extend(&chunk[..n]);
    }
    assert_eq!(bytes, b"0123456789");
    assert!(reads.len() > 5, "{reads:?}");
}

// N8: exactly so many bytes pass, of those to come or of the next connection.
#[test]
fn a_connection_is_cut_after_so_many_bytes() {
    for after in [1, 3, 4, 7, 100] {
        for (end, expected) in
            [(Cut::Close, None), (Cut::Fin, None), (Cut::Reset, Some(ErrorKind::ConnectionReset))]
        {
            let bridge = bridge();
            let mut client = used(&bridge);
            bridge.set_fault(Relays::All, [Down], Fault::new().cut(after, end));
            client.write_all(&[b'x'; 200]).expect("written");
            let (bytes, how) = rest(&mut client);
            assert_eq!((bytes.len() as u64, how), (after, expected), "{end:?}");

            let mut next = connect(&bridge);
            next.write_all(&[b'x'; 200]).expect("written");
            assert_eq!(rest(&mut next).0.len() as u64, after, "that of a new connection");
            bridge.heal();
            used(&bridge);
        }
    }
}

// N8, N12: the third way to end.
#[test]
fn a_connection_falls_silent_after_so_many_bytes() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::One(0), [Down], Fault::new().cut(2, Cut::Silence));
    client.write_all(b"word").expect("written");
    client.read_exact(&mut [0; 2]).expect("two bytes");
    is_silent(&mut client);
    bridge.heal();
    assert_eq!(rest(&mut client), (vec![], None));
}

// N9
#[test]
fn one_bit_is_flipped() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, [Up], Fault::new().flip(5, 1).pieces(3));
    client.write_all(&[0; 8]).expect("written");
    let mut got = [9; 8];
    client.read_exact(&mut got).expect("answers");
    assert_eq!(got, [0, 0, 0, 0, 0, 2, 0, 0]);
}

// N10
#[test]
fn a_new_connection_is_accepted_and_hears_nothing() {
    let bridge = bridge();
    let mut before = used(&bridge);
    bridge.set_fault(Relays::Next, Direction::BOTH, Fault::new().silence());
    let mut client = connect(&bridge);
    client.write_all(b"word").expect("written");
    is_silent(&mut client);
    answers(&mut before);
}

// N11
#[test]
fn nobody_answers_until_the_bridge_listens_again() {
    let bridge = bridge();
    let mut before = used(&bridge);
    for _ in 0..2 {
        bridge.ignore().expect("ignores");
        let error = TcpStream::connect_timeout(&bridge.addr(), SILENCE).expect_err("no answer");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        answers(&mut before);
        bridge.resume_accept().expect("resumed");
        used(&bridge);
    }
    let hole = BlackHole::new().expect("a black hole");
    let error = TcpStream::connect_timeout(&hole.addr(), SILENCE).expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    bridge.ignore().expect("ignores");
    drop(bridge);
}

// N12
#[test]
fn an_idle_connection_is_forgotten() {
    let idle = Duration::from_millis(300);
    let bridge = bridge();
    bridge.set_fault(Relays::All, [Up], Fault::new().forget_after(idle));
    let mut client = used(&bridge);
    std::thread::sleep(idle);
    client.write_all(b"word").expect("written");
    is_silent(&mut client);
    // The next one is young.
    used(&bridge);
    bridge.heal();
    assert_eq!(rest(&mut client), (vec![], None));
}

// N13
#[test]
fn every_connection_ends_after_so_many_bytes() {
    let bridge = bridge();
    bridge.set_fault(Relays::Next, [Down], Fault::new().cut(8, Cut::Close));
    for _ in 0..3 {
        let mut client = used(&bridge);
        answers(&mut client);
        assert_eq!(rest(&mut client), (vec![], None));
    }
    assert_eq!(bridge.connections().accepted, 3);
}

// N14
#[test]
fn refused_for_a_while_and_then_as_before() {
    let bridge = bridge();
    bridge.refuse();
    let error = TcpStream::connect(bridge.addr()).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    bridge.resume_accept().expect("resumed");
    used(&bridge);
}

#[test]
fn held_bytes_are_not_lost() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, Direction::BOTH, Fault::new().hold());
    client.write_all(b"word").expect("written");
    is_silent(&mut client);
    bridge.heal();
    client.read_exact(&mut [0; 4]).expect("what was held");
    answers(&mut client);
}

#[test]
fn drop_ends_connections_under_any_fault() {
    let faults = [
        Fault::new().silence(),
        Fault::new().hold(),
        Fault::new().delay(LIMIT, Duration::ZERO),
        Fault::new().throttle(1),
        Fault::new().cut(0, Cut::Silence),
    ];
    for fault in faults {
        let bridge = bridge();
        let mut client = used(&bridge);
        bridge.set_fault(Relays::All, Direction::BOTH, fault);
        client.write_all(&[0; 100]).expect("written");
        let begin = Instant::now();
        drop(bridge);
        assert!(begin.elapsed() < LIMIT, "{fault:?}");
        let _ = rest(&mut client);
    }
}

#[test]
fn some_chunks_are_lost_and_the_connection_ends_with_that() {
    let bridge = bridge();
    let mut client = used(&bridge);
    bridge.set_fault(Relays::All, [Up], Fault::new().lose(50).seed(7));
    let before = bridge.passed(Up);
    let both = || bridge.swallowed(Up) > 0 && bridge.passed(Up) > before;
    until(LIMIT, "some chunks to be lost, and some not", || {
        client.write_all(b"word").expect("written");
        Ok(both().then_some(()))
    })
    .expect("half of them");
    // What is left of the stream is of no use.
    bridge.heal();
    let _ = rest(&mut client);
    answers(&mut connect(&bridge));
}
