//! The command line of a long run.

use super::{Error, RUNTIMES};

/// Arguments of the forms `--name value` and `--name`.
#[derive(Debug, Default)]
pub struct Args {
    valued: Vec<(String, String)>,
    plain: Vec<String>,
}

impl Args {
    /// Reads the command line of this process.
    ///
    /// # Errors
    ///
    /// When a word is not among the names, or has no value.
    pub fn from_env(valued: &[&str], plain: &[&str]) -> Result<Self, Error> {
        let mut args = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            if valued.contains(&name.as_str()) {
                let value = words.next().ok_or_else(|| format!("{name} needs a value."))?;
                args.valued.push((name, value));
            } else if plain.contains(&name.as_str()) {
                args.plain.push(name);
            } else {
                return Err(format!("{name:?} is not understood.").into());
            }
        }
        Ok(args)
    }

    /// Returns the value of an option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.valued.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Tells whether an option without a value is there.
    pub fn has(&self, name: &str) -> bool {
        self.plain.iter().any(|known| known == name)
    }

    /// Returns the runtimes that `--runtime` names: one, or `all`; tokio without it.
    ///
    /// # Errors
    ///
    /// When there is no such runtime.
    pub fn runtimes(&self) -> Result<Vec<&'static str>, Error> {
        let wanted = self.value("--runtime").unwrap_or(RUNTIMES[0]);
        let found: Vec<_> =
            RUNTIMES.into_iter().filter(|name| wanted == "all" || wanted == *name).collect();
        if found.is_empty() {
            let known = RUNTIMES.join(", ");
            return Err(format!("There is no runtime {wanted:?}; known are {known}, all.").into());
        }
        Ok(found)
    }
}
