//! The programs of the bench: how they are built, started and measured.

use crate::{shell, workspace};
use etcd3_lab::{Error, Result, protoc};
use etcd3_lab::{go, tools};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A number of bytes that nothing copies at once.
const NEVER: u32 = 1 << 30;

/// The program of Go's client.
pub(crate) const GO: &str = "go-client";

/// The limit of the build.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The limit of one run of a client, and of the build of Go's.
const RUN_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The work of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) work: &'static str,
    pub(crate) size: u64,
    pub(crate) callers: u64,
    pub(crate) ops: u64,
}

/// Writes the first columns of a table.
impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, size, callers, .. } = self;
        write!(f, "{work:<8} {size:>6} {callers:>7}")
    }
}

/// The output of a run: numbers with names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Figures(String);

impl Figures {
    /// Finds a number by its name; `None` when the client does not tell it.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let rest = self.0.split_once(&format!("\"{name}\":"))?.1;
        rest.split([',', '}']).next()?.parse().ok()
    }

    /// Finds a number that every run tells.
    pub(crate) fn need(&self, name: &str) -> Result<f64> {
        self.get(name).ok_or_else(|| Error::new(format!("there is no {name} in {}", self.0)))
    }
}

/// Builds the server and the clients of this workspace, and with `others` those of others.
///
/// They are built apart, since features of what the others need would change what is measured.
pub(crate) fn build(others: bool) -> Result<()> {
    shell::heading("building the bench");
    build_release(cargo("build"))?;
    if others {
        let mut cargo = cargo_of("build", &["peer-etcd-client"]);
        protoc::find()?.offer(&mut cargo);
        build_release(cargo)?;
    }
    Ok(())
}

/// Builds the client of Go from its module.
pub(crate) fn build_go() -> Result<()> {
    let mut go = go::command_in(&workspace::root().join("bench/go"))?;
    finish(go.args(["build", "-mod=readonly", "-trimpath", "-o"]).arg(path(GO)).arg(".")).map(drop)
}

/// Makes a command line of cargo for all of the bench that needs nothing but cargo.
pub(crate) fn cargo(verb: &str) -> Command {
    cargo_of(verb, &["etcd3-bench", "null-server", "floor", "machines", "ours"])
}

fn cargo_of(verb: &str, packages: &[&str]) -> Command {
    let mut cargo = workspace::cargo([verb, "--locked", "--manifest-path", "bench/Cargo.toml"]);
    cargo.arg("--target-dir").arg(workspace::target());
    cargo.args(packages.iter().flat_map(|package| ["--package", package]));
    cargo
}

fn build_release(mut cargo: Command) -> Result<()> {
    let ended = shell::capture(cargo.arg("--release"), BUILD_LIMIT)?;
    if ended.ok() { Ok(()) } else { Err(Error::new(ended.output)) }
}

/// The server that answers without doing anything; it ends with this value.
pub(crate) struct NullServer {
    child: Child,
    pub(crate) urls: String,
}

impl NullServer {
    /// Starts it on a core of its own, where there is one.
    pub(crate) fn start() -> Result<Self> {
        let failed = |error: std::io::Error| Error::new(format!("null-server: {error}"));
        let mut command = program("null-server");
        if has_two_cores() {
            command.args(["--core", "0"]);
        }
        // It ends when its input is closed, which the end of this process does.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let output = child.stdout.take();
        let mut server = Self { child, urls: String::new() };
        let output = output.ok_or_else(|| Error::new("the server has no output"))?;
        BufReader::new(output).read_line(&mut server.urls).map_err(failed)?;
        server.urls = server.urls.trim().to_owned();
        if server.urls.is_empty() {
            Err(Error::new("The server did not start."))
        } else {
            Ok(server)
        }
    }
}

impl Drop for NullServer {
    fn drop(&mut self) {
        // It fails when the process has ended, which is just as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Does a job on a core of its own, after a tenth of it that is not measured.
pub(crate) fn run(name: &str, urls: &str, job: Job, more: &[&str]) -> Result<Figures> {
    let mut command = client(program(name), urls, job, job.ops);
    command.args(["--warm-up", &(job.ops / 10).to_string()]).args(more);
    if has_two_cores() {
        command.args(["--core", "1"]);
    }
    let ended = finish(&command)?;
    let line = ended.lines().find(|line| line.starts_with('{'));
    Ok(Figures(line.ok_or_else(|| Error::new(format!("{name}: {ended}")))?.to_owned()))
}

/// Makes calls for so many seconds; returns the figures, and what else was said.
pub(crate) fn timed(name: &str, urls: &str, job: Job, seconds: u64) -> Result<(Figures, String)> {
    let mut command = client(program(name), urls, job, job.ops);
    let said = finish(command.args(["--seconds", &seconds.to_string()]))?;
    let (figures, others): (Vec<_>, Vec<_>) = said.lines().partition(|it| it.starts_with('{'));
    let line = figures.first().ok_or_else(|| Error::new(format!("{name}: {said}")))?;
    Ok((Figures((*line).to_owned()), others.join("\n")))
}

/// Counts the instructions in user space that an operation costs.
pub(crate) fn instructions(name: &str, urls: &str, job: Job) -> Result<f64> {
    let valgrind = tools::valgrind()?;
    per_done(job, |ops| {
        let mut command = with_one_thread(valgrind.command());
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        // It would count an instruction that copies or clears a kilobyte a thousand times.
        let never = |it: &str| format!("glibc.cpu.x86_rep_{it}_threshold={NEVER}");
        let tunables = [never("movsb"), never("stosb")].join(":");
        command.env("GLIBC_TUNABLES", tunables);
        command.arg(path(name));
        let said = finish(&client(command, urls, job, ops))?;
        let count = said.split_once("Collected : ").and_then(|(_, rest)| rest.lines().next());
        let count = number(count, &said)?;
        // A client that renews leases by itself does a few more than it is told.
        Ok((count, Figures(said).get("acknowledged").unwrap_or(float(ops))))
    })
}

/// Counts the system calls that an operation costs.
pub(crate) fn system_calls(name: &str, urls: &str, job: Job) -> Result<f64> {
    let strace = tools::strace()?;
    per_op(job, |ops| {
        let mut command = with_one_thread(strace.command());
        command.args(["-f", "-c"]).arg(path(name));
        let said = finish(&client(command, urls, job, ops))?;
        let total = said.lines().find(|line| line.trim_end().ends_with(" total"));
        number(total.and_then(|line| line.split_whitespace().nth(3)), &said)
    })
}

/// Counts the allocations of an operation, and their bytes; what begins a run is left out.
pub(crate) fn allocations(name: &str, urls: &str, job: Job) -> Result<(f64, f64)> {
    let longer = Job { ops: job.ops * 3, ..job };
    let (less, more) = (run(name, urls, job, &[])?, run(name, urls, longer, &[])?);
    let per_op = |figure: &str| {
        let sum = more.need(figure)? * float(longer.ops) - less.need(figure)? * float(job.ops);
        Ok(sum / float(longer.ops - job.ops))
    };
    Ok((per_op("allocations_per_op")?, per_op("bytes_per_op")?))
}

/// Tells what an operation costs by two runs: what begins and ends a program is left out.
fn per_op(job: Job, count: impl Fn(u64) -> Result<f64>) -> Result<f64> {
    let more = job.ops * 3;
    Ok((count(more)? - count(job.ops)?) / float(more - job.ops))
}

/// The same for runs that say how many operations they did.
fn per_done(job: Job, count: impl Fn(u64) -> Result<(f64, f64)>) -> Result<f64> {
    let (less, more) = (count(job.ops)?, count(job.ops * 3)?);
    Ok((more.0 - less.0) / (more.1 - less.1))
}

fn number(text: Option<&str>, said: &str) -> Result<f64> {
    let found = text.and_then(|text| text.trim().parse().ok());
    found.ok_or_else(|| Error::new(format!("nothing was counted: {said}")))
}

fn client(mut command: Command, urls: &str, job: Job, ops: u64) -> Command {
    let Job { work, size, callers, .. } = job;
    command.args(["--endpoints", urls, "--work", work]);
    for (name, value) in [("--size", size), ("--callers", callers), ("--ops", ops)] {
        command.args([name, &value.to_string()]);
    }
    command
}

fn finish(command: &Command) -> Result<String> {
    let ended = shell::capture(command, RUN_LIMIT)?;
    if ended.ok() { Ok(ended.output) } else { Err(Error::new(ended.output)) }
}

fn program(name: &str) -> Command {
    with_one_thread(Command::new(path(name)))
}

/// Has async-std run its tasks on one thread, as smol does.
fn with_one_thread(mut command: Command) -> Command {
    command.env("ASYNC_STD_THREAD_COUNT", "1");
    command
}

fn path(name: &str) -> std::path::PathBuf {
    workspace::target().join("release").join(name)
}

fn has_two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
}

/// Names the compiler.
pub(crate) fn rustc() -> String {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(program).arg("--version").current_dir(workspace::root()).output();
    asked.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned()).unwrap_or_default()
}

/// Makes a number that can be divided.
#[expect(clippy::cast_precision_loss, reason = "counts of operations are small")]
pub(crate) fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_by_their_names() {
        let figures = Figures(r#"{"work":"put","ops":7,"cpu_ns_per_op":12.5}"#.to_owned());
        assert_eq!(figures.get("cpu_ns_per_op"), Some(12.5));
        assert_eq!(figures.get("ops"), Some(7.0));
        assert!(figures.get("p50_ns").is_none() && figures.need("p50_ns").is_err());
    }
}
