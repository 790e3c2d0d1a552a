//! `cargo xtask small-scopes`: every interleaving of a few events and faults.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};

pub(crate) fn run(_: &Options) -> ExitResult {
    let mut cargo = workspace::cargo(["test", "--quiet", "--release", "-p", "etcd3-core"]);
    cargo.args(["--test", "small_scopes", "--", "--ignored", "--nocapture"]);
    shell::show(cargo)
}
