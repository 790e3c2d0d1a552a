//! What a person should hear about a run that went well in the end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The environment variable with the file to which notes are appended, a line each. Without
/// it they are only printed.
pub const VARIABLE: &str = "ETCD3_NOTES";

static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Makes this process append its notes to a file, whatever the variable says. Only the first call
/// counts, and only before the first note.
pub fn keep_in(file: &Path) {
    FILE.get_or_init(|| Some(file.to_owned()));
}

/// Prints a note, and appends it to the file of notes if there is one.
pub fn say(note: &str) {
    eprintln!("NOTE {note}");
    let file = FILE.get_or_init(|| std::env::var_os(VARIABLE).map(PathBuf::from));
    let Some(path) = file else { return };
    // One write, so that notes of other processes do not mix with it.
    let line = format!("{}\n", note.replace('\n', "; "));
    let written = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        eprintln!("cannot write {}: {error}", path.display());
    }
}
