//! Programs of others that a command needs, and builds itself when they are missing.

use crate::{shell, workspace};
use etcd3_lab::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that cargo can build, at the version that is built when there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Returns the folder of what was built here.
    pub(crate) fn folder() -> PathBuf {
        workspace::target().join("tools")
    }

    /// Returns where the program is once it was built here.
    pub(crate) fn built(self) -> PathBuf {
        Self::folder().join("bin").join(self.name)
    }

    /// Makes the command line that builds the program, in `scratch`, while it yields to everything
    /// else.
    ///
    /// # Errors
    ///
    /// Fails when there can be no such folder.
    pub(crate) fn build(self, scratch: &Path) -> Result<Command> {
        std::fs::create_dir_all(scratch)
            .map_err(|error| Error::new(format!("{}: {error}", scratch.display())))?;
        let words = ["install", "--locked", "--version", self.version, self.name];
        let cargo = workspace::cargo(words);
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(cargo.get_program()).args(cargo.get_args());
        nice.arg("--root").arg(Self::folder()).arg("--target-dir").arg(scratch);
        nice.current_dir(workspace::root());
        shell::forget_outer_cargo(&mut nice);
        Ok(nice)
    }
}
