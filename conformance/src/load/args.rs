//! The command line of a long run.

use super::{Error, RUNTIMES, versions};
use etcd3_lab::etcd::Binary;
use std::time::Duration;

/// The variable with the number of the turn: the number of commits, for example.
const TURN: &str = "ETCD3_TURN";

/// What a torture was asked for: the options `--runtime`, `--version`, `--seconds`, `--seed` and
/// `--short`.
#[derive(Debug, Clone)]
pub struct TortureArgs {
    /// The runtimes to run on.
    pub runtimes: Vec<&'static str>,
    /// The versions to run against.
    pub binaries: Vec<Binary>,
    /// How long things are to go wrong.
    pub lasts: Duration,
    /// What is drawn from.
    pub seed: u64,
    /// Whether the short form is wanted, of one runtime and one version whose turn it is.
    pub is_short: bool,
}

impl TortureArgs {
    /// Reads the command line of this process; things go wrong for so many seconds without
    /// `--seconds`, and for fewer with `--short`.
    ///
    /// # Errors
    ///
    /// When a word is not understood, or there is no such runtime or version.
    pub fn from_env(seconds: u64, short_seconds: u64) -> Result<Self, Error> {
        let valued = ["--runtime", "--version", "--seconds", "--seed"];
        let args = Args::from_env(&valued, &["--short"])?;
        let number = |name: &str| match args.value(name) {
            None => Ok(None),
            Some(text) => {
                text.parse::<u64>().map(Some).map_err(|_| format!("{name} takes a number."))
            }
        };
        let turn = std::env::var(TURN).ok().and_then(|turn| turn.parse::<u64>().ok());
        let mut binaries = versions(args.value("--version"))?;
        let mut runtimes = args.runtimes()?;
        let is_short = args.has("--short");
        if is_short {
            let turn = usize::try_from(turn.unwrap_or_default())?;
            binaries = vec![binaries.swap_remove(turn / RUNTIMES.len() % binaries.len())];
            runtimes = vec![RUNTIMES[turn % RUNTIMES.len()]];
        }
        let seconds =
            number("--seconds")?.unwrap_or(if is_short { short_seconds } else { seconds });
        let seed = number("--seed")?.or(turn).unwrap_or(1);
        let lasts = Duration::from_secs(seconds);
        Ok(Self { runtimes, binaries, lasts, seed, is_short })
    }
}

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
