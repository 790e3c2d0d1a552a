//! Running the programs that the commands consist of.
//!
//! A captured program ends with this process, however this process ends.

use etcd3_lab::{Child, Error, Result, until};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// A script that writes down how the program ended, which its guard does not tell.
const NOTE_STATUS: &str = r#"note=$1; shift; "$@"; echo $? >"$note""#;

/// The limit of a step of `cargo xtask test`, which may build everything.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The output and the end of a captured program.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; of a killed program 128 and the signal, as a shell has it.
    pub(crate) code: i32,
    /// Both outputs in the order in which they were written.
    pub(crate) output: String,
    /// The time that it took, in seconds.
    pub(crate) seconds: f64,
}

impl Ended {
    /// Tells whether the program ended well.
    pub(crate) fn ok(&self) -> bool {
        self.code == 0
    }
}

/// Runs a program without input, keeps what it writes and ends it after `limit`.
///
/// # Errors
///
/// Fails when no process can be started, or after `limit`.
pub(crate) fn capture(command: &Command, limit: Duration) -> Result<Ended> {
    let begin = Instant::now();
    let dir = tempfile::tempdir().map_err(|error| Error::new(format!("no scratch: {error}")))?;
    let (work, log, note) = (dir.path().join("x"), dir.path().join("log"), dir.path().join("code"));
    let program = noting(command, &note);
    let child = Child::spawn(&program, &work, &log)?;
    let name = || command.get_program().to_string_lossy().into_owned();
    let ended = until(limit, "a program to end", || Ok((!child.is_running()).then_some(())));
    // Read before the end of the guard, which may have something to say about it.
    let output = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
    drop(child);
    ended.map_err(|error| {
        let said = etcd3_lab::command::tail(&output, 40);
        Error::new(format!("{}: {error}; its output ends with:\n{said}", name()))
    })?;
    let code = std::fs::read_to_string(&note).unwrap_or_default();
    let code = code.trim().parse().map_err(|_| Error::new(format!("{} was killed", name())))?;
    Ok(Ended { code, output, seconds: begin.elapsed().as_secs_f64() })
}

/// Runs a program that shares this one's input and output, and returns its exit code.
///
/// # Errors
///
/// Fails when no process can be started.
pub(crate) fn show(mut command: Command) -> Result<ExitCode> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| Error::new(format!("{name}: {error}")))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Tells whether a program is in `PATH`.
pub(crate) fn in_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Removes what cargo tells about this program from the environment of another cargo, which could
/// take it for a reason to build again.
pub(crate) fn forget_outer_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|it| text.starts_with(it)) {
            command.env_remove(name);
        }
    }
}

/// Prints a line that begins a step.
pub(crate) fn heading(step: &str) {
    println!("==> {step}");
}

/// Tells an amount of time for a person.
pub(crate) fn time(seconds: f64) -> String {
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{:.1} min", seconds / 60.0) }
}

fn noting(command: &Command, note: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", NOTE_STATUS, "note"]).arg(note);
    shell.arg(command.get_program()).args(command.get_args());
    // A panic tells its line; the frames of a runtime above it would bury that.
    shell.env("RUST_BACKTRACE", "0");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("WORD", "spoken").current_dir("/");
        command
    }

    #[test]
    fn both_outputs_the_code_the_folder_and_the_environment_come_through() {
        let script = "echo one; echo two >&2; echo $WORD; pwd; exit 7";
        let ended = capture(&sh(script), Duration::from_secs(10)).unwrap();
        assert_eq!(ended.output, "one\ntwo\nspoken\n/\n");
        assert_eq!((ended.code, ended.ok()), (7, false));
    }

    #[test]
    fn a_program_without_an_end_is_ended_and_its_words_are_told() {
        let begin = Instant::now();
        let error = capture(&sh("echo begun; sleep 60; :"), Duration::from_millis(200));
        assert!(error.unwrap_err().to_string().ends_with("begun"));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_killed_program_is_no_success() {
        assert!(capture(&sh("kill -KILL $$"), Duration::from_secs(10)).unwrap().code >= 128);
    }
}
