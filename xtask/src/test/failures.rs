//! Which test cases failed, and why, in what `cargo test` prints.

/// The largest number of failures of one step that are told.
const MAX_TOLD: usize = 10;

/// The largest number of lines of a reason that are told, and of characters of each.
const MAX_LINES: usize = 4;
const MAX_CHARACTERS: usize = 400;

/// Returns a text for each test case that failed: its name, and the beginning of the reason; of a
/// step without test cases, the end of what it printed.
pub(super) fn of(output: &str) -> Vec<String> {
    let mut all = cases(output);
    if all.is_empty() {
        let last = output.lines().rev().find(|line| !line.trim().is_empty());
        return last.map(shortened).into_iter().collect();
    }
    let more = all.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        all.truncate(MAX_TOLD);
        all.push(format!("{more} more"));
    }
    all
}

fn cases(output: &str) -> Vec<String> {
    let mut cases = Vec::new();
    let mut lines = output.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(name) = case_of(line) else { continue };
        let mut text = name.to_owned();
        let mut count = 0;
        while count < MAX_LINES
            && let Some(line) =
                lines.next_if(|line| case_of(line).is_none() && *line != "failures:")
        {
            if !line.trim().is_empty() && !line.starts_with("note: run with") {
                text = format!("{text}\n    {}", shortened(line));
                count += 1;
            }
        }
        cases.push(text);
    }
    cases
}

/// Returns the case whose output begins with this line.
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
test kv::put::etcd_3.7.3 ... FAILED
test kv::get::etcd_3.7.3 ... ok

failures:

---- kv::put::etcd_3.7.3 ----
expected 2, got 3

failures:
    kv::put::etcd_3.7.3

test result: FAILED. 1 passed; 1 failed; 0 ignored

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
            "kv::put::etcd_3.7.3\n    expected 2, got 3",
            "a::b\n    thread 'a::b' panicked at src/a.rs:1:2:\n    \
             assertion `left == right` failed\n    left: 1\n    right: 2",
            "a::c\n    one\n    two\n    three\n    four",
        ];
        assert_eq!(of(output), expected);
    }

    #[test]
    fn a_step_without_cases_tells_its_last_line() {
        assert_eq!(of("one\n  two \n\n"), ["two"]);
        assert_eq!(of(""), Vec::<String>::new());
        let long = "ä".repeat(500);
        assert_eq!(of(&long), [format!("{}…", "ä".repeat(MAX_CHARACTERS))]);
    }

    #[test]
    fn many_failures_are_counted() {
        let output: Vec<String> = (0..13).map(|case| format!("---- {case} ----\nno\n")).collect();
        let told = of(&output.concat());
        assert_eq!((told.len(), told[10].as_str()), (11, "3 more"));
    }
}
