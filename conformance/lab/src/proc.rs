//! The state of processes: Linux's `/proc`, or `ps`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Tells whether a process exists and is more than a zombie.
pub(crate) fn runs(pid: u32) -> bool {
    let state = if cfg!(target_os = "linux") {
        state_in(&PathBuf::from(format!("/proc/{pid}/stat")))
    } else {
        state_by_ps(pid)
    };
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Tells whether all threads of a process are stopped by a signal.
pub(crate) fn is_frozen(pid: u32) -> bool {
    if !cfg!(target_os = "linux") {
        return state_by_ps(pid) == Some('T');
    }
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| state_in(&thread.path().join("stat")) == Some('T'))
}

fn state_in(stat: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(stat).ok()?;
    // The command in parentheses may itself contain spaces and parentheses.
    stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next())
}

fn state_by_ps(pid: u32) -> Option<char> {
    let mut ps = Command::new("ps");
    let said = ps.args(["-o", "stat=", "-p", &pid.to_string()]).output().ok()?;
    said.stdout.trim_ascii().first().map(|&state| char::from(state))
}

/// Names this machine's architecture as Go does, where some etcd runs only when it is told so.
pub(crate) fn unsupported_architecture() -> Option<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => None,
        "aarch64" => Some("arm64"),
        "x86" => Some("386"),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        let ended = crate::until(std::time::Duration::from_secs(5), "the end of true", || {
            Ok((!runs(pid)).then_some(()))
        });
        assert_eq!(ended, Ok(()));
        assert!(runs(std::process::id()));
        child.wait().expect("true ended");
    }
}
