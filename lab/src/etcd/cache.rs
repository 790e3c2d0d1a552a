//! Unpacked binaries on disk: `<target>/etcd/<suite>/etcd`, with its version and source beside it.
//!
//! A suite's folder appears whole, by one rename, so that processes that unpack the same suite at
//! the same time cannot see or break each other's half.

use super::{Binary, CACHE_VARIABLE};
use crate::apt::{self, Wanted};
use crate::machine::Suite;
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Lets one thread of a process fetch while the others wait for the same files.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Returns the etcd of a suite, from the disk or from the mirror.
pub(super) fn unpacked(suite: &Suite) -> Result<Binary> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let root = root();
    let folder = root.join(&suite.name);
    if let Some(binary) = read(&folder) {
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
    let path = fresh.join("etcd");
    std::fs::rename(&unpacked, &path).map_err(Error::doing(unpacked.display()))?;
    let binary = Binary::of(path, format!("package of {}", suite.name))?;
    write(&fresh, &binary)?;
    publish(&fresh, &folder)
}

/// Returns the folder of all binaries.
fn root() -> PathBuf {
    if let Some(folder) = std::env::var_os(CACHE_VARIABLE) {
        return workspace().join(folder);
    }
    target().join("etcd")
}

/// Returns cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // An absolute path replaces what it is joined to.
    workspace().join(target)
}

fn workspace() -> &'static Path {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.parent().unwrap_or(lab)
}

fn read(folder: &Path) -> Option<Binary> {
    let path = folder.join("etcd");
    let version = std::fs::read_to_string(folder.join("version")).ok()?.trim().parse().ok()?;
    let source = std::fs::read_to_string(folder.join("source")).ok()?.trim().to_owned();
    path.is_file().then_some(Binary { version, path, source })
}

fn write(folder: &Path, binary: &Binary) -> Result<()> {
    let put = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(Error::doing(file.display()))
    };
    put("version", format!("{}\n", binary.version))?;
    put("source", format!("{}\n", binary.source))
}

/// Gives a finished folder its name. Another process may have been quicker: then its folder stays.
fn publish(fresh: &Path, folder: &Path) -> Result<Binary> {
    let renamed = std::fs::rename(fresh, folder);
    read(folder).ok_or_else(|| {
        let cause = renamed.err().map_or_else(|| "not there".to_owned(), |error| error.to_string());
        Error::new(format!("{}: {cause}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(at: &Path, version: &str) -> PathBuf {
        std::fs::create_dir_all(at).expect("a folder");
        std::fs::write(at.join("etcd"), "").expect("a file");
        let version = version.parse().expect("a version");
        let binary = Binary { version, path: at.join("etcd"), source: "a test".into() };
        write(at, &binary).expect("written");
        at.to_owned()
    }

    #[test]
    fn the_first_to_publish_wins_and_the_second_uses_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = dir.path().join("trixie");
        assert_eq!(read(&place), None);
        let first = publish(&folder(&dir.path().join("a"), "3.5.16"), &place).expect("published");
        assert_eq!(first.path, place.join("etcd"));
        let second = publish(&folder(&dir.path().join("b"), "3.5.17"), &place).expect("published");
        assert_eq!(second, first);
    }

    #[test]
    fn half_a_folder_is_no_binary() {
        let dir = tempfile::tempdir().expect("a folder");
        let place = folder(&dir.path().join("a"), "3.5.16");
        assert!(read(&place).is_some());
        std::fs::remove_file(place.join("version")).expect("removed");
        assert_eq!(read(&place), None);
    }
}
