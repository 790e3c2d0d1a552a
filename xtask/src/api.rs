//! `cargo xtask api`: the lists of the public paths and signatures in `docs/api`.

use crate::options::Options;
use crate::passed::Passed;
use crate::shell::{self, STEP_LIMIT};
use crate::{ExitResult, workspace};
use etcd3_lab::{Error, Result};
use std::collections::BTreeSet;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The packages that have a list. The messages of the wire change with etcd's and promise nothing.
const LISTED: &[&str] = &["etcd3", "etcd3-core", "etcd3-tokio", "etcd3-smol", "etcd3-async-std"];
/// The list whose roots the test names.
const ROOT: &str = "etcd3";
/// The test that names everything at the root, with any compiler.
const NAMING_TEST: &str = "client/tests/contract.rs";
/// The words before and after the compiler in the first line of a list.
const HEADER: (&str, &str) = ("# Made with ", " by `cargo xtask api --save`.");
/// The time that the compiler has to tell its version.
const VERSION_LIMIT: Duration = Duration::from_secs(60);

/// Compares the lists with what the crates have, or writes them anew.
pub(crate) fn run(options: &Options) -> ExitResult {
    if options.has("--save") {
        save()?;
        return Ok(ExitCode::SUCCESS);
    }
    let passed = check_lists()?;
    println!("{}", passed.alarms.first().unwrap_or(&passed.says));
    Ok(ExitCode::SUCCESS)
}

/// Demands that the lists say what the crates have, and that the test imports the whole root.
/// Another compiler than that of the lists could write the same API differently, so that nothing is
/// compared with it.
pub(crate) fn check_lists() -> Result<Passed> {
    let compiler = compiler()?;
    let mut problems = Vec::new();
    let mut skipped = None;
    let mut lines = 0;
    for package in LISTED {
        let file = file_of(package);
        let saved = workspace::read(&file)?;
        let (made_with, saved) = parse(&saved).ok_or_else(|| {
            Error::new(format!("{file} names no compiler; `cargo xtask api --save` makes it."))
        })?;
        if *package == ROOT {
            problems.extend(unnamed(saved, &workspace::read(NAMING_TEST)?));
        }
        if made_with != compiler {
            skipped = Some(format!(
                "SKIPPED api: {file} was made with {made_with}, and this is {compiler}"
            ));
            continue;
        }
        let current = list(package)?;
        problems.extend(differences(saved, &current).into_iter().map(|it| format!("{file}: {it}")));
        lines += current.lines().count();
    }
    if problems.is_empty() {
        let says = format!("{lines} lines of {} crates", LISTED.len());
        return Ok(skipped.map_or_else(|| Passed::saying(says), Passed::alarming));
    }
    problems.push("If that is meant: cargo xtask api --save".into());
    Err(Error::new(problems.join("\n")))
}

fn save() -> Result<()> {
    let compiler = compiler()?;
    for package in LISTED {
        let file = file_of(package);
        shell::heading(&file);
        let list = list(package)?;
        let path = workspace::root().join(&file);
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| std::fs::write(&path, format(&compiler, &list)))
            .map_err(|error| Error::new(format!("{file}: {error}")))?;
        println!("    {} lines", list.lines().count());
    }
    Ok(())
}

fn file_of(package: &str) -> String {
    format!("docs/api/{package}.txt")
}

/// Returns what the compiler says about itself, its commit and date included.
fn compiler() -> Result<String> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg("--version").current_dir(workspace::root());
    Ok(finish(&rustc, VERSION_LIMIT)?.trim().to_owned())
}

/// Lists the public items of a package with all its features.
fn list(package: &str) -> Result<String> {
    let words = ["rustdoc", "--locked", "-p", package, "--lib", "--all-features"];
    let mut rustdoc = workspace::cargo(words);
    rustdoc.args(["--", "-Z", "unstable-options", "--output-format", "json", "--cfg", "docsrs"]);
    // The JSON and the marks of features are there for nightly compilers alone, otherwise.
    rustdoc.env("RUSTC_BOOTSTRAP", "1");
    finish(&rustdoc, STEP_LIMIT)?;
    let json = workspace::target().join("doc").join(package.replace('-', "_") + ".json");
    let mut lister = workspace::cargo(["run", "--locked", "--quiet", "-p", "etcd3-api-list", "--"]);
    finish(lister.arg(json), STEP_LIMIT)
}

fn finish(command: &Command, limit: Duration) -> Result<String> {
    let ended = shell::capture(command, limit)?;
    if ended.ok() { Ok(ended.output) } else { Err(Error::new(ended.output)) }
}

fn format(compiler: &str, list: &str) -> String {
    let (before, after) = HEADER;
    format!("{before}{compiler}{after}\n\n{list}")
}

/// Returns the compiler and the lines of a list.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (header, list) = text.split_once("\n\n")?;
    let compiler = header.strip_prefix(HEADER.0)?.strip_suffix(HEADER.1)?;
    Some((compiler, list))
}

/// Lists the lines that are gone, and those that are new.
fn differences(saved: &str, current: &str) -> Vec<String> {
    let [old, new]: [BTreeSet<&str>; 2] = [saved, current].map(|it| it.lines().collect());
    let gone = old.difference(&new).map(|line| format!("- {line}"));
    gone.chain(new.difference(&old).map(|line| format!("+ {line}"))).collect()
}

/// Finds the items at the root that a test does not import by name.
fn unnamed(list: &str, test: &str) -> Vec<String> {
    let is_of_name = |it: char| it.is_alphanumeric() || it == '_';
    let imports = test.split("use etcd3::").skip(1).filter_map(|rest| rest.split(';').next());
    let named: BTreeSet<&str> = imports.flat_map(|it| it.split(|it| !is_of_name(it))).collect();
    let roots: BTreeSet<&str> = list.lines().filter_map(at_root).collect();
    let missing = roots.into_iter().filter(|name| !named.contains(name));
    missing.map(|name| format!("{NAMING_TEST} does not import {name}")).collect()
}

/// Returns the name of an item that lies at the root, of a line such as `pub use etcd3::Bytes`.
fn at_root(line: &str) -> Option<&str> {
    // Attributes come first.
    let (_, item) = line.split_once("pub ")?;
    let path = item.split_whitespace().find_map(|word| word.strip_prefix("etcd3::"))?;
    let end = path.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    (!name.is_empty() && !rest.starts_with("::")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_its_compiler() {
        let text = format("rustc 1.2.3 (abc 2026-01-01)", "pub mod a\npub fn a::b()\n");
        let list = "pub mod a\npub fn a::b()\n";
        assert_eq!(parse(&text), Some(("rustc 1.2.3 (abc 2026-01-01)", list)));
        assert_eq!(parse(list), None);
        assert_eq!(parse("# Made with care.\n\npub mod a\n"), None);
    }

    #[test]
    fn every_line_that_came_or_went_is_told() {
        assert_eq!(differences("a\nb\n", "a\nb\n"), [""; 0]);
        assert_eq!(differences("a\nb\n", "a\nc\nd\n"), ["- b", "+ c", "+ d"]);
    }

    #[test]
    fn items_at_the_root_are_told_from_those_below() {
        let roots = [
            ("pub use etcd3::Bytes", "Bytes"),
            ("pub struct etcd3::Request<T>", "Request"),
            ("pub macro etcd3::ops!", "ops"),
            ("pub mod etcd3::runtime", "runtime"),
            ("#[non_exhaustive] pub enum etcd3::State", "State"),
            ("pub fn etcd3::get(impl core::convert::Into<etcd3::KeyRange>) -> etcd3::Get", "get"),
        ];
        for (line, name) in roots {
            assert_eq!(at_root(line), Some(name), "{line}");
        }
        for line in [
            "pub mod etcd3",
            "pub fn etcd3::Client::get(&self)",
            "pub etcd3::EndpointState::Ready",
            "impl core::clone::Clone for etcd3::Client",
        ] {
            assert_eq!(at_root(line), None, "{line}");
        }
    }

    #[test]
    fn names_are_looked_for_as_words_of_imports() {
        let list = "pub use etcd3::Get\npub use etcd3::Put\n";
        let problems = unnamed(list, "use etcd3::{Gets, Put};\nfn a(_: etcd3::Get) {}");
        assert_eq!(problems, ["client/tests/contract.rs does not import Get"]);
        assert_eq!(unnamed(list, "use etcd3::{Get,\n    Put};"), [""; 0]);
    }
}
