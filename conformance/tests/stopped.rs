//! A process that is stopped beyond the deadline of its call, while the response arrives.
#![forbid(unsafe_code)]

use etcd3_lab::{Bridge, Direction, Fault, Relays, Server};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
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

/// How the write of a process ends that is stopped meanwhile.
fn stopped_write(runtime: &str) -> String {
    let server = Server::start().expect("a server");
    let bridge = Bridge::new(server.addr()).expect("a bridge");
    let mut process = Process(
        Command::new(env!("CARGO_BIN_EXE_stopped"))
            .args([runtime, &bridge.url(), TIMEOUT_MS])
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process"),
    );
    let mut lines = BufReader::new(process.0.stdout.take().expect("its output")).lines();
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
