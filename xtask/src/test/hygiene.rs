//! What holds for every file of the repository.

use crate::passed::Passed;
use crate::workspace;
use etcd3_lab::{Error, Result};

/// The largest number of lines of a source file.
const MAX_LINES: usize = 500;
/// The largest number of columns of a source line.
const MAX_COLUMNS: usize = 100;
/// Folders that exist on one machine and not on another.
const FOREIGN: &[&str] = &["home", "root", "work", "Users"];
/// The attribute that the root of a crate has to have.
const NO_UNSAFE: &str = "#![forbid(unsafe_code)]";
/// The beginnings of doc comments that are neither a noun phrase nor a sentence about a function.
const NO_SENTENCE: &[&str] = &[
    "Is ", "Are ", "Who ", "Whoever ", "Whom ", "Goes ", "As much ", "As many ", "So much ",
    "So many ",
];
pub(super) fn check_files() -> Result<Passed> {
    let files = workspace::files()?;
    let mut problems = Vec::new();
    let mut read = 0;
    for file in &files {
        // What is not text has no lines.
        if let Ok(text) = workspace::read(file) {
            problems.extend(problems_of(file, &text));
            read += 1;
        }
    }
    if problems.is_empty() {
        return Ok(Passed::saying(format!("{read} files")));
    }
    Err(Error::new(problems.join("\n")))
}

fn problems_of(file: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !file.ends_with("Cargo.lock") {
        let found = text.lines().enumerate().filter(|(_, line)| names_a_machine(line));
        problems.extend(found.map(|(i, _)| format!("{file}:{}: a path of one machine", i + 1)));
    }
    if !workspace::is_source(file) {
        return problems;
    }
    if is_crate_root(file) && !text.lines().any(|line| line.trim() == NO_UNSAFE) {
        problems.push(format!("{file}: {NO_UNSAFE} is missing"));
    }
    let found = text.lines().enumerate().filter(|(_, line)| is_no_sentence(line));
    problems.extend(found.map(|(i, line)| {
        let line = line.trim_start();
        format!("{file}:{}: a noun phrase or \"Returns …\" in place of: {line}", i + 1)
    }));
    if is_generated(file) {
        return problems;
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{file}: {lines} lines, {MAX_LINES} allowed"));
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > MAX_COLUMNS {
            let place = index + 1;
            problems.push(format!("{file}:{place}: {columns} columns, {MAX_COLUMNS} allowed"));
        }
    }
    problems
}

/// Tells whether a line of a doc comment begins with a verb or a relative pronoun in place of a
/// subject.
fn is_no_sentence(line: &str) -> bool {
    let line = line.trim_start();
    let text = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! "));
    text.is_some_and(|text| NO_SENTENCE.iter().any(|begin| text.starts_with(begin)))
}

fn is_generated(file: &str) -> bool {
    file.starts_with("proto/src/generated/") || file.starts_with("proto/tests/derived/")
}

fn is_crate_root(file: &str) -> bool {
    let root = file.strip_suffix("/src/lib.rs").or_else(|| file.strip_suffix("/src/main.rs"));
    root.is_some_and(|folder| workspace::root().join(folder).join("Cargo.toml").is_file())
}

/// Tells whether a line has an absolute path into such a folder, other than as a part of a longer
/// path or of an address.
fn names_a_machine(line: &str) -> bool {
    FOREIGN.iter().any(|folder| {
        let path = format!("/{folder}/");
        line.match_indices(&path).any(|(place, _)| {
            let before = line[..place].chars().next_back();
            !before.is_some_and(|it| it.is_alphanumeric() || "._-}>)/*".contains(it))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_machine_are_found_and_parts_of_others_are_not() {
        let home = ["", "home", "me", "x"].join("/");
        assert!(names_a_machine(&home) && names_a_machine(&format!("see \"{home}\"")));
        for fine in [format!("https://example.org{home}"), format!("a{home}"), "/homes/a".into()] {
            assert!(!names_a_machine(&fine), "{fine}");
        }
        let problems = problems_of("README.md", &format!("\n{home}\n"));
        assert_eq!(problems, ["README.md:2: a path of one machine"]);
        assert!(problems_of("Cargo.lock", &home).is_empty());
    }

    #[test]
    fn long_files_and_lines_are_found_in_sources_only() {
        let line = format!("{}\n", "x".repeat(101));
        assert_eq!(
            problems_of("core/src/a.rs", &line),
            ["core/src/a.rs:1: 101 columns, 100 allowed"]
        );
        assert!(problems_of("core/src/a.rs", &line[1..]).is_empty());
        assert!(problems_of("a.md", &line).is_empty());
        assert!(problems_of("proto/src/generated/a.rs", &line).is_empty());
        assert_eq!(problems_of("core/src/a.rs", &"\n".repeat(501)).len(), 1);
        assert!(problems_of("core/src/a.rs", &"\n".repeat(500)).is_empty());
    }

    #[test]
    fn doc_comments_that_begin_without_a_subject_are_found() {
        let problems = |text: &str| problems_of("core/src/a.rs", text);
        let begin = "a noun phrase or \"Returns …\" in place of";
        assert_eq!(problems_of("proto/src/generated/a.rs", "/// Who answered.").len(), 1);
        for line in ["/// Is a port.", "//! Who is in it.", "/// So many turns.", "/// Are rows."] {
            let found = problems(&format!("fn a() {{}}\n    {line}\n"));
            assert_eq!(found, [format!("core/src/a.rs:2: {begin}: {line}")]);
        }
        for line in ["/// Isolates it.", "// Is it so?", "/// Whose it is.", "\"/// Is a text.\""] {
            assert!(problems(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_crate_root_has_to_forbid_unsafe_code() {
        assert_eq!(problems_of("xtask/src/main.rs", "fn main() {}\n").len(), 1);
        assert!(problems_of("xtask/src/main.rs", &format!("{NO_UNSAFE}\n")).is_empty());
        assert!(problems_of("xtask/src/deep/main.rs", "").is_empty());
    }
}
