//! Where `protoc`, the compiler of protocols, comes from.
//!
//! Nothing of this workspace needs it, but the client of others that it is compared with does. The
//! variable `PROTOC` is asked first, then `PATH`; else the distribution's package is unpacked below
//! the workspace's target directory, and nothing is installed.

use crate::apt::Wanted;
use crate::{Error, Result, tools};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that build scripts read, too.
const VARIABLE: &str = "PROTOC";

/// A `protoc`, with what it needs from beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protoc {
    /// The path of the program.
    pub program: PathBuf,
    /// The folder with the protocols that come with it, where that is not the machine's own.
    pub include: Option<PathBuf>,
    /// The folder with its libraries, where that is not the machine's own.
    pub libraries: Option<PathBuf>,
}

impl Protoc {
    /// Tells a program and its children where it is, in the variables that they read.
    pub fn offer(&self, command: &mut Command) {
        command.env(VARIABLE, &self.program);
        if let Some(folder) = &self.include {
            command.env("PROTOC_INCLUDE", folder);
        }
        if let Some(folder) = &self.libraries {
            command.env("LD_LIBRARY_PATH", folder);
        }
    }
}

/// Finds `protoc`, or fetches it: some 12 MB from the mirror, once.
///
/// # Errors
///
/// Fails when it is not there and the machine has no packages of Debian or Ubuntu.
pub fn find() -> Result<Protoc> {
    if let Some(program) = named().or_else(|| tools::in_path("protoc")) {
        return Ok(Protoc { program, include: None, libraries: None });
    }
    let wanted = Wanted {
        packages: &["protobuf-compiler", "libprotobuf-dev"],
        needs: &["libproto", "libabsl", "libutf8-"],
        pin: None,
    };
    let tree = tools::fetch("protoc", wanted)
        .map_err(|error| Error::new(format!("{error}, or set {VARIABLE} to its path")))?;
    unpacked(&tree).ok_or_else(|| Error::new(format!("{}: no protoc", tree.display())))
}

fn named() -> Option<PathBuf> {
    std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Finds the program and its libraries in an unpacked tree.
fn unpacked(tree: &Path) -> Option<Protoc> {
    let program = tree.join("usr/bin/protoc");
    if !program.is_file() {
        return None;
    }
    // The folder below it is named after the architecture.
    let folders = std::fs::read_dir(tree.join("usr/lib")).ok()?.flatten().map(|it| it.path());
    let has_library = |folder: &PathBuf| {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("libprotoc.so"))
    };
    let libraries = folders.into_iter().find(has_library);
    Some(Protoc { program, include: Some(tree.join("usr/include")), libraries })
}
