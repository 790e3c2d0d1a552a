//! A process that is stopped beyond the deadline of its call, while the response arrives, or beyond
//! the time to live of its lease.
#![forbid(unsafe_code)]

use etcd3_lab::{Bridge, Direction, Fault, Relays, Server};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The response takes this long.
const LATENCY: Duration = Duration::from_millis(600);
const STOP_AFTER: Duration = Duration::from_millis(100);
/// Beyond the timeout.
const STOPPED_FOR: Duration = Duration::from_millis(2_500);
const TIMEOUT_MS: &str = "1500";
/// On a busy machine a process may be stopped too late, when all is over.
const TRIES: u32 = 10;

/// A process that is ended even when its test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn signal(process: &Process, name: &str) {
    let pid = process.0.id().to_string();
    let sent = Command::new("kill").args([name, &pid]).status().expect("kill runs");
    assert!(sent.success(), "{name}");
}

/// Starts a process, and returns what it says.
fn start(args: [&str; 4]) -> (Process, Lines<BufReader<ChildStdout>>) {
    let mut process = Process(
        Command::new(env!("CARGO_BIN_EXE_stopped"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process"),
    );
    let output = process.0.stdout.take().expect("its output");
    (process, BufReader::new(output).lines())
}

/// How the write of a process ends that is stopped meanwhile.
fn stopped_write(runtime: &str) -> String {
    let server = Server::start().expect("a server");
    let bridge = Bridge::new(server.addr()).expect("a bridge");
    let (process, mut lines) = start(["put", runtime, &bridge.url(), TIMEOUT_MS]);
    let mut say = || lines.next().expect("a line").expect("text");
    assert_eq!(say(), "ready");
    // What was said before is under way without it.
    bridge.set_fault(Relays::All, [Direction::Down], Fault::new().delay(LATENCY, Duration::ZERO));
    // These are what the test is about: how long the process stands still.
    std::thread::sleep(STOP_AFTER);
    signal(&process, "-STOP");
    std::thread::sleep(STOPPED_FOR);
    signal(&process, "-CONT");
    say()
}

fn a_response_that_has_arrived_is_the_response(runtime: &str) {
    for _ in 0..TRIES {
        match stopped_write(runtime).as_str() {
            "late" => return,
            "in time" => {}
            other => panic!("{other}"),
        }
    }
    panic!("it was never stopped in time");
}

/// I-L8: whoever goes on after the end of a lease learns that before anything else.
fn a_lease_that_ended_meanwhile_is_lost_at_once(runtime: &str) {
    const TTL_MS: &str = "3000";
    const LOOKS: usize = 20;
    let server = Server::start().expect("a server");
    let (mut process, mut lines) = start(["lease", runtime, &server.client_url(), TTL_MS]);
    let mut input = process.0.stdin.take().expect("its input");
    let mut say = || lines.next().expect("a line").expect("text");
    assert_eq!(say(), "ready");
    // These are what the test is about: it is renewed, and stands still for longer than it lives.
    std::thread::sleep(Duration::from_secs(4));
    writeln!(input).expect("a question");
    assert!(say().starts_with("valid: Ok"), "renewed while the process ran");
    signal(&process, "-STOP");
    std::thread::sleep(Duration::from_secs(4));
    // Asked while it stands still, so it looks after that.
    writeln!(input).expect("a question");
    signal(&process, "-CONT");
    let first = say();
    assert!(first.starts_with("lost"), "the first thing it says is {first:?}");
    for _ in 0..LOOKS {
        writeln!(input).expect("a question");
        let later = say();
        assert!(later.starts_with("lost"), "{later:?} after {first:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_lease_on_tokio() {
    a_lease_that_ended_meanwhile_is_lost_at_once("tokio");
}

#[test]
fn a_lease_on_smol() {
    a_lease_that_ended_meanwhile_is_lost_at_once("smol");
}

#[test]
fn a_lease_on_async_std() {
    a_lease_that_ended_meanwhile_is_lost_at_once("async-std");
}

#[test]
fn on_tokio() {
    a_response_that_has_arrived_is_the_response("tokio");
}

#[test]
fn on_one_thread_of_tokio() {
    a_response_that_has_arrived_is_the_response("tokio-current");
}

#[test]
fn on_smol() {
    a_response_that_has_arrived_is_the_response("smol");
}

#[test]
fn on_async_std() {
    a_response_that_has_arrived_is_the_response("async-std");
}
