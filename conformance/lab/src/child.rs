//! A process that ends with its parent, however the parent ends.
//!
//! The parent starts a shell, the guard, and holds the other end of the guard's standard input.
//! The guard starts the program, tells its process number and then only waits for input. When the
//! parent dies the kernel closes the input; the guard kills the program, removes the directory it
//! worked in and ends too.
//!
//! ```text
//! parent --(stdin)--> guard --> program
//!   dies ----EOF----> kill, rm -rf
//!   "keep" ---------> kill
//! ```
//!
//! The guard leads a process group of its own: an interrupt from the terminal reaches the parent
//! only, and what the program has started ends together with it.

use crate::{Error, Result, command, proc, until};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, ChildStdin, Command, Stdio};
use std::time::Duration;

/// The script of the guard. Its arguments are the directory and the program's command line.
const SCRIPT: &str = r#"
trap : INT TERM HUP
dir=$1; shift
"$@" </dev/null >&2 &
p=$!
echo $p
while read -r word; do
    if [ "$word" = keep ]; then dir=; break; fi
done
kill -KILL $p 2>/dev/null
kill -TERM 0
wait $p
if [ -n "$dir" ]; then rm -rf "$dir"; rmdir "${dir%/*}" 2>/dev/null; fi
exit 0
"#;

/// The longest wait for the end of a process.
const END_LIMIT: Duration = Duration::from_secs(10);

/// A signal that a test can send to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends the process at once; its connections are reset.
    Kill,
    /// Asks the process to end; etcd hands its leadership over and says goodbye to its clients.
    Terminate,
    /// Freezes the process; its connections stay open and silent.
    Stop,
    /// Lets a frozen process go on.
    Continue,
    /// Asks the process to read its configuration again; nginx replaces its workers then.
    Hangup,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "-KILL",
            Self::Terminate => "-TERM",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
            Self::Hangup => "-HUP",
        }
    }
}

/// A program that ends with this process, however this process ends.
///
/// Its drop kills the program, with everything that the program has started and that stayed in its
/// process group, and removes the directory it worked in.
#[derive(Debug)]
pub struct Child {
    guard: process::Child,
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl Child {
    /// Starts `program`, whose both outputs are appended to `log`. The directory `dir` is removed
    /// at the end, and its parent too once that is empty.
    ///
    /// # Errors
    ///
    /// Fails when the log cannot be opened or no process started. A program that does not exist is
    /// no error: it ends at once, and the log says why.
    pub fn spawn(program: &Command, dir: &Path, log: &Path) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::doing(format!("cannot open {}", log.display())))?;
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "guard"]).arg(dir);
        shell.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(folder) = program.get_current_dir() {
            shell.current_dir(folder);
        }
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut guard = shell.spawn().map_err(Error::doing("cannot run sh"))?;
        let stdin = guard.stdin.take();
        let pid = guard.stdout.take().map(first_line).and_then(|line| line.trim().parse().ok());
        // From here on the drop of `Child` ends the guard.
        let child = Self { guard, stdin, pid: pid.unwrap_or_default() };
        match pid {
            Some(_) => Ok(child),
            None => Err(Error::new("the guard did not tell the process number of its program")),
        }
    }

    /// Returns the number of the program's process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Tells whether the program has not ended yet.
    pub fn is_running(&self) -> bool {
        proc::runs(self.pid)
    }

    /// Sends a signal. The number cannot have gone to another process: the guard, its parent, has
    /// not waited for it yet.
    ///
    /// # Errors
    ///
    /// Fails when the `kill` command does.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid.to_string();
        command::run(Command::new("kill").args([signal.name(), &pid]), END_LIMIT)?
            .success()
            .map_err(Error::doing(format!("cannot send {signal:?} to process {pid}")))?;
        Ok(())
    }

    /// Waits until the program has ended.
    pub(crate) fn ended(&self) -> Result<()> {
        until(END_LIMIT, &format!("the end of process {}", self.pid), || {
            Ok((!self.is_running()).then_some(()))
        })
    }

    /// Waits until a stop has reached all threads of the program.
    pub(crate) fn frozen(&self) -> Result<()> {
        until(END_LIMIT, &format!("process {} to stop", self.pid), || {
            Ok(proc::is_frozen(self.pid).then_some(()))
        })
    }

    /// Ends the program and the guard, and keeps the directory.
    pub(crate) fn end_and_keep(mut self) {
        if let Some(stdin) = &mut self.stdin {
            // A guard that is gone already cannot read it, and does not have to.
            let _ = stdin.write_all(b"keep\n");
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let ended = until(END_LIMIT, "the end of a guard", || {
            self.guard.try_wait().map_err(Error::doing("cannot wait for a guard"))
        });
        if ended.is_err() {
            let _ = self.guard.kill();
            let _ = self.guard.wait();
        }
    }
}

fn first_line(output: impl Read) -> String {
    let mut line = String::new();
    // An unreadable line is an empty one, and the caller reports that.
    let _ = BufReader::new(output).read_line(&mut line);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(dir: &Path) -> Child {
        let work = dir.join("work");
        std::fs::create_dir_all(&work).expect("a directory");
        let mut program = Command::new("sleep");
        program.arg("60");
        Child::spawn(&program, &work, &work.join("log")).expect("a sleeper")
    }

    #[test]
    fn drop_ends_the_program_and_removes_its_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = sleeper(dir.path());
        let pid = child.pid();
        assert!(child.is_running());
        drop(child);
        assert!(!proc::runs(pid));
        assert!(!dir.path().exists(), "an empty parent goes too");
    }

    #[test]
    fn what_the_program_has_started_ends_with_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let (work, note) = (dir.path().join("work"), dir.path().join("started"));
        std::fs::create_dir_all(&work).expect("a directory");
        let mut program = Command::new("sh");
        program.args(["-c", "sleep 60 & echo $! > started; wait"]).current_dir(dir.path());
        let child = Child::spawn(&program, &work, &work.join("log")).expect("a program");
        let started = until(END_LIMIT, "the number of what it started", || {
            Ok(std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok()))
        });
        let started = started.expect("a number");
        assert!(proc::runs(started));
        drop(child);
        let gone = until(END_LIMIT, "its end", || Ok((!proc::runs(started)).then_some(())));
        assert_eq!(gone, Ok(()));
    }

    #[test]
    fn keeping_ends_the_program_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = sleeper(dir.path());
        let pid = child.pid();
        child.end_and_keep();
        assert!(!proc::runs(pid));
        assert!(dir.path().join("work/log").exists());
    }

    #[test]
    fn signals_reach_the_program() {
        let dir = tempfile::tempdir().expect("a directory");
        let child = sleeper(dir.path());
        child.signal(Signal::Stop).expect("stopped");
        child.signal(Signal::Continue).expect("continued");
        assert!(child.is_running());
        child.signal(Signal::Terminate).expect("terminated");
        child.ended().expect("ended");
        // Still a zombie of the guard, so the number is not anybody else's.
        child.signal(Signal::Kill).expect("a zombie takes signals");
    }

    #[test]
    fn a_program_that_cannot_start_says_so_in_the_log() {
        let dir = tempfile::tempdir().expect("a directory");
        let work = dir.path().join("work");
        std::fs::create_dir_all(&work).expect("a directory");
        let log = work.join("log");
        let child = Child::spawn(&Command::new("no-such-program"), &work, &log).expect("a guard");
        child.ended().expect("ended");
        let said = std::fs::read_to_string(log).expect("a log");
        assert!(said.contains("no-such-program"), "{said}");
    }
}
