//! A line for each case that ran, and one for each that was to run, for `cargo xtask coverage`.

use crate::Case;
use etcd3_lab::etcd::Version;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// The folder to write to; nothing is written without it.
const FOLDER: &str = "ETCD3_RESULTS";

/// Writes down the names of the trials that are to run on a runtime, below the number of those that
/// run there in all turns together.
pub(crate) fn plan<'a>(runtime: &str, due: impl Iterator<Item = &'a str>, all: usize) {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let path = Path::new(&folder).join(format!("{runtime}.due"));
    let names: Vec<&str> = due.collect();
    let text = format!("{all}\n{}\n", names.join("\n"));
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", path.display());
    }
}

/// Appends one line to the file of the runtime: case, version, runtime, passed or failed, seconds,
/// ids, file, line.
pub(crate) fn record(subject: &Subject, passed: bool, took: Duration) {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let Subject { runtime, case, name, version } = subject;
    let path = Path::new(&folder).join(format!("{runtime}.tsv"));
    let verdict = if passed { "passed" } else { "failed" };
    let line = format!(
        "{name}\t{version}\t{runtime}\t{verdict}\t{:.3}\t{}\t{}\t{}\n",
        took.as_secs_f64(),
        case.ids.join(","),
        case.file,
        line_of(case),
    );
    let written = fs::create_dir_all(&folder)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", path.display());
    }
}

/// Returns the line of the function, if its source is at hand, else that of its registration.
fn line_of(case: &Case) -> usize {
    let registered = usize::try_from(case.line).unwrap_or_default();
    let function = case.name.rsplit("::").next().unwrap_or(case.name);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let source = root.and_then(|root| fs::read_to_string(root.join(case.file)).ok());
    let head = format!("async fn {function}(");
    source
        .and_then(|source| source.lines().position(|line| line.starts_with(&head)))
        .map_or(registered, |line| line + 1)
}

/// What a line is about.
pub(crate) struct Subject {
    pub(crate) runtime: &'static str,
    pub(crate) case: Case,
    /// The name of the case, transport included.
    pub(crate) name: String,
    pub(crate) version: Version,
}
