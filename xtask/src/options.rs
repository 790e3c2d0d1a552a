//! What follows the name of a command.

use etcd3_lab::{Error, Result};

/// Holds the options of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    valued: Vec<(String, String)>,
    plain: Vec<String>,
    word: Option<String>,
}

impl Options {
    /// Reads `--name value`, `--name=value`, `--name` and at most one word.
    pub(crate) fn parse(
        words: &[String],
        valued: &[&str],
        plain: &[&str],
        word: bool,
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
            } else if word && options.word.is_none() && !next.starts_with('-') {
                options.word = Some(next.clone());
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

    /// Returns the word that is no option.
    pub(crate) fn word(&self) -> Option<&str> {
        self.word.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Options::parse(&words, &["--show"], &["--list"], true)
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
}
