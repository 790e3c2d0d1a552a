//! The list of mutants.
//!
//! ```text
//! # A comment, before the first mutant or after a `===` line.
//! === short-name
//! breaks: what is wrong with the code now
//! file: core/src/retry.rs
//! test: -p etcd3-core --lib retry::tests::gives_up -- --exact
//! area: retries
//! --- search
//! text that is found exactly once,
//! on as many lines as it needs
//! --- replace
//! what stands there instead
//! ```
//!
//! `test` is what follows `cargo test`. `area`, which most do not have, makes a mutant stand for
//! its area in `cargo xtask test`. Both texts end before the next line that begins with `---`
//! or `===`; line ends around them do not belong to them.

use etcd3_lab::{Error, Result};

/// An edit that a test has to notice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mutant {
    pub(super) name: String,
    pub(super) breaks: String,
    pub(super) file: String,
    pub(super) test: String,
    pub(super) area: String,
    pub(super) search: String,
    pub(super) replace: String,
}

/// Tells what the lines are that follow.
enum Section {
    Head,
    Search,
    Replace,
}

/// Reads all mutants.
pub(super) fn parse(list: &str) -> Result<Vec<Mutant>> {
    let mut mutants: Vec<Mutant> = Vec::new();
    let mut part = Section::Head;
    for (index, line) in list.lines().enumerate() {
        let wrong = || Error::new(format!("mutants.txt line {}: {line:?} is misplaced", index + 1));
        if let Some(name) = line.strip_prefix("===") {
            mutants.push(Mutant { name: name.trim().to_owned(), ..Mutant::default() });
            part = Section::Head;
            continue;
        }
        match (line, &part) {
            ("--- search", Section::Head) => part = Section::Search,
            ("--- replace", Section::Search) => part = Section::Replace,
            _ if line.starts_with("---") => return Err(wrong()),
            (_, Section::Head) if line.trim().is_empty() || line.starts_with('#') => {}
            _ => {
                let mutant = mutants.last_mut().ok_or_else(wrong)?;
                match part {
                    Section::Head => mutant.set(line).ok_or_else(wrong)?,
                    Section::Search => mutant.search = joined(&mutant.search, line),
                    Section::Replace => mutant.replace = joined(&mutant.replace, line),
                }
            }
        }
    }
    for mutant in &mut mutants {
        mutant.finish()?;
    }
    let mut names: Vec<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::new(format!("mutants.txt has {} twice", pair[0]))),
        None => Ok(mutants),
    }
}

/// Splits the words of a test's command line at `--`, which goes to the second part.
pub(super) fn split_command(test: &str) -> (Vec<&str>, Vec<&str>) {
    let mut before: Vec<&str> = test.split_whitespace().collect();
    let after = match before.iter().position(|&word| word == "--") {
        Some(place) => before.split_off(place),
        None => Vec::new(),
    };
    (before, after)
}

/// Returns the words that say what is built: all but the names of tests, which follow the target.
pub(super) fn target(test: &str) -> Vec<&str> {
    let (mut words, _) = split_command(test);
    let is_target = |word: &&str| word.starts_with("--lib") || word.starts_with("--test");
    if let Some(place) = words.iter().position(is_target) {
        words.truncate(if words[place] == "--lib" { place + 1 } else { place + 2 });
    }
    words
}

/// Returns the filters of a test's command line: the names of tests, or parts of them.
#[cfg(test)]
pub(super) fn filters(test: &str) -> impl Iterator<Item = &str> {
    let (before, after) = split_command(test);
    let own = before.into_iter().skip(target(test).len());
    own.chain(after).filter(|word| !word.starts_with('-'))
}

impl Mutant {
    fn set(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(':')?;
        let field = match key {
            "breaks" => &mut self.breaks,
            "file" => &mut self.file,
            "test" => &mut self.test,
            "area" => &mut self.area,
            _ => return None,
        };
        value.trim().clone_into(field);
        Some(())
    }

    fn finish(&mut self) -> Result<()> {
        for text in [&mut self.search, &mut self.replace] {
            *text = text.trim_matches('\n').to_owned();
        }
        let parts = [&self.name, &self.breaks, &self.file, &self.test, &self.search];
        if parts.iter().any(|part| part.is_empty()) {
            let name = &self.name;
            return Err(Error::new(format!("the mutant {name:?} of mutants.txt is incomplete")));
        }
        Ok(())
    }
}

/// Adds a line to a text; the line end before the first one is cut off later.
fn joined(text: &str, line: &str) -> String {
    format!("{text}\n{line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
# What follows is broken.

=== late
breaks: the deadline is ignored
file: core/src/call.rs
test: -p etcd3-core --lib late -- --exact
area: deadlines
--- search
    if now >= deadline {

        return;
    }
--- replace
    if false {

=== gone
# with a comment
breaks: the line is gone
file: a.rs
test: -p a
--- search
one
--- replace
";

    #[test]
    fn all_parts_are_read_with_their_lines() {
        let mutants = parse(LIST).unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(mutants[0].search, "    if now >= deadline {\n\n        return;\n    }");
        assert_eq!(mutants[0].replace, "    if false {");
        assert_eq!(mutants[0].breaks, "the deadline is ignored");
        assert_eq!((mutants[0].area.as_str(), mutants[1].area.as_str()), ("deadlines", ""));
        assert_eq!((mutants[1].file.as_str(), mutants[1].replace.as_str()), ("a.rs", ""));
    }

    #[test]
    fn the_target_of_a_test_has_no_name_of_a_test() {
        let words = |test| target(test).join(" ");
        assert_eq!(words("-p a --lib b::c -- --exact"), "-p a --lib");
        assert_eq!(words("-p a --test b c::d"), "-p a --test b");
        assert_eq!(words("-p a --features f --lib"), "-p a --features f --lib");
        assert_eq!(words("-p a -- b"), "-p a");
        let names = |test| filters(test).collect::<Vec<_>>().join(" ");
        assert_eq!(names("-p a --lib b::c -- --exact d"), "b::c d");
        assert_eq!(names("-p a --test b c"), "c");
    }

    #[test]
    fn incomplete_misplaced_and_double_mutants_are_refused() {
        assert_eq!(parse("# nothing\n"), Ok(vec![]));
        for broken in [
            LIST.replace("file: a.rs\n", ""),
            LIST.replace("test: -p a", "tests: -p a"),
            LIST.replace("--- replace\n\n", "--- instead\n\n"),
            LIST.replace("=== gone", "=== late"),
            format!("breaks: too early\n{LIST}"),
            LIST.replace("--- search\none\n", ""),
        ] {
            assert!(parse(&broken).is_err() || broken == LIST, "{broken}");
        }
    }

    #[test]
    fn a_command_is_split_at_its_dashes() {
        assert_eq!(
            split_command("-p a b -- --exact"),
            (vec!["-p", "a", "b"], vec!["--", "--exact"])
        );
        assert_eq!(split_command("-p a"), (vec!["-p", "a"], vec![]));
    }
}
