//! The page on migrating from etcd-client names every method of its `Client`.
//!
//! Reads the sources and compiles nothing of them: that would take a protoc.

use std::path::PathBuf;
use std::process::Command;

const PAGE: &str = include_str!("../../../docs/migrating-from-etcd-client.md");

/// Returns the folder of the sources of etcd-client, as cargo has them.
fn sources() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut metadata = Command::new(cargo);
    metadata.args(["metadata", "--format-version", "1", "--locked"]);
    let output = metadata.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    let text = String::from_utf8(output.stdout).expect("cargo prints text");
    let mut paths = text.split("\"manifest_path\":\"").skip(1);
    let manifest = paths.find_map(|rest| {
        let path = PathBuf::from(rest.split('"').next()?);
        let folder = path.parent()?.file_name()?.to_str()?;
        folder.starts_with("etcd-client-").then(|| path.clone())
    });
    let manifest = manifest.expect("etcd-client is a dependency");
    manifest.parent().expect("a file has a folder").join("src")
}

/// Returns the names of the public methods in the block that begins with this line.
fn methods_of(source: &str, block: &str) -> Vec<String> {
    let begin = source.find(block).expect("the block is there");
    let block = source[begin..].split("\n}\n").next().unwrap_or_default();
    let methods = block.lines().filter_map(|line| {
        let rest = line.strip_prefix("    pub ")?;
        let rest = ["async ", "const "].iter().find_map(|it| rest.strip_prefix(it)).unwrap_or(rest);
        rest.strip_prefix("fn ")?.split(['(', '<']).next().map(str::to_owned)
    });
    methods.collect()
}

#[test]
fn every_method_of_the_client_and_option_of_a_connection_is_named() {
    let source = std::fs::read_to_string(sources().join("client.rs")).expect("a file");
    let methods = methods_of(&source, "\nimpl Client {\n");
    assert!(methods.len() >= 60, "{methods:?}");
    let (_, rest) = PAGE.split_once("## Every method of `Client`").expect("a heading");
    let table = rest.split("\n## ").next().unwrap_or_default();
    let missing: Vec<_> =
        methods.iter().filter(|name| !table.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");

    let options = methods_of(&source, "\nimpl ConnectOptions {\n");
    let setters = options.iter().filter(|name| name.starts_with("with_"));
    let missing: Vec<_> = setters.filter(|name| !PAGE.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
