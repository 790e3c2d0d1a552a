//! A server ends with the process that started it, also when that process is killed.

use etcd3_lab::{Server, until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The variable of a process that is to start a server and be killed.
const ROLE: &str = "ETCD3_LAB_TEST_PARENT";

#[test]
fn parent_of_a_server() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let server = Server::start().expect("a server");
    println!("\nserver {} {}", server.pid(), server.addr());
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_dies_with_its_killed_parent() {
    let mut parent = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "parent_of_a_server", "--nocapture"])
        .env(ROLE, "yes")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program runs again");
    let said = BufReader::new(parent.stdout.take().expect("a pipe")).lines();
    let line = said.map_while(Result::ok).find_map(|line| {
        line.strip_prefix("server ").map(str::to_owned) //
    });
    let line = line.expect("the parent tells its server");
    let (pid, addr) = line.split_once(' ').expect("two words");
    let addr = addr.parse().expect("an address");
    let data = data_folder(pid);
    let answer = etcd3_lab::http::get(addr, "/version", Duration::from_secs(5));
    assert_eq!(answer.expect("the server answers").status, 200);

    parent.kill().expect("killed");
    parent.wait().expect("ended");
    until(Duration::from_secs(10), "the server and its files to be gone", || {
        let gone = !Path::new(&format!("/proc/{pid}")).exists() && !Path::new(&data).exists();
        Ok(gone.then_some(()))
    })
    .expect("the guard ends it");
}

#[cfg(target_os = "linux")]
fn data_folder(pid: &str) -> String {
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).expect("a command line");
    let command = String::from_utf8_lossy(&command).into_owned();
    let folder = command.split('\0').find_map(|flag| flag.strip_prefix("--data-dir="));
    folder.expect("a data folder").to_owned()
}
