//! What follows the name of a command.

use etcd3_lab::{Error, Result};

/// The options of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    valued: Vec<(String, String)>,
    plain: Vec<String>,
    words: Vec<String>,
    command: Vec<String>,
}

/// What a command line may have besides options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Nothing,
    /// One word.
    One,
    /// Any number of words.
    Many,
    /// Another command, after `--`.
    Command,
}

impl Words {
    /// Tells whether one more word may follow that many.
    fn takes(self, count: usize) -> bool {
        match self {
            Self::Nothing | Self::Command => false,
            Self::One => count == 0,
            Self::Many => true,
        }
    }
}

impl Options {
    /// Reads `--name value`, `--name=value`, `--name`, and the words that may be there.
    pub(crate) fn parse(
        words: &[String],
        valued: &[&str],
        plain: &[&str],
        allowed: Words,
    ) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(next) = words.next() {
            let (name, value) = match next.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (next.as_str(), None),
            };
            if valued.contains(&name) {
                let value = value.or_else(|| words.next().cloned());
                let value = value.ok_or_else(|| Error::new(format!("{name} needs a value.")))?;
                options.valued.push((name.to_owned(), value));
            } else if plain.contains(&next.as_str()) {
                options.plain.push(next.clone());
            } else if allowed.takes(options.words.len()) && !next.starts_with('-') {
                options.words.push(next.clone());
            } else if allowed == Words::Command && next == "--" {
                options.command = words.by_ref().cloned().collect();
            } else {
                return Err(Error::new(format!("{next:?} is not understood.")));
            }
        }
        Ok(options)
    }

    /// Returns the value of an option; the last one counts.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let found = self.valued.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Tells whether an option without a value is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.plain.iter().any(|known| known == name)
    }

    /// Returns all values of an option, in their order; commas separate values, too.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let found = self.valued.iter().filter(|(known, _)| known == name);
        found.flat_map(|(_, value)| value.split(',')).map(str::trim).collect()
    }

    /// Returns the value of an option as a number.
    ///
    /// # Errors
    ///
    /// Fails when it is none.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>> {
        let number = |value: &str| {
            value.parse().map_err(|_| Error::new(format!("{name} needs a number, not {value:?}.")))
        };
        self.value(name).map(number).transpose()
    }

    /// Returns the words after `--`.
    pub(crate) fn command(&self) -> &[String] {
        &self.command
    }

    /// Returns the first word that is no option.
    pub(crate) fn word(&self) -> Option<&str> {
        self.words.first().map(String::as_str)
    }

    /// Returns the words that are no options.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, &["--show"], &["--list"], Words::One)
    }

    #[test]
    fn values_may_follow_in_both_ways() {
        assert_eq!(parse("--show A").unwrap().value("--show"), Some("A"));
        assert_eq!(parse("--show=B").unwrap().value("--show"), Some("B"));
        assert_eq!(parse("").unwrap().value("--show"), None);
        assert!(parse("--show").is_err());
    }

    #[test]
    fn plain_options_and_one_word_are_taken_and_nothing_else() {
        let options = parse("frame --list").unwrap();
        assert!(options.has("--list"));
        assert_eq!(options.word(), Some("frame"));
        assert!(parse("--other").is_err() && parse("two words").is_err());
        assert!(parse("--list=yes").is_err());
    }

    #[test]
    fn many_words_are_kept_in_their_order() {
        let words = ["b", "--list", "a"].map(str::to_owned);
        let options = Options::parse(&words, &[], &["--list"], Words::Many).unwrap();
        assert_eq!(options.words(), ["b", "a"]);
        assert!(options.has("--list"));
    }

    #[test]
    fn a_command_follows_two_dashes_and_keeps_its_options() {
        let words = ["--busy", "4", "--", "cargo", "test", "--busy", "x", "--"].map(str::to_owned);
        let options = Options::parse(&words, &["--busy"], &[], Words::Command).unwrap();
        assert_eq!(options.number("--busy"), Ok(Some(4)));
        assert_eq!(options.command(), ["cargo", "test", "--busy", "x", "--"]);
        assert!(Options::parse(&words, &["--busy"], &[], Words::Nothing).is_err());
    }

    #[test]
    fn an_option_may_have_several_values_and_numbers_are_checked() {
        let options = parse("--show a,b --show=c").unwrap();
        assert_eq!(options.values("--show"), ["a", "b", "c"]);
        assert!(options.number("--show").is_err());
        assert_eq!(parse("").unwrap().number("--show"), Ok(None));
    }
}
