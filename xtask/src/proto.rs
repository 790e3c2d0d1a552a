//! `cargo xtask proto`: the code generated from the protocol's files.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};

pub(crate) fn run(options: &Options) -> ExitResult {
    let check = options.has("--check");
    shell::heading(if check { "checking the generated code" } else { "generating code" });
    let mut cargo = workspace::cargo(["run", "--quiet", "-p", "etcd3-proto-codegen"]);
    if check {
        cargo.args(["--", "--check"]);
    }
    shell::show(cargo)
}
