//! A file that gets its name when it is whole.

// SNAP-001

use bytes::Bytes;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Weak;

/// How many names are tried; each is taken by chance only.
const NAMES: u64 = 16;

/// A file beside its target, removed when dropped unless it took the name of that.
pub(super) struct Partial {
    pub(super) file: File,
    path: PathBuf,
    target: PathBuf,
    folder: Folder,
    /// Gone when nobody wants the file any more.
    wanted: Weak<()>,
    is_kept: bool,
}

impl Partial {
    /// Creates an empty file that only its owner can read and write.
    pub(super) fn create(target: PathBuf, seed: u64, wanted: Weak<()>) -> io::Result<Self> {
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut number = seed;
        loop {
            let path = beside(&target, number)?;
            match private().open(&path) {
                Ok(file) => {
                    // Removes the file when the folder cannot be opened.
                    let folder = Folder(None);
                    let mut it = Self { file, path, target, folder, wanted, is_kept: false };
                    it.folder = Folder::of(&it.target)?;
                    return Ok(it);
                }
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists
                        && number.wrapping_sub(seed) < NAMES =>
                {
                    number = number.wrapping_add(1);
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn write(&mut self, chunks: &[Bytes]) -> io::Result<()> {
        chunks.iter().try_for_each(|chunk| self.file.write_all(chunk))
    }

    /// Puts the file on disk, and then under its name, unless nobody wants it any more.
    pub(super) fn commit(&mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if self.wanted.strong_count() == 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        std::fs::rename(&self.path, &self.target)?;
        self.is_kept = true;
        self.folder.sync()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.is_kept {
            // It may be gone already; nobody is left to be told otherwise.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns a name in the folder of the target that nobody else has.
fn beside(target: &Path, number: u64) -> io::Result<PathBuf> {
    // A separator at the end makes it the name of a folder.
    let is_last =
        |name: &&OsStr| target.as_os_str().as_encoded_bytes().ends_with(name.as_encoded_bytes());
    let Some(file_name) = target.file_name().filter(is_last) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    };
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(format!(".{number:016x}.part"));
    Ok(target.with_file_name(name))
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The folder of the target, where it can be opened: opened before anything is written, since what
/// is found out after the file took its name comes too late.
struct Folder(Option<File>);

impl Folder {
    #[cfg(unix)]
    fn of(target: &Path) -> io::Result<Self> {
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).map(Some).map(Self)
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "as elsewhere")]
    fn of(_: &Path) -> io::Result<Self> {
        Ok(Self(None))
    }

    /// Puts the new name on disk, too.
    fn sync(&self) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), File::sync_all)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    // Its new name could not be put on disk. To the superuser every folder is open.
    #[test]
    fn a_folder_that_cannot_be_opened_is_told_before_anything_is_written() {
        let folder = std::env::temp_dir().join(format!("etcd3-shut-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let shut = std::fs::Permissions::from_mode(0o300);
        std::fs::set_permissions(&folder, shut).expect("it is ours");
        let is_open = File::open(&folder).is_ok();
        let wanted = Arc::new(());
        let created = Partial::create(folder.join("backup.db"), 7, Arc::downgrade(&wanted));
        let (created, kind) = (created.is_ok(), created.err().map(|error| error.kind()));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).expect("ours");
        assert_eq!(created, is_open, "{kind:?}");
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
        std::fs::remove_dir(&folder).expect("nothing is left");
    }
}
