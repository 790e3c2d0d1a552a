//! Which test cases failed, and why, in what `cargo test` prints.

use std::fmt;

/// The line above the names of all that failed.
const LIST: &str = "failures:";

/// The largest number of failures of one step that are told.
const MAX_TOLD: usize = 10;

/// The largest number of lines of a reason that are told, and of characters of each.
const MAX_LINES: usize = 4;
const MAX_CHARACTERS: usize = 400;

/// A test case that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The file of an integration test without its ending; empty where cargo does not tell one.
    pub(crate) binary: String,
    pub(crate) case: String,
    /// The beginning of the reason, a line each.
    reason: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.case)?;
        if !self.binary.is_empty() {
            write!(f, " ({})", self.binary)?;
        }
        self.reason.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// Returns a text for each test case that failed: its name, and the beginning of the reason; of a
/// step without test cases, both ends of what it printed.
pub(crate) fn told(output: &str) -> Vec<String> {
    let all = of(output);
    if all.is_empty() {
        let mut lines = output.lines().filter(|line| !line.trim().is_empty());
        let ends: Vec<String> =
            lines.next().into_iter().chain(lines.next_back()).map(shortened).collect();
        return if ends.is_empty() { ends } else { vec![ends.join("\n    …\n    ")] };
    }
    let more = all.len().saturating_sub(MAX_TOLD);
    let mut texts: Vec<String> = all.iter().take(MAX_TOLD).map(ToString::to_string).collect();
    if more > 0 {
        texts.push(format!("{more} more"));
    }
    texts
}

/// Returns the test cases that failed.
pub(crate) fn of(output: &str) -> Vec<Failure> {
    let mut all = Vec::new();
    let mut binary = "";
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        binary = binary_of(line).unwrap_or(binary);
        let Some(case) = case_of(line) else { continue };
        let mut reason = Vec::new();
        while reason.len() < MAX_LINES
            && let Some(line) = lines.next_if(|line| case_of(line).is_none() && *line != LIST)
        {
            if !line.trim().is_empty() && !line.starts_with("note: run with") {
                reason.push(shortened(line));
            }
        }
        all.push(Failure { binary: binary.to_owned(), case: case.to_owned(), reason });
    }
    all
}

/// Returns the integration test whose output begins with this line.
fn binary_of(line: &str) -> Option<&str> {
    let of_tests = line.trim_start().strip_prefix("Running ")?;
    let of_file = of_tests.strip_prefix("tests/").and_then(|file| file.split_once(".rs "));
    Some(of_file.map_or("", |(name, _)| name))
}

/// Returns the case whose reason begins after this line.
fn case_of(line: &str) -> Option<&str> {
    let name = line.strip_prefix("---- ")?.strip_suffix(" ----")?;
    Some(name.strip_suffix(" stdout").unwrap_or(name))
}

fn shortened(line: &str) -> String {
    let line = line.trim();
    match line.char_indices().nth(MAX_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_that_failed_are_named_with_the_beginning_of_the_reason() {
        // As libtest-mimic prints it, and as libtest does.
        let output = "\
     Running tests/tokio.rs (target/debug/deps/tokio-d950)
test kv::put::etcd_3.7.3 ... FAILED
test kv::get::etcd_3.7.3 ... ok

failures:

---- kv::put::etcd_3.7.3 ----
expected 2, got 3

failures:
    kv::put::etcd_3.7.3

test result: FAILED. 1 passed; 1 failed; 0 ignored

     Running unittests src/lib.rs (target/debug/deps/a-e781)

failures:

---- a::b stdout ----

thread 'a::b' panicked at src/a.rs:1:2:
assertion `left == right` failed
  left: 1
 right: 2
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace

---- a::c stdout ----
one
two
three
four
five

failures:
    a::b
    a::c
";
        let expected = [
            "kv::put::etcd_3.7.3 (tokio)\n    expected 2, got 3",
            "a::b\n    thread 'a::b' panicked at src/a.rs:1:2:\n    \
             assertion `left == right` failed\n    left: 1\n    right: 2",
            "a::c\n    one\n    two\n    three\n    four",
        ];
        assert_eq!(told(output), expected);
        let binaries: Vec<_> = of(output).into_iter().map(|it| it.binary).collect();
        assert_eq!(binaries, ["tokio", "", ""]);
    }

    #[test]
    fn a_step_without_cases_tells_its_first_and_last_line() {
        assert_eq!(told("one\n  two \nthree\n\n"), ["one\n    …\n    three"]);
        assert_eq!(told("one\n"), ["one"]);
        assert_eq!(told(""), Vec::<String>::new());
        let long = "ä".repeat(500);
        assert_eq!(told(&long), [format!("{}…", "ä".repeat(MAX_CHARACTERS))]);
    }

    #[test]
    fn many_failures_are_counted() {
        let output: Vec<String> = (0..13).map(|case| format!("---- {case} ----\nno\n")).collect();
        let texts = told(&output.concat());
        assert_eq!((texts.len(), texts[10].as_str()), (11, "3 more"));
    }
}
