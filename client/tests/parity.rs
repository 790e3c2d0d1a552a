//! The lists of the module `parity` have every exported name of clientv3, and nothing else.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use std::collections::BTreeMap;

/// The exported names: package, name, kind, and whether 3.1 and the newest version have it.
const NAMES: &str = include_str!("../data/clientv3-names.tsv");

const CLIENTV3: [&str; 3] = [
    include_str!("../src/parity/client.md"),
    include_str!("../src/parity/operations.md"),
    include_str!("../src/parity/removed.md"),
];
const OTHERS: &str = include_str!("../src/parity/packages.md");

const MAX_NOT_NEEDED: usize = 40;

/// The rows of the tables: package, name and counterpart.
fn rows() -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    for (text, of) in CLIENTV3.map(|text| (text, "clientv3")).into_iter().chain([(OTHERS, "")]) {
        let mut package = of.to_owned();
        for line in text.lines() {
            if let Some(title) = line.strip_prefix("### Package ") {
                title.trim_matches('`').clone_into(&mut package);
            }
            if let Some((name, here)) = line.strip_prefix("| `").and_then(|it| it.split_once('|')) {
                let name = name.trim().trim_matches('`').to_owned();
                rows.push((package.clone(), name, here.trim_end_matches('|').trim().to_owned()));
            }
        }
    }
    rows
}

/// Returns how often each name is there.
fn count<'a>(
    names: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<(&'a str, &'a str), usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

#[test]
fn every_exported_name_has_its_row() {
    let exported = NAMES.lines().skip(1).map(|line| {
        let mut cells = line.split('\t');
        (cells.next().unwrap(), cells.next().unwrap())
    });
    let exported = count(exported);
    assert_eq!((exported.len(), exported.values().sum::<usize>()), (583, 583));
    let rows = rows();
    let told = count(rows.iter().map(|(package, name, _)| (&package[..], &name[..])));
    let missing: Vec<_> = exported.keys().filter(|name| !told.contains_key(*name)).collect();
    let added: Vec<_> = told.keys().filter(|name| !exported.contains_key(*name)).collect();
    assert!(missing.is_empty() && added.is_empty(), "missing {missing:?}, added {added:?}");
    assert!(told.values().all(|count| *count == 1), "named twice: {told:?}");
}

#[test]
fn every_name_of_clientv3_has_a_counterpart_or_a_reason() {
    let rows = rows();
    let own: Vec<_> = rows.iter().filter(|(package, ..)| package == "clientv3").collect();
    assert_eq!(own.len(), 362);
    let mut not_needed = 0;
    for (package, name, here) in &rows {
        let reason = here.strip_prefix("*not needed*: ");
        not_needed += usize::from(package == "clientv3" && reason.is_some());
        let is_next = package != "clientv3" && here.starts_with("*next*: ");
        // A link, which rustdoc resolves.
        let is_linked = here.contains("crate::") || here.contains("`][");
        let has_reason = reason.is_some_and(|reason| reason.len() > 10);
        assert!(is_linked || has_reason || is_next, "{package} {name}: {here}");
    }
    assert!(not_needed <= MAX_NOT_NEEDED, "{not_needed} names are not needed");
}
