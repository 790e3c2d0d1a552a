//! What a run is to do.

use crate::Result;

/// The work that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Puts a value of the size.
    Put,
    /// Gets a value of the size.
    Get,
    /// Connects, gets a value of the size, and hangs up.
    Connect,
    /// Reads a range of so many keys, page by page; an operation is a range.
    Pages,
    /// Takes events of a watcher; an operation is an event.
    Flood,
    /// Creates watchers; an operation is a watcher.
    Watchers,
    /// Creates watchers that begin where the store is; an operation is a watcher.
    WatchersNow,
    /// Has watchers created again after all connections were cut; an operation is a watcher.
    WatchersAgain,
    /// Keeps leases alive; an operation is an acknowledgement, and memory is that of a lease.
    KeepAlives,
    /// The same without pauses: all leases at once, and again when all are acknowledged.
    KeepAlivesAtOnce,
}

impl Work {
    const ALL: [(&str, Self); 10] = [
        ("put", Self::Put),
        ("get", Self::Get),
        ("connect", Self::Connect),
        ("pages", Self::Pages),
        ("flood", Self::Flood),
        ("watchers", Self::Watchers),
        ("watchers-now", Self::WatchersNow),
        ("watchers-again", Self::WatchersAgain),
        ("keep-alives", Self::KeepAlives),
        ("keep-alives-at-once", Self::KeepAlivesAtOnce),
    ];

    /// Names it as the arguments do.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, work)| *work == self).map_or("", |(name, _)| name)
    }
}

/// The arguments of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Args {
    /// The servers, as URLs.
    pub endpoints: Vec<String>,
    /// The work that is measured.
    pub work: Work,
    /// The size of a value in bytes; of `pages` the number of keys in the range, of `keep-alives`
    /// the time to live of a lease in seconds.
    pub size: usize,
    /// The number of operations under way at a time; of `keep-alives` the number of leases.
    pub callers: usize,
    /// The number of operations that are measured.
    pub ops: u64,
    /// The time for which operations are made instead, in seconds; failed ones are counted then.
    pub seconds: Option<u64>,
    /// The number of operations before that.
    pub warm_up: u64,
    /// Whether the latency of each operation is noted.
    pub latency: bool,
    /// The core that the process is bound to.
    pub core: Option<usize>,
}

impl Args {
    /// Reads `--endpoints URL,URL --work W --size S --callers C --ops N --warm-up N --core K
    /// --seconds N` and `--latency`; only the endpoints have to be there.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut args = Self {
            endpoints: Vec::new(),
            work: Work::Put,
            size: 256,
            callers: 1,
            ops: 1000,
            seconds: None,
            warm_up: 0,
            latency: false,
            core: None,
        };
        let mut words = words.into_iter();
        while let Some(name) = words.next() {
            if name == "--latency" {
                args.latency = true;
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--endpoints" => args.endpoints = value.split(',').map(str::to_owned).collect(),
                "--work" => {
                    let found = Work::ALL.iter().find(|(name, _)| *name == value);
                    args.work = found.ok_or_else(|| format!("there is no work {value:?}"))?.1;
                }
                "--size" => args.size = value.parse()?,
                "--callers" => args.callers = value.parse::<usize>()?.max(1),
                "--ops" => args.ops = value.parse()?,
                "--warm-up" => args.warm_up = value.parse()?,
                "--seconds" => args.seconds = Some(value.parse()?),
                "--core" => args.core = Some(value.parse()?),
                _ => return Err(format!("{name:?} is not understood").into()),
            }
        }
        if args.endpoints.is_empty() {
            return Err("there is no endpoint".into());
        }
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read_in_any_order() {
        let args = parse("--ops 7 --work get --latency --endpoints a,b --core 1").unwrap();
        assert_eq!((args.ops, args.work, args.latency), (7, Work::Get, true));
        assert_eq!((args.endpoints.len(), args.core, args.callers), (2, Some(1), 1));
        assert!(parse("--ops 7").is_err() && parse("--endpoints a --work fly").is_err());
    }
}
