//! The page on the versions of etcd says what the model does.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

mod model_support;

use model_support::*;
use std::fmt::Write as _;

const PAGE: &str = include_str!("../../docs/servers.md");
const BEGIN: &str = "<!-- begin of the table -->\n";
const END: &str = "<!-- end of the table -->\n";

/// Lists the switches of a version, by the names of their fields.
fn switches(version: (u16, u16, u16)) -> Vec<(String, String)> {
    let text = format!("{:#?}", personality(version));
    let fields = text.lines().filter_map(|line| line.strip_prefix("    ")?.split_once(": "));
    let switches = fields.map(|(name, value)| {
        let value = match value.trim_end_matches(',') {
            "true" => "yes",
            "false" => "no",
            other => other,
        };
        (name.to_owned(), value.to_owned())
    });
    // The first is the version, over several lines.
    switches.filter(|(name, _)| name != "version" && !name.starts_with(' ')).collect()
}

fn table() -> String {
    let mut table = "| switch |".to_owned();
    for (major, minor, patch) in VERSIONS {
        write!(table, " {major}.{minor}.{patch} |").unwrap();
    }
    table.push('\n');
    table.push_str(&"|---".repeat(VERSIONS.len() + 1));
    table.push_str("|\n");
    let columns = VERSIONS.map(switches);
    for (row, (name, _)) in columns[0].iter().enumerate() {
        write!(table, "| `{name}` |").unwrap();
        for column in &columns {
            assert_eq!(column[row].0, *name);
            write!(table, " {} |", column[row].1).unwrap();
        }
        table.push('\n');
    }
    table
}

// Every difference that was found stands in the page, with the value that each version has.
#[test]
fn the_page_has_the_switches_of_every_version() {
    let written = PAGE.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).unwrap().0;
    assert_eq!(written, table(), "the table of docs/servers.md should be:\n{}", table());
}

#[test]
fn the_page_explains_every_switch() {
    let explained = PAGE.split_once(END).unwrap().1;
    for (name, _) in switches(OLD) {
        assert!(explained.contains(&format!("| `{name}` |")), "{name} is not explained");
    }
}
