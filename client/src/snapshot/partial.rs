//! A file that gets its name when it is whole.

// SNAP-001

use bytes::Bytes;
use std::ffi::OsString;
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
                Ok(file) => return Ok(Self { file, path, target, wanted, is_kept: false }),
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
        sync_folder(&self.target)
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
    let Some(file_name) = target.file_name() else {
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

/// Puts the new name on disk, too.
#[cfg(unix)]
fn sync_folder(target: &Path) -> io::Result<()> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    // Folders cannot be opened there.
    Ok(())
}
