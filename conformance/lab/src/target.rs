//! Where cargo builds, and what is kept there.

use std::path::{Path, PathBuf};

/// Returns cargo's target directory.
pub(crate) fn target() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // An absolute path replaces what it is joined to.
    workspace().join(target)
}

/// Returns the root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
    lab.ancestors().nth(2).unwrap_or(lab)
}
