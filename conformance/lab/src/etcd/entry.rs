//! A program of etcd on disk: `<folder>/etcd`, with its version and source beside it.
//!
//! A folder appears whole, by one rename, so that processes that make the same one at the same time
//! cannot see or break each other's half.

use super::Binary;
use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

/// Reads an entry; `None` when any part of it is missing.
pub(super) fn read(folder: &Path, program: &str) -> Option<Binary> {
    let path = folder.join(program);
    let version = std::fs::read_to_string(folder.join("version")).ok()?.trim().parse().ok()?;
    let source = std::fs::read_to_string(folder.join("source")).ok()?.trim().to_owned();
    path.is_file().then_some(Binary { version, path, source })
}

/// Completes a folder that has the program, and waits until all of it is on the disk.
pub(super) fn write(folder: &Path, binary: &Binary) -> Result<()> {
    let put = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(Error::doing(file.display()))
    };
    put("version", format!("{}\n", binary.version))?;
    put("source", format!("{}\n", binary.source))?;
    for file in [&binary.path, &folder.join("version"), &folder.join("source")] {
        let synced = File::open(file).and_then(|file| file.sync_all());
        synced.map_err(Error::doing(file.display()))?;
    }
    Ok(())
}

/// Gives a finished folder its name. Another process may have been quicker: then its folder stays.
pub(super) fn publish(fresh: &Path, folder: &Path, program: &str) -> Result<Binary> {
    let renamed = std::fs::rename(fresh, folder);
    read(folder, program).ok_or_else(|| {
        let cause = renamed.err().map_or_else(|| "not there".to_owned(), |error| error.to_string());
        Error::new(format!("{}: {cause}", folder.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

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
        assert_eq!(read(&place, "etcd"), None);
        let publish = |name: &str, version| {
            publish(&folder(&dir.path().join(name), version), &place, "etcd").expect("published")
        };
        let first = publish("a", "3.5.16");
        assert_eq!(first.path, place.join("etcd"));
        assert_eq!(publish("b", "3.5.17"), first);
    }

    #[test]
    fn half_a_folder_is_no_binary() {
        let dir = tempfile::tempdir().expect("a folder");
        for part in ["etcd", "version", "source"] {
            let place = folder(&dir.path().join(part), "3.5.16");
            assert!(read(&place, "etcd").is_some() && read(&place, "etcdctl").is_none());
            std::fs::remove_file(place.join(part)).expect("removed");
            assert_eq!(read(&place, "etcd"), None, "{part}");
        }
    }
}
