//! How many generated mutants the tests notice.

use super::equivalents::Equivalent;
use std::fmt;

/// The ends of all mutants of a run, by their names with file, line and column.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) caught: Vec<String>,
    pub(super) timed_out: Vec<String>,
    pub(super) missed: Vec<String>,
    pub(super) unviable: Vec<String>,
}

/// What the tests of a crate are worth.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Score {
    goal: usize,
    unviable: usize,
    failed: usize,
    timed_out: usize,
    survivors: Vec<String>,
    equivalent: usize,
    /// Those that are called equivalent and are noticed all the same.
    noticed_equivalents: Vec<String>,
    /// Those that are called equivalent and do not exist.
    stale: Vec<String>,
}

impl Score {
    /// Counts the ends; an equivalent counts for nothing. `all` are the names of all mutants of the
    /// crate, and the goal is in percent.
    pub(super) fn new(ends: &Ends, list: &[Equivalent], all: &[String], goal: usize) -> Self {
        let unviable = ends.unviable.len();
        let mut score = Self { goal, unviable, ..Self::default() };
        let mut left: Vec<&str> = list.iter().map(|it| it.mutant.as_str()).collect();
        let mut known: Vec<&str> = all.iter().map(String::as_str).collect();
        for entry in &left {
            if take(&mut known, entry).is_none() {
                score.stale.push((*entry).to_owned());
            }
        }
        for name in &ends.missed {
            match take(&mut left, &without_line(name)) {
                Some(_) => score.equivalent += 1,
                None => score.survivors.push(name.clone()),
            }
        }
        // A function may have several mutants of one name, only some of which are equivalent.
        for name in ends.caught.iter().chain(&ends.timed_out) {
            let name = without_line(name);
            let others = known.iter().filter(|it| **it == name).count();
            if others == 0 && left.contains(&name.as_str()) {
                score.noticed_equivalents.push(name);
            }
        }
        score.failed = ends.caught.len();
        score.timed_out = ends.timed_out.len();
        score
    }

    fn noticed(&self) -> usize {
        self.failed + self.timed_out
    }

    /// Returns how many mutants count.
    pub(super) fn counted(&self) -> usize {
        self.noticed() + self.survivors.len()
    }

    /// Tells whether the goal is reached, by a list of equivalents that is right.
    pub(super) fn is_enough(&self) -> bool {
        let is_list_right = self.stale.is_empty() && self.noticed_equivalents.is_empty();
        is_list_right && self.noticed() * 100 >= self.counted() * self.goal
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.survivors {
            writeln!(f, "SURVIVED {name}")?;
        }
        for name in &self.noticed_equivalents {
            writeln!(f, "NO EQUIVALENT, since it is noticed: {name}")?;
        }
        for name in &self.stale {
            writeln!(f, "NO SUCH MUTANT any more: {name}")?;
        }
        let viable = self.counted() + self.equivalent;
        writeln!(f, "{viable} viable mutants ({} more do not compile)", self.unviable)?;
        let [noticed, timed_out] = [self.noticed(), self.timed_out];
        writeln!(f, "{noticed} noticed, {timed_out} of them by a test that did not end")?;
        writeln!(f, "{} equivalent, by the list", self.equivalent)?;
        writeln!(f, "{} survived", self.survivors.len())?;
        let tenths = noticed * 1000 / self.counted().max(1);
        write!(f, "{}.{} % noticed, the goal is {} %", tenths / 10, tenths % 10, self.goal)
    }
}

/// Removes one item from a list.
fn take<'a>(list: &mut Vec<&'a str>, item: &str) -> Option<&'a str> {
    let place = list.iter().position(|it| *it == item)?;
    Some(list.swap_remove(place))
}

/// Returns a mutant's name without line and column.
fn without_line(name: &str) -> String {
    let mut parts = name.splitn(4, ':');
    let [file, line, column, rest] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let is_number = |text: &str| text.parse::<u32>().is_ok();
    if is_number(line) && is_number(column) { format!("{file}:{rest}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn score(list: &[&str], ends: &Ends) -> Score {
        let entry = |mutant: &&str| Equivalent { mutant: (*mutant).to_owned(), reason: "r".into() };
        let list: Vec<_> = list.iter().map(entry).collect();
        let all = strings(&["a.rs: b", "a.rs: b", "a.rs: c::d", "a.rs: e", "a.rs: f"]);
        Score::new(ends, &list, &all, 50)
    }

    fn ends() -> Ends {
        Ends {
            caught: strings(&["a.rs:7:1: e"]),
            timed_out: strings(&["a.rs:8:1: f"]),
            missed: strings(&["a.rs:1:1: b", "a.rs:2:1: b", "a.rs:3:1: c::d"]),
            unviable: strings(&["a.rs:9:1: g"]),
        }
    }

    #[test]
    fn each_entry_excuses_one_survivor() {
        let none = score(&[], &ends());
        assert_eq!((none.counted(), none.is_enough()), (5, false));
        let one = score(&["a.rs: b"], &ends());
        assert_eq!(one.survivors, ["a.rs:2:1: b", "a.rs:3:1: c::d"]);
        assert!(one.is_enough(), "half of four are noticed");
        let all = score(&["a.rs: b", "a.rs: c::d", "a.rs: b"], &ends());
        assert_eq!((all.counted(), all.equivalent), (2, 3));
        let text = all.to_string();
        assert!(text.contains("5 viable mutants (1 more do not compile)"), "{text}");
        assert!(text.ends_with("0 survived\n100.0 % noticed, the goal is 50 %"), "{text}");
    }

    #[test]
    fn a_list_that_is_wrong_is_reported() {
        let gone = score(&["a.rs: b", "a.rs: gone"], &ends());
        assert_eq!((gone.stale.clone(), gone.is_enough()), (strings(&["a.rs: gone"]), false));
        let thrice = score(&["a.rs: b", "a.rs: b", "a.rs: b"], &ends());
        assert_eq!(thrice.stale, ["a.rs: b"]);
        let noticed = score(&["a.rs: b", "a.rs: f"], &ends());
        assert_eq!(noticed.noticed_equivalents, ["a.rs: f"]);
        assert!(!noticed.is_enough());
    }

    #[test]
    fn one_of_two_that_bear_a_name_may_be_noticed() {
        let caught = Ends { caught: strings(&["a.rs:1:1: b"]), ..Ends::default() };
        assert_eq!(score(&["a.rs: b"], &caught).noticed_equivalents, [""; 0]);
        let both = score(&["a.rs: b", "a.rs: b"], &caught);
        assert_eq!(both.noticed_equivalents, ["a.rs: b"]);
    }

    #[test]
    fn only_line_and_column_are_cut_off() {
        assert_eq!(without_line("a.rs:1:22: b::c: d"), "a.rs: b::c: d");
        assert_eq!(without_line("a.rs: b::c"), "a.rs: b::c");
    }
}
