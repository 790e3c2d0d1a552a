//! An adapter is small enough to be read at a glance, and to be written for another runtime.

use crate::passed::Passed;
use crate::workspace;
use etcd3_lab::{Error, Result};
use std::collections::BTreeMap;

/// The largest number of lines of an adapter, without comments and empty lines: what is documented
/// well is not larger for it.
const MAX_LINES: usize = 120;
/// A runtime, too, but no adapter to one.
const SIMULATOR: &str = "runtime-sim";

pub(super) fn check_adapters() -> Result<Passed> {
    let mut sizes: BTreeMap<String, usize> = BTreeMap::new();
    for file in workspace::files()? {
        if let Some(adapter) = adapter_of(&file) {
            let lines = lines_of_code(&workspace::read(&file)?);
            *sizes.entry(adapter.to_owned()).or_default() += lines;
        }
    }
    verdict(&sizes).map(Passed::saying)
}

fn adapter_of(file: &str) -> Option<&str> {
    let (folder, rest) = file.split_once("/src/")?;
    let is_adapter = folder.starts_with("runtime-") && !folder.contains('/') && folder != SIMULATOR;
    (is_adapter && workspace::is_source(rest)).then_some(folder)
}

fn lines_of_code(text: &str) -> usize {
    let lines = text.lines().map(str::trim_start);
    lines.filter(|line| !line.is_empty() && !line.starts_with("//")).count()
}

fn verdict(sizes: &BTreeMap<String, usize>) -> Result<String> {
    let list: Vec<String> = sizes.iter().map(|(name, lines)| format!("{name} {lines}")).collect();
    let list = list.join(", ");
    if sizes.len() < workspace::RUNTIMES.len() || sizes.values().any(|&lines| lines > MAX_LINES) {
        return Err(Error::new(format!(
            "Lines of code of the adapters, {MAX_LINES} allowed: {list}."
        )));
    }
    Ok(format!("lines of code: {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sources_of_adapters_count() {
        assert_eq!(adapter_of("runtime-smol/src/lib.rs"), Some("runtime-smol"));
        assert_eq!(adapter_of("runtime-smol/src/a/b.rs"), Some("runtime-smol"));
        for other in ["runtime-smol/examples/tour.rs", "core/src/lib.rs", "runtime-sim/src/a.rs"] {
            assert_eq!(adapter_of(other), None, "{other}");
        }
    }

    #[test]
    fn one_line_too_many_is_refused_and_so_is_nothing() {
        let sizes = |lines| {
            let sizes = [("a", 5), ("b", lines), ("c", 6)];
            BTreeMap::from(sizes.map(|(name, lines)| (name.to_owned(), lines)))
        };
        assert_eq!(verdict(&sizes(120)).as_deref(), Ok("lines of code: a 5, b 120, c 6"));
        let mut two = sizes(120);
        two.remove("c");
        assert!(verdict(&sizes(121)).is_err() && verdict(&two).is_err());
    }

    #[test]
    fn comments_and_empty_lines_do_not_count() {
        let text = "//! A crate.\n\nfn a() {\n    // Why.\n    b(); // and more\n  \n}\n/// Doc.\n";
        assert_eq!(lines_of_code(text), 3);
    }
}
