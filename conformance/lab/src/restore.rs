//! Restoring snapshots by etcd's own tool of the version.

use crate::apt::Wanted;
use crate::distribution::{self, Suite};
use crate::etcd::{self, BUILT, Program, Version};
use crate::layout::Layout;
use crate::{Error, Result, command, tools};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The limit of one restoration; that of 300 MB takes seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// Makes a command line of the tool that restores snapshots of a version: its own `etcdutl`, or
/// before etcd 3.6 the `etcdctl` of its release.
///
/// # Errors
///
/// Fails when the machine cannot have it.
pub fn tool(version: Version) -> Result<Command> {
    let release = (version.major, version.minor);
    let modules = BUILT.into_iter().filter(|built| *built == release);
    let has_tool =
        |release| etcd::programs(release).is_ok_and(|programs| programs.contains(&Program::Utl));
    if let Some(release) = modules.into_iter().find(|&release| has_tool(release)) {
        return Ok(Command::new(etcd::program(Program::Utl, release)?.path));
    }
    let is_it = |suite: &Suite| {
        suite.version.is_some_and(|version| (version.major, version.minor) == release)
    };
    let suite = distribution::suites().into_iter().find(is_it);
    let name = format!("etcd-client-{}.{}", version.major, version.minor);
    let wanted = Wanted { packages: &["etcd-client"], needs: &[], pin: None };
    let tree = tools::fetch_of(suite, &name, wanted)?;
    let mut etcdctl = Command::new(tree.join("usr/bin/etcdctl"));
    etcdctl.env("ETCDCTL_API", "3");
    Ok(etcdctl)
}

/// Makes the data of a member from a snapshot, unless it has some: `cluster` lists all members with
/// their addresses.
pub(crate) fn restore(
    snapshot: &Path,
    version: Version,
    layout: &Layout,
    cluster: &str,
    token: &str,
) -> Result<()> {
    let data = layout.dir.join("data");
    if data.exists() {
        return Ok(());
    }
    let mut tool = tool(version)?;
    tool.args(["snapshot", "restore"]).arg(snapshot);
    tool.args(["--name", &layout.name, "--initial-cluster", cluster]);
    tool.args(["--initial-cluster-token", token]);
    tool.args(["--initial-advertise-peer-urls", &layout.peer_url(), "--data-dir"]).arg(&data);
    command::run(&mut tool, LIMIT)
        .and_then(command::ProgramOutput::success)
        .map(drop)
        .map_err(Error::doing(snapshot.display()))
}
