//! Where programs come from that tests and measurements need: valgrind, strace, nginx, Go.
//!
//! What is in `PATH` is taken; else the distribution's package is unpacked below the workspace's
//! target directory, and nothing is installed.

use crate::apt::{self, Wanted};
use crate::distribution::Suite;
use crate::target::target;
use crate::version::Version;
use crate::{Error, Result, command, distribution};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The lock of the one thread of a process that fetches; the others wait for the same files.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A program, with the variables that it needs where it is not installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    program: PathBuf,
    variables: Vec<(&'static str, PathBuf)>,
}

impl Tool {
    /// Makes a command line of it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Finds `valgrind`, or fetches it: some 20 MB from the mirror, once.
///
/// # Errors
///
/// Fails when it is not there and the machine has no packages of Debian or Ubuntu.
pub fn valgrind() -> Result<Tool> {
    if let Some(tool) = installed("valgrind") {
        return Ok(tool);
    }
    let tree = fetch("valgrind", Wanted { packages: &["valgrind"], needs: &[], pin: None })?;
    // The program without `.bin` is a script that looks where it would be installed.
    let wrapped = tree.join("usr/bin/valgrind.bin");
    let program = if wrapped.is_file() { wrapped } else { tree.join("usr/bin/valgrind") };
    let folders = ["usr/libexec/valgrind", "usr/lib/valgrind"].map(|folder| tree.join(folder));
    let folder = folders.into_iter().find(|folder| folder.is_dir());
    let folder =
        folder.ok_or_else(|| Error::new("the package has no folder of valgrind's tools"))?;
    Ok(Tool { program, variables: vec![("VALGRIND_LIB", folder)] })
}

/// Finds `strace`, or fetches it: some 2 MB from the mirror, once.
///
/// # Errors
///
/// Fails when it is not there and the machine has no packages of Debian or Ubuntu.
pub fn strace() -> Result<Tool> {
    if let Some(tool) = installed("strace") {
        return Ok(tool);
    }
    let wanted = Wanted { packages: &["strace"], needs: &["libunwind"], pin: None };
    let tree = fetch("strace", wanted)?;
    let folders = std::fs::read_dir(tree.join("usr/lib")).into_iter().flatten().flatten();
    // The folder is named after the architecture.
    let folder = folders.map(|folder| folder.path()).find(|folder| folder.is_dir());
    let variables = folder.into_iter().map(|folder| ("LD_LIBRARY_PATH", folder)).collect();
    Ok(Tool { program: tree.join("usr/bin/strace"), variables })
}

/// Finds `etcdctl`, or fetches it: some 5 MB from the mirror, once.
///
/// # Errors
///
/// Fails when it is not there and the machine has no packages of Debian or Ubuntu.
pub fn etcdctl() -> Result<Tool> {
    let mut tool = match installed("etcdctl") {
        Some(tool) => tool,
        None => Tool { program: etcdctl_of_suite()?, variables: Vec::new() },
    };
    // Before etcd 3.4 it spoke the API of etcd 2 otherwise.
    tool.variables.push(("ETCDCTL_API", "3".into()));
    Ok(tool)
}

/// Unpacks it from the first release that has it.
fn etcdctl_of_suite() -> Result<PathBuf> {
    let mut reasons = Vec::new();
    for suite in distribution::suites_by_preference() {
        let name = format!("etcd-client-of-{}", suite.name);
        let wanted = Wanted { packages: &["etcd-client"], needs: &[], pin: None };
        match fetch_of(Some(suite), &name, wanted) {
            Ok(tree) => return Ok(tree.join("usr/bin/etcdctl")),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.is_empty() {
        reasons.push("this machine has no packages of Debian or Ubuntu".to_owned());
    }
    Err(Error::new(format!("no etcdctl: {}", reasons.join("; "))))
}

/// The oldest nginx that counts the requests of HTTP/2 connections as it does those of others.
const OLDEST_NGINX: Version = Version { major: 1, minor: 19, patch: 10 };

/// Finds `nginx`, or fetches it: some 2 MB from the mirror, once.
///
/// # Errors
///
/// Fails when it is not there and the machine has no packages of Debian or Ubuntu, and when it is
/// older than 1.19.10.
pub fn nginx() -> Result<Tool> {
    let tool = installed("nginx").map_or_else(unpacked_nginx, Ok)?;
    let version = nginx_version(&tool)?;
    if version < OLDEST_NGINX {
        let text = format!("nginx is {version}, older than {OLDEST_NGINX}; install a newer one");
        return Err(Error::new(text));
    }
    Ok(tool)
}

/// Asks an nginx for its version.
///
/// # Errors
///
/// Fails when it cannot be run or does not tell.
pub fn nginx_version(nginx: &Tool) -> Result<Version> {
    let asked = command::run(nginx.command().arg("-v"), Duration::from_secs(20))?.success()?;
    let said = asked.stderr.trim().rsplit('/').next().unwrap_or_default();
    // Some distributions add their names.
    let version = said.split_whitespace().next().and_then(|version| version.parse().ok());
    version.ok_or_else(|| Error::new(format!("nginx does not tell its version: {}", asked.stderr)))
}

fn unpacked_nginx() -> Result<Tool> {
    // Some releases have the program in a package that `nginx` depends on.
    let needs = &["nginx-core", "nginx-light", "libpcre", "libssl"];
    let tree = fetch("nginx", Wanted { packages: &["nginx"], needs, pin: None })?;
    let program = tree.join("usr/sbin/nginx");
    if !program.is_file() {
        return Err(Error::new(format!("{}: no nginx", tree.display())));
    }
    let libraries = std::env::join_paths(library_folders(&tree)).unwrap_or_default();
    let variables = vec![("LD_LIBRARY_PATH", libraries.into())];
    Ok(Tool { program, variables })
}

/// Finds the folders of an unpacked tree that have shared libraries; they are named after the
/// architecture.
fn library_folders(tree: &Path) -> Vec<PathBuf> {
    let folders = ["usr/lib", "lib"].into_iter().flat_map(|lib| entries(&tree.join(lib)));
    let has_library = |folder: &PathBuf| {
        let mut files = entries(folder);
        files.any(|file| file.to_string_lossy().contains(".so."))
    };
    folders.filter(has_library).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn installed(name: &str) -> Option<Tool> {
    in_path(name).map(|program| Tool { program, variables: Vec::new() })
}

pub(crate) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|it| it.is_file())
}

/// Finds the tree of packages that were unpacked before, or unpacks them; they fit to this machine.
pub(crate) fn fetch(name: &str, wanted: Wanted) -> Result<PathBuf> {
    fetch_of(distribution::own_suite(), name, wanted)
}

/// Does so for packages that fit to another release, or to any.
pub(crate) fn fetch_of(suite: Option<Suite>, name: &str, wanted: Wanted) -> Result<PathBuf> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let tools = target().join("tools");
    let folder = tools.join(name);
    if is_there(&folder) {
        return Ok(folder);
    }
    let suite = suite.ok_or_else(|| {
        let packages = "this machine has no packages of Debian or Ubuntu";
        Error::new(format!("{packages}; install {name}"))
    })?;
    std::fs::create_dir_all(&tools).map_err(Error::doing(tools.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(&tools)
        .map_err(Error::doing(tools.display()))?;
    let tree = apt::unpack(&suite, wanted, scratch.path())?;
    // One rename: other processes see all of it or nothing. Who is later uses what is there.
    let renamed = std::fs::rename(&tree, &folder);
    if is_there(&folder) {
        return Ok(folder);
    }
    let cause = renamed.err().map_or_else(|| "not there".to_owned(), |error| error.to_string());
    Err(Error::new(format!("{}: {cause}", folder.display())))
}

fn is_there(tree: &Path) -> bool {
    ["usr/bin", "usr/sbin"].iter().any(|folder| tree.join(folder).is_dir())
}
