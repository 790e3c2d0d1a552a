//! A program made by following the README to the letter builds and works.

use super::examples;
use super::unpacked::{Package, Unpacked, why_not};
use crate::passed::Passed;
use crate::{shell, workspace};
use etcd3_lab::{Error, Result, Server, etcd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The name of the program.
const NAME: &str = "readme";
/// The limit of its run.
const LIMIT: Duration = Duration::from_secs(60);

/// The instructions of the README.
#[derive(Debug, PartialEq, Eq)]
struct Told<'a> {
    /// The lines of `cargo add` before the program.
    first: Vec<&'a str>,
    program: &'a str,
    /// The lines of `cargo add` after it, for more than it needs.
    later: Vec<&'a str>,
}

pub(super) fn follow_readme() -> Result<Passed> {
    if let Some(why) = why_not()? {
        return Ok(Passed::alarming(format!("SKIPPED the README: {why}")));
    }
    let readme = workspace::read("README.md")?;
    let told = Told::read(&readme)?;
    let unpacked = Unpacked::make()?;
    let folder = unpacked.add_program(NAME, told.program)?;
    add(&told.first, &unpacked, &folder)?;
    Unpacked::run(Unpacked::cargo(&folder, ["build", "--quiet"]))?;
    let ran = run()?;
    add(&told.later, &unpacked, &folder)?;
    Unpacked::run(Unpacked::cargo(&folder, ["check", "--quiet"]))?;
    let lines = told.first.len() + told.later.len();
    Ok(match ran {
        Some(server) => Passed::saying(format!("{lines} lines, and the program with {server}")),
        None => Passed::alarming("The program of the README was not run: there is no etcd."),
    })
}

fn add(lines: &[&str], unpacked: &Unpacked, folder: &Path) -> Result<()> {
    for line in lines {
        let words = words_of(line, &unpacked.packages)?;
        let cargo = Unpacked::cargo(folder, words.iter().map(String::as_str));
        Unpacked::run(cargo).map_err(|error| Error::new(format!("{line}\n{error}")))?;
    }
    Ok(())
}

/// Runs the program where there is an etcd, and tells which one.
fn run() -> Result<Option<String>> {
    if etcd::any().is_err() {
        return Ok(None);
    }
    let server = Server::start()?;
    let mut program = Command::new(workspace::target().join("debug").join(NAME));
    let ended = shell::capture(program.arg(server.client_url()), LIMIT)?;
    if !ended.ok() {
        let (code, output) = (ended.code, ended.output);
        return Err(Error::new(format!("The program: exit code {code}\n{output}")));
    }
    Ok(Some(server.binary().to_string()))
}

impl<'a> Told<'a> {
    fn read(readme: &'a str) -> Result<Self> {
        let program = examples::program(readme)?;
        let (before, after) = readme.split_once(program).unwrap_or((readme, ""));
        let (first, later) = (added_in(before), added_in(after));
        if first.is_empty() {
            return Err(Error::new("README.md has no `cargo add` before its first program."));
        }
        Ok(Self { first, program, later })
    }
}

/// Finds the lines of `cargo add` that stand by themselves.
fn added_in(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("cargo add ")).collect()
}

/// Returns what a line has cargo do, without its comment. Of ours it adds the unpacked package.
fn words_of(line: &str, ours: &[Package]) -> Result<Vec<String>> {
    let command = line.split(" #").next().unwrap_or_default();
    let mut words: Vec<String> = command.split_whitespace().skip(1).map(str::to_owned).collect();
    let name = words.get(1).filter(|it| !it.starts_with('-'));
    let name = name.ok_or_else(|| Error::new(format!("{line}: the crate comes first.")))?;
    if let Some(package) = ours.iter().find(|it| it.name == *name) {
        let path = format!("../{}", package.unpacked());
        words.extend(["--path".to_owned(), path]);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    const README: &str = "\
```sh
cargo add etcd3-tokio
cargo add tokio --features macros
```
Not `cargo add other`.
```rust,no_run
// etcd3_tokio::connect
x
```
```sh
cargo add etcd3-tokio --features tls   # encrypted
```
";

    #[test]
    fn lines_are_told_by_where_they_stand() {
        let told = Told::read(README).unwrap();
        assert_eq!(told.first, ["cargo add etcd3-tokio", "cargo add tokio --features macros"]);
        assert_eq!(told.program, "// etcd3_tokio::connect\nx");
        assert_eq!(told.later, ["cargo add etcd3-tokio --features tls   # encrypted"]);
        let (_, without) = README.split_once("Not").unwrap();
        assert!(Told::read(without).is_err() && Told::read("nothing").is_err());
    }

    #[test]
    fn ours_come_from_where_they_are_unpacked_and_others_as_printed() {
        let ours = [Package::new("etcd3-tokio", "runtime-tokio", "0.1.0")];
        let words = words_of("cargo add etcd3-tokio --features tls   # encrypted", &ours).unwrap();
        let expected =
            ["add", "etcd3-tokio", "--features", "tls", "--path", "../etcd3-tokio-0.1.0"];
        assert_eq!(words, expected);
        let words = words_of("cargo add tokio --features macros", &ours).unwrap();
        assert_eq!(words, ["add", "tokio", "--features", "macros"]);
        assert!(words_of("cargo add --dev tokio", &ours).is_err());
    }
}
