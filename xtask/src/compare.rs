//! `cargo xtask compare`: a member dies under this client and under etcd-client, side by side.
//!
//! Three real members, a new client that knows all three; a member is killed, and the client makes
//! 200 linearizable gets one after the other, of at most five seconds each. Both clients meet the
//! same faults in the same run, and take turns in going first.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::etcd::{self, Binary};
use etcd3_lab::{Cluster, Error, Result, protoc, until};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::time::Duration;

/// Times that each client is put to the test.
const ROUNDS: usize = 5;
const GETS: u32 = 200;
const GET_LIMIT_MS: u64 = 5000;

/// The limit of the build of both clients.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The longest that a cluster may take to be healthy again.
const HEALTHY_LIMIT: Duration = Duration::from_secs(60);

/// The programs, ours first, and the clients that they are.
const PEERS: [(&str, &str); 2] = [("peer-etcd3", "etcd3"), ("peer-etcd-client", "etcd-client")];

/// The gets of one client, and how they ended.
#[derive(Debug, Default)]
struct Tally {
    gets: u32,
    failed: u32,
    slowest_ms: u64,
    /// The error of the first get that failed.
    first_error: Option<String>,
}

pub(crate) fn run(options: &Options) -> ExitResult {
    let binary = wanted(options.value("--version"))?;
    build()?;
    shell::heading(&format!("a member dies, {GETS} gets, with etcd {}", binary.version));
    println!(
        "{:<6}  {:<8}  {:<6}  {:<12}  {:>4}  {:>6}  {:>7}  {:>9}",
        "round", "killed", "turn", "client", "gets", "failed", "rate", "slowest"
    );
    let mut sums: [Tally; PEERS.len()] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..PEERS.len() {
            let peer = (round + turn) % PEERS.len();
            // The same role for both.
            let leader = round % 2 == 1;
            let tally = one(&binary, PEERS[peer].0, leader)?;
            let role = if leader { "leader" } else { "follower" };
            let begin = format!("{:<6}  {role:<8}  {:<6}", round + 1, turn + 1);
            println!("{begin}  {}", line(PEERS[peer].1, &tally));
            if let Some(error) = &tally.first_error {
                println!("        the first error: {error}");
            }
            sums[peer].add(&tally);
        }
    }
    shell::heading("in all");
    for ((_, name), sum) in PEERS.iter().zip(&sums) {
        println!("{}", line(name, sum));
    }
    // The other client is only looked at.
    let [ours, _] = &sums;
    Ok(if ours.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wanted(version: Option<&str>) -> Result<Binary> {
    let fetched = etcd::fetch();
    let mut fitting = fetched.binaries.into_iter().rev();
    let found = fitting.find(|it| version.is_none_or(|version| it.version.to_string() == version));
    found.ok_or_else(|| Error::new("There is no such etcd."))
}

/// Builds both clients, in the workspace that is theirs.
fn build() -> Result<()> {
    let protoc = protoc::find()?;
    shell::heading(&format!("building both clients with {}", workspace::relative(&protoc.program)));
    let mut cargo = workspace::cargo(["build", "--locked", "--release"]);
    cargo.args(["--manifest-path", "bench/Cargo.toml", "--target-dir"]).arg(workspace::target());
    protoc.offer(&mut cargo);
    let ended = shell::capture(&cargo, BUILD_LIMIT)?;
    if ended.ok() { Ok(()) } else { Err(Error::new(ended.output)) }
}

/// Puts one client to the test once, on a cluster of its own.
fn one(binary: &Binary, program: &str, leader: bool) -> Result<Tally> {
    let cluster = Cluster::builder().version(binary).heartbeat(100).election(1000).start()?;
    for member in cluster.members() {
        until(HEALTHY_LIMIT, "a healthy member", || Ok(member.range("a").is_ok().then_some(())))?;
    }
    let leads = cluster.wait_leader()?;
    let victim = if leader { leads } else { (leads + 1) % cluster.len() };
    let mut peer = ClientProcess::start(program, &cluster.client_urls())?;
    cluster.member(victim).kill()?;
    peer.go()
}

impl Tally {
    fn note(&mut self, line: &str) -> Result<()> {
        let unreadable = || Error::new(format!("{line:?} is not understood."));
        let mut words = line.splitn(3, ' ');
        let word = words.next().unwrap_or_default();
        let millis = words.next().and_then(|it| it.parse().ok()).ok_or_else(unreadable)?;
        self.gets += 1;
        self.slowest_ms = self.slowest_ms.max(millis);
        match word {
            "ok" => {}
            "err" => {
                self.failed += 1;
                let said = words.next().unwrap_or_default();
                self.first_error.get_or_insert_with(|| said.to_owned());
            }
            _ => return Err(unreadable()),
        }
        Ok(())
    }

    fn add(&mut self, other: &Self) {
        self.gets += other.gets;
        self.failed += other.failed;
        self.slowest_ms = self.slowest_ms.max(other.slowest_ms);
    }
}

fn line(name: &str, tally: &Tally) -> String {
    let rate = 100.0 * f64::from(tally.failed) / f64::from(tally.gets.max(1));
    let (gets, failed, slowest) = (tally.gets, tally.failed, tally.slowest_ms);
    format!("{name:<12}  {gets:>4}  {failed:>6}  {rate:>5.1} %  {slowest:>6} ms")
}

/// A client in a process of its own, which ends with this value.
struct ClientProcess {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl ClientProcess {
    /// Starts it and waits until it has a client.
    fn start(program: &str, urls: &[String]) -> Result<Self> {
        let failed = |error: std::io::Error| Error::new(format!("{program}: {error}"));
        let mut command = Command::new(workspace::target().join("release").join(program));
        command.args([GETS.to_string(), GET_LIMIT_MS.to_string()]).args(urls);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let output = child.stdout.take().ok_or_else(|| Error::new("no output"))?;
        let mut peer = Self { child, output: BufReader::new(output) };
        match peer.line()?.as_deref() {
            Some("ready") => Ok(peer),
            _ => Err(Error::new(format!("{program} did not become ready."))),
        }
    }

    /// Lets it make its gets, and counts them.
    fn go(&mut self) -> Result<Tally> {
        let mut input = self.child.stdin.take().ok_or_else(|| Error::new("no input"))?;
        writeln!(input, "go")
            .map_err(|error| Error::new(format!("a client has ended: {error}")))?;
        let mut tally = Tally::default();
        while let Some(line) = self.line()? {
            tally.note(&line)?;
        }
        if tally.gets == GETS {
            return Ok(tally);
        }
        Err(Error::new(format!("A client ended after {} gets.", tally.gets)))
    }

    fn line(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        read.map_err(|error| Error::new(format!("a client cannot be read: {error}")))?;
        Ok((!line.is_empty()).then(|| line.trim_end().to_owned()))
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        // It fails when the process has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gets_are_counted_by_their_lines() {
        let mut tally = Tally::default();
        for line in ["ok 3", "err 5001 deadline has elapsed", "ok 12", "err 1 other"] {
            tally.note(line).unwrap();
        }
        assert_eq!((tally.gets, tally.failed, tally.slowest_ms), (4, 2, 5001));
        assert_eq!(tally.first_error.as_deref(), Some("deadline has elapsed"));
        assert!(tally.note("panicked").is_err() && tally.note("no 5").is_err());
    }
}
