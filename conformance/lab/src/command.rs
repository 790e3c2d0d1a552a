//! Running another program to its end, within a limit.

use crate::{Error, Result, until};
use std::fs::File;
use std::io::{Read, Seek};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// The output and the status of a program that has ended.
#[derive(Debug)]
pub struct ProgramOutput {
    /// The exit status of the program.
    pub status: ExitStatus,
    /// The text on its standard output.
    pub stdout: String,
    /// The text on its standard error.
    pub stderr: String,
}

impl ProgramOutput {
    /// Turns an end without success into an error that quotes the end of what was written.
    ///
    /// # Errors
    ///
    /// Fails when the program did not exit with zero.
    pub fn success(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        Err(Error::new(format!("{}: {}", self.status, tail(said, 8))))
    }
}

/// Runs `command` without input and returns what it wrote.
///
/// The output goes through files, not pipes, so that a grandchild that outlives the program cannot
/// hold the caller up.
///
/// # Errors
///
/// Fails when the program cannot be started, or has not ended after `limit`; it is killed then.
pub fn run(command: &mut Command, limit: Duration) -> Result<ProgramOutput> {
    watch(command, limit, |_| {})
}

/// Runs `command` as [`run`] does, and shows its standard error to `look` again and again until it
/// ends. What is shown must be read at given offsets: the program writes where the file stands.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut look: impl FnMut(&File),
) -> Result<ProgramOutput> {
    let name = command.get_program().to_string_lossy().into_owned();
    let scratch = || tempfile::tempfile().map_err(Error::doing("no scratch file"));
    let (mut stdout, mut stderr) = (scratch()?, scratch()?);
    let share = |file: &File| file.try_clone().map_err(Error::doing("no second handle"));
    command.stdin(Stdio::null()).stdout(share(&stdout)?).stderr(share(&stderr)?);
    let mut child = command.spawn().map_err(Error::doing(format!("cannot run {name}")))?;
    let ended = until(limit, &format!("{name} to end"), || {
        look(&stderr);
        child.try_wait().map_err(Error::doing(format!("cannot wait for {name}")))
    });
    if ended.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    Ok(ProgramOutput {
        status: ended?,
        stdout: contents(&mut stdout)?,
        stderr: contents(&mut stderr)?,
    })
}

fn contents(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().map_err(Error::doing("cannot rewind a scratch file"))?;
    file.read_to_end(&mut bytes).map_err(Error::doing("cannot read a scratch file"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the last `lines` lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Returns the first and the last lines of a text, for a log whose reason may be at either end.
pub fn excerpt(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim().lines().collect();
    if all.len() <= lines * 2 {
        return all.join("\n");
    }
    format!("{}\n[…]\n{}", all[..lines].join("\n"), all[all.len() - lines..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn keeps_both_outputs_and_the_status() {
        let end = run(&mut sh("echo out; echo err >&2; exit 3"), Duration::from_secs(5))
            .expect("sh runs");
        assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!(end.status.code(), Some(3));
        let said = end.success().expect_err("3 is no success").to_string();
        assert!(said.ends_with(": err"), "{said}");
    }

    #[test]
    fn a_program_over_its_limit_is_killed() {
        let begin = std::time::Instant::now();
        let end = run(&mut sh("exec sleep 30"), Duration::from_millis(50));
        assert!(end.is_err() && begin.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn tail_is_the_end_of_the_text() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }

    #[test]
    fn an_excerpt_has_both_ends_of_a_long_text() {
        assert_eq!(excerpt("a\nb\nc\nd\n", 2), "a\nb\nc\nd");
        assert_eq!(excerpt("a\nb\nc\nd\ne\n", 2), "a\nb\n[…]\nd\ne");
    }
}
