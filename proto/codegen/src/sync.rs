//! Comparing a directory with the files it should hold, and making it hold them.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::generate::Files;

/// A file in which a directory differs from what it should hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What is wrong with the file.
    pub(crate) kind: Kind,
    /// Name of the file.
    pub(crate) file: String,
}

/// Ways in which a file can be wrong.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Kind {
    /// The file has other contents than it should.
    Stale,
    /// The file should be there.
    Missing,
    /// The file should not be there.
    Superfluous,
}

impl Difference {
    /// Says what was done about it.
    pub(crate) fn repaired(&self) -> String {
        let verb = match self.kind {
            Kind::Stale => "updated",
            Kind::Missing => "created",
            Kind::Superfluous => "removed",
        };
        format!("{verb} {}", self.file)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Stale => "stale",
            Kind::Missing => "missing",
            Kind::Superfluous => "superfluous",
        })
    }
}

/// Compares the directory with the files it should hold. Sorted by name; a directory that does
/// not exist holds nothing.
pub(crate) fn differences(directory: &Path, files: &Files) -> io::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for (file, wanted) in files {
        match fs::read(directory.join(file)) {
            Ok(found) if found == *wanted => {}
            Ok(_) => differences.push(Difference { kind: Kind::Stale, file: file.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                differences.push(Difference { kind: Kind::Missing, file: file.clone() });
            }
            Err(error) => return Err(error),
        }
    }
    let superfluous = names(directory)?.into_iter().filter(|name| !files.contains_key(name));
    differences.extend(superfluous.map(|file| Difference { kind: Kind::Superfluous, file }));
    differences.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(differences)
}

/// Makes the directory hold the files and no others; tells what it had to change.
pub(crate) fn rewrite(directory: &Path, files: &Files) -> io::Result<Vec<Difference>> {
    fs::create_dir_all(directory)?;
    let differences = differences(directory, files)?;
    for Difference { kind, file } in &differences {
        match kind {
            Kind::Stale | Kind::Missing => fs::write(directory.join(file), &files[file])?,
            Kind::Superfluous => fs::remove_file(directory.join(file))?,
        }
    }
    Ok(differences)
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match directory.read_dir() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_and_repaired() {
        let directory =
            std::env::temp_dir().join(format!("etcd3-proto-codegen-{}", std::process::id()));
        let files: Files = ["fresh", "missing", "stale"]
            .map(|name| (name.to_owned(), b"wanted".to_vec()))
            .into_iter()
            .collect();
        fs::create_dir_all(&directory).unwrap();
        for (name, contents) in [("fresh", "wanted"), ("stale", "old"), ("superfluous", "")] {
            fs::write(directory.join(name), contents).unwrap();
        }

        let expected = [
            Difference { kind: Kind::Missing, file: "missing".into() },
            Difference { kind: Kind::Stale, file: "stale".into() },
            Difference { kind: Kind::Superfluous, file: "superfluous".into() },
        ];
        assert_eq!(differences(&directory, &files).unwrap(), expected);
        assert_eq!(rewrite(&directory, &files).unwrap(), expected);
        assert_eq!(differences(&directory, &files).unwrap(), []);

        fs::remove_dir_all(&directory).unwrap();
        assert_eq!(differences(&directory, &files).unwrap().len(), 3);
    }
}
