//! The examples run, each to its end, against a real server.

use crate::passed::Passed;
use crate::{shell, workspace};
use etcd3_lab::{Error, Result, Server};
use std::process::Command;
use std::time::Duration;

/// The limit of each example.
const LIMIT: Duration = Duration::from_secs(60);
/// The example that takes a second cluster.
const WITH_ANOTHER: &str = "mirror_tokio";
/// The examples that every adapter has, by their files.
const OF_EVERY_ADAPTER: &[&str] = &["get_put", "txn", "tour"];

/// Runs what the build step has built.
pub(super) fn run() -> Result<Passed> {
    let server = Server::start()?;
    let another = Server::start()?;
    let mut examples = vec![
        ("by_hand".to_owned(), None),
        ("blocking".to_owned(), Some(server.addr().to_string())),
        ("own_runtime".to_owned(), Some(server.client_url())),
    ];
    let files = workspace::files()?;
    for runtime in workspace::RUNTIMES {
        for stem in of_adapter(&files, runtime)? {
            let name = workspace::example_of(runtime, &stem);
            examples.push((name, Some(server.client_url())));
        }
    }
    let folder = workspace::target().join("debug/examples");
    for (name, word) in &examples {
        let mut example = Command::new(folder.join(name));
        example.args(word).current_dir(workspace::root());
        if name == WITH_ANOTHER {
            example.arg(another.client_url());
        }
        let ended = shell::capture(&example, LIMIT)?;
        if !ended.ok() {
            let (code, output) = (ended.code, ended.output);
            return Err(Error::new(format!("example {name}: exit code {code}\n{output}")));
        }
    }
    Ok(Passed::saying(format!("{} examples with {}", examples.len(), server.binary())))
}

/// Compares the example that people read with the one that is compiled and run.
pub(super) fn readme_is_the_same() -> Result<Passed> {
    let readme = workspace::read("README.md")?;
    let example = workspace::read("runtime-tokio/examples/readme.rs")?;
    compare(&readme, &example)?;
    Ok(Passed::default())
}

/// Finds the examples of an adapter, which take endpoints and end by themselves.
fn of_adapter(files: &[String], runtime: &str) -> Result<Vec<String>> {
    let start = format!("runtime-{runtime}/examples/");
    let names = files.iter().filter_map(|file| {
        let name = file.strip_prefix(&start)?.strip_suffix(".rs")?;
        (!name.contains('/')).then(|| name.to_owned())
    });
    let names: Vec<String> = names.collect();
    match OF_EVERY_ADAPTER.iter().find(|needed| !names.iter().any(|name| name == *needed)) {
        Some(missing) => {
            Err(Error::new(format!("The adapter of {runtime} has no example {missing}.")))
        }
        None => Ok(names),
    }
}

/// Finds the first program of the README.
pub(super) fn program(readme: &str) -> Result<&str> {
    let blocks = readme.split("```rust").skip(1).filter_map(|rest| rest.split("```").next());
    blocks
        // What follows on the line of the fence are options.
        .filter_map(|block| block.split_once('\n').map(|(_, code)| code.trim()))
        .find(|code| code.contains("etcd3_tokio::connect"))
        .ok_or_else(|| Error::new("README.md has no example with etcd3_tokio::connect."))
}

fn compare(readme: &str, example: &str) -> Result<()> {
    let block = program(readme)?;
    let example = example.trim();
    if block == example {
        return Ok(());
    }
    let mut pairs = block.lines().zip(example.lines());
    let (ours, theirs) = pairs.find(|(a, b)| a != b).unwrap_or(("the end", "the end"));
    Err(Error::new(format!(
        "README.md differs from runtime-tokio/examples/readme.rs:\n  {ours}\n  {theirs}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_with_connect_is_compared_without_its_edges() {
        let readme = "a\n```rust\nother\n```\nb\n```rust,no_run\n// etcd3_tokio::connect\nx\n```\n";
        assert_eq!(compare(readme, "\n// etcd3_tokio::connect\nx\n\n"), Ok(()));
        let error = compare(readme, "// etcd3_tokio::connect\ny\n").unwrap_err().to_string();
        assert!(error.ends_with("  x\n  y"), "{error}");
        assert!(compare(readme, "// etcd3_tokio::connect\nx\nz\n").is_err());
        assert!(compare("none", "none").is_err());
    }

    #[test]
    fn an_adapter_without_a_needed_example_is_refused() {
        let files = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| format!("runtime-smol/examples/{name}")).collect()
        };
        let all = files(&["get_put.rs", "readme.rs", "tour.rs", "txn.rs", "deep/a.rs", "a.txt"]);
        let names = of_adapter(&all, "smol");
        assert_eq!(names.unwrap(), ["get_put", "readme", "tour", "txn"]);
        assert!(of_adapter(&all, "tokio").is_err());
        assert!(of_adapter(&files(&["tour.rs"]), "smol").is_err());
    }
}
