//! `cargo xtask goaway`: calls through nginx, which ends each connection after so many requests.
//!
//! A real nginx stands in front of a real etcd, and eight callers read through it: once with this
//! client and once with the floor, raw h2 that connects again as soon as a call finds the GOAWAY.
//! An orderly end is no failure of the server, so it must cost no more than a new connection.

use crate::bench::judge::Judge;
use crate::bench::programs::{self, Figures, Job};
use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Nginx, Result, Server, etcd, tools};
use std::process::{Command, ExitCode};

const FLOOR: &str = "floor-redial";
const OURS: &str = "ours-tokio";

const JOB: Job = Job { work: "get", size: 256, callers: 8, ops: 0 };

/// How long each client runs with each server, unless told otherwise, in seconds.
const SECONDS: u64 = 15;
/// The same in `cargo xtask test`.
const SHORT_SECONDS: u64 = 3;
/// The number of turns that the clients take, since the load of the machine changes.
const TURNS: u64 = 3;

/// The longest that a call may take, in milliseconds, over the longest one of the floor in the same
/// run: a busy machine has stalls of its own.
const LONGEST_MS: f64 = 300.0;

/// A server that ends connections, and what is demanded there.
struct Setting {
    name: &'static str,
    /// The number of requests after which nginx says GOAWAY; its default where there is none.
    requests: Option<&'static str>,
    /// How many calls of the floor there may be for each of ours.
    most: f64,
}

const SETTINGS: [Setting; 2] = [
    Setting { name: "nginx, GOAWAY after 1000 (default)", requests: None, most: 3.0 },
    Setting { name: "nginx, GOAWAY after 100", requests: Some("100"), most: 2.0 },
];

pub(crate) fn run(options: &Options) -> ExitResult {
    let seconds = match options.value("--seconds") {
        None => SECONDS,
        Some(text) => {
            let parsed = text.parse().ok().filter(|seconds| *seconds > 0);
            parsed.ok_or_else(|| Error::new(format!("{text:?} is no number of seconds.")))?
        }
    };
    programs::build(false)?;
    let server = server()?;
    let callers = JOB.callers;
    shell::heading(&format!(
        "{callers} callers, {seconds} s each: etcd {}, nginx {}",
        server.binary().version,
        tools::nginx_version(&tools::nginx()?)?
    ));
    println!(
        "{:<35} {:<6} {:>8} {:>8} {:>8} {:>9} {:>10}",
        "server", "client", "calls", "failures", "p50", "p99.9", "longest"
    );
    // For orientation, so it may be shorter.
    let direct = (seconds / 3).max(1);
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    floors.push(measure(&format!("etcd itself, {direct} s"), &server.client_url(), direct)?.0);
    for setting in &SETTINGS {
        let nginx = nginx(&server, setting)?;
        let (of_floor, of_ours) = measure(setting.name, &nginx.url(), seconds)?;
        floors.push(of_floor);
        ours.push(of_ours);
    }
    let judge = judged(&floors, &ours);
    println!("{}", judge.summary());
    Ok(if judge.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks what was seen in each setting; of the floor there is one more, without nginx.
fn judged(floors: &[Seen], ours: &[Seen]) -> Judge {
    let mut judge = Judge::default();
    let stall = floors.iter().map(|floor| floor.longest).fold(0.0, f64::max);
    for ((setting, floor), ours) in SETTINGS.iter().zip(&floors[1..]).zip(ours) {
        let mut check = |what: &str, figure, most| {
            let what = format!("{}: {what}", setting.name);
            println!("{what}: {}", judge.below(&what, figure, most));
        };
        check("calls of the floor over ours", floor.calls / ours.calls, setting.most);
        check("failures", ours.failures, 0.0);
        check("longest call in ms", ours.longest, LONGEST_MS + stall);
    }
    judge
}

/// Makes the command line of a short run.
///
/// By cargo: the file of this program may have been replaced since it was started.
pub(crate) fn short() -> Command {
    let mut command = workspace::cargo(["run", "--quiet", "--package", "xtask", "--", "goaway"]);
    command.args(["--seconds", &SHORT_SECONDS.to_string()]);
    command
}

/// Starts the newest etcd, with the key that is read.
fn server() -> Result<Server> {
    let fetched = etcd::fetch();
    let newest = fetched.newest().ok_or_else(|| Error::new("There is no etcd."))?;
    let server = Server::builder().version(newest).start()?;
    server.put("v256/k", "x".repeat(256))?;
    Ok(server)
}

fn nginx(server: &Server, setting: &Setting) -> Result<Nginx> {
    let builder = Nginx::builder([server.addr()]);
    match setting.requests {
        Some(count) => builder.set("keepalive_requests", count).start(),
        None => builder.start(),
    }
}

/// What came of a client at a server, in all its turns; times are in milliseconds, and the worst of
/// the turns.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    calls: f64,
    failures: f64,
    p50: f64,
    p999: f64,
    longest: f64,
}

impl Seen {
    fn add(&mut self, figures: &Figures) -> Result<()> {
        self.calls += figures.need("calls")?;
        self.failures += figures.need("failures")?;
        let worst = |before: f64, name| Ok(before.max(figures.need(name)? / 1e6));
        self.p50 = worst(self.p50, "p50_ns")?;
        self.p999 = worst(self.p999, "p999_ns")?;
        self.longest = worst(self.longest, "longest_ns")?;
        Ok(())
    }

    fn show(&self, server: &str, client: &str) {
        let Self { calls, failures, p50, p999, longest } = self;
        let times = format!("{p50:>5.1} ms {p999:>6.1} ms {longest:>7.1} ms");
        println!("{server:<35} {client:<6} {calls:>8} {failures:>8} {times}");
    }
}

/// Runs the floor and this client for as long, in turns, and prints what came of them.
fn measure(name: &str, url: &str, seconds: u64) -> Result<(Seen, Seen)> {
    let (mut floor, mut ours) = (Seen::default(), Seen::default());
    let mut left = seconds;
    while left > 0 {
        let turn = left.min((seconds / TURNS).max(1));
        left -= turn;
        for (client, seen) in [(FLOOR, &mut floor), (OURS, &mut ours)] {
            let (figures, said) = programs::timed(client, url, JOB, turn)?;
            seen.add(&figures)?;
            if !said.is_empty() {
                println!("{client}: {said}");
            }
        }
    }
    floor.show(name, "floor");
    ours.show(name, "etcd3");
    Ok((floor, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_stalls_or_fails_or_is_slow_is_refused() {
        let floor = Seen { calls: 9000.0, longest: 20.0, ..Seen::default() };
        let good = Seen { calls: 5000.0, longest: 310.0, ..Seen::default() };
        assert!(judged(&[floor; 3], &[good; 2]).is_good());
        for bad in [
            Seen { calls: 2999.0, ..good },
            Seen { failures: 1.0, ..good },
            Seen { longest: 321.0, ..good },
            Seen { calls: 0.0, ..good },
        ] {
            assert!(!judged(&[floor; 3], &[bad, good]).is_good(), "{bad:?}");
            assert!(!judged(&[floor; 3], &[good, bad]).is_good(), "{bad:?}");
        }
        // With GOAWAY after 100 requests more is demanded.
        let slow = Seen { calls: 4000.0, ..good };
        assert!(judged(&[floor; 3], &[slow, good]).is_good());
        assert!(!judged(&[floor; 3], &[good, slow]).is_good());
        // A machine that stalls by itself is none of the client's business.
        let stalled = Seen { longest: 500.0, ..floor };
        let late = Seen { longest: 799.0, ..good };
        assert!(judged(&[floor, stalled, floor], &[late; 2]).is_good());
    }
}
