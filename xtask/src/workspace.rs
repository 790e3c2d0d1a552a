//! Where the workspace is, and which files belong to it.

use crate::shell;
use etcd3_lab::{Error, Result, command};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The runtimes that have an adapter, in the folder `runtime-<name>`.
pub(crate) const RUNTIMES: &[&str] = &["tokio", "smol", "async-std"];

/// Returns the root of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Returns cargo's target directory.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// Writes a path for a person: relative to the root where it is inside the workspace.
pub(crate) fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Returns the file of the notes that tests leave for the summary.
pub(crate) fn notes() -> PathBuf {
    target().join("notes.txt")
}

/// Returns the number of commits so far; `None` where git does not tell.
pub(crate) fn commits() -> Option<u64> {
    let mut git = Command::new("git");
    git.args(["rev-list", "--count", "HEAD"]).current_dir(root());
    let counted = command::run(&mut git, Duration::from_secs(30)).ok()?.success().ok()?;
    counted.stdout.trim().parse().ok()
}

/// Reads a file of the workspace.
pub(crate) fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(root().join(file))
        .map_err(|error| Error::new(format!("{file}: {error}")))
}

/// Tells whether a file is Rust source.
pub(crate) fn is_source(file: &str) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "rs")
}

/// Lists the files of the workspace that git knows or would add, relative to the root, sorted.
pub(crate) fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let listed = command::run(git.current_dir(root()), Duration::from_secs(30))
        .and_then(command::ProgramOutput::success)
        .map_err(|error| Error::new(format!("git ls-files: {error}")))?;
    let names = listed.stdout.split('\0').filter(|name| root().join(name).is_file());
    let mut files: Vec<String> = names.map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Names the integration tests of a package by its folder.
pub(crate) fn integration_tests(folder: &str) -> Result<Vec<String>> {
    let all = all_integration_tests()?;
    Ok(all.into_iter().filter(|(its, _)| its == folder).map(|(_, name)| name).collect())
}

/// Lists the integration tests of the workspace: the folder of the package, and the name.
pub(crate) fn all_integration_tests() -> Result<Vec<(String, String)>> {
    Ok(tests_in(&files()?, &members()?))
}

/// Lists the folders of all packages of the workspace.
pub(crate) fn members() -> Result<Vec<String>> {
    Ok(members_in(&read("Cargo.toml")?))
}

fn tests_in(files: &[String], members: &[String]) -> Vec<(String, String)> {
    let tests = files.iter().filter_map(|file| {
        let (folder, name) = file.strip_suffix(".rs")?.split_once("/tests/")?;
        let name = name.strip_suffix("/main").unwrap_or(name);
        let ours = members.iter().any(|member| member == folder) && !name.contains('/');
        ours.then(|| (folder.to_owned(), name.to_owned()))
    });
    tests.collect()
}

/// Finds the folders of all packages in the manifest of the workspace.
fn members_in(manifest: &str) -> Vec<String> {
    let list = manifest.split_once("members = [").map_or("", |(_, rest)| rest);
    let list = list.split(']').next().unwrap_or_default();
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Names an example of an adapter by the stem of its file. The adapters build into one folder, so
/// what all of them have bears the name of the runtime too.
pub(crate) fn example_of(runtime: &str, stem: &str) -> String {
    if stem == "readme" {
        return stem.to_owned();
    }
    format!("{stem}_{}", runtime.replace('-', "_"))
}

/// Makes a command line of cargo that runs at the root, and whose programs leave their notes for
/// the summary.
pub(crate) fn cargo<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(words).current_dir(root()).env(etcd3_lab::notes::VARIABLE, notes());
    shell::forget_outer_cargo(&mut cargo);
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_are_the_files_and_programs_in_the_folder_tests() {
        let files = [
            "conformance/tests/smol.rs",
            "core/tests/call/main.rs",
            "core/tests/call/rig.rs",
            "core/src/tests/util.rs",
            "fuzz/tests/replay.rs",
            "proto/codegen/tests/a.rs",
            "core/tests/data.txt",
        ];
        let manifest = r#"members = ["conformance", "core",
            "proto/codegen",] exclude = ["fuzz"]"#;
        let found = tests_in(&files.map(str::to_owned), &members_in(manifest));
        let expected = [("conformance", "smol"), ("core", "call"), ("proto/codegen", "a")];
        assert_eq!(found, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn examples_are_named_apart() {
        assert_eq!(example_of("async-std", "tour"), "tour_async_std");
        assert_eq!(example_of("tokio", "readme"), "readme");
    }
}
