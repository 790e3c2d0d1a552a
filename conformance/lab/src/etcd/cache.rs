//! Packages of etcd that were unpacked: `<target>/etcd/<suite>/etcd`.

use super::entry::{publish, read, write};
use super::{Binary, CACHE_VARIABLE};
use crate::apt::{self, Wanted};
use crate::distribution::Suite;
use crate::target::{target, workspace};
use crate::{Error, Result};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The name of the server's program.
const PROGRAM: &str = "etcd";

/// The lock of the one thread of a process that fetches; the others wait for the same files.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the etcd of a suite, from the disk or from the mirror.
pub(super) fn unpacked(suite: &Suite) -> Result<Binary> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root = root();
    let folder = root.join(&suite.name);
    if let Some(binary) = read(&folder, PROGRAM) {
        return Ok(binary);
    }
    std::fs::create_dir_all(&root).map_err(Error::doing(root.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".unpack-")
        .tempdir_in(&root)
        .map_err(Error::doing(root.display()))?;
    let wanted = Wanted { packages: &["etcd-server"], needs: &[], pin: suite.pin };
    let unpacked = apt::unpack(suite, wanted, scratch.path())?.join("usr/bin/etcd");
    let fresh = scratch.path().join("fresh");
    std::fs::create_dir(&fresh).map_err(Error::doing(fresh.display()))?;
    // Moved, not copied: a file that this process has open for writing cannot be run.
    let path = fresh.join(PROGRAM);
    std::fs::rename(&unpacked, &path).map_err(Error::doing(unpacked.display()))?;
    let binary = Binary::of(path, format!("package of {}", suite.name))?;
    write(&fresh, &binary)?;
    publish(&fresh, &folder, PROGRAM)
}

/// Returns the folder of all binaries.
fn root() -> PathBuf {
    if let Some(folder) = std::env::var_os(CACHE_VARIABLE) {
        return workspace().join(folder);
    }
    target().join("etcd")
}
