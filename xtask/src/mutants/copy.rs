//! A copy of the workspace that can be broken and mended.

use etcd3_lab::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A copy of the workspace's files.
#[derive(Debug)]
pub(super) struct Copy {
    root: PathBuf,
}

/// A file of the copy that has been changed.
#[derive(Debug)]
pub(super) struct Broken {
    path: PathBuf,
    original: String,
}

impl Copy {
    /// Makes `root` hold exactly `files` of `source`. What is the same already is left alone, so
    /// that it is not built again.
    pub(super) fn of(files: &[String], source: &Path, root: &Path) -> Result<Self> {
        let wanted: BTreeSet<PathBuf> = files.iter().map(|file| root.join(file)).collect();
        for old in all_files(root)?.difference(&wanted) {
            std::fs::remove_file(old).map_err(because(old))?;
        }
        for file in files {
            let (from, to) = (source.join(file), root.join(file));
            let bytes = std::fs::read(&from).map_err(because(&from))?;
            if std::fs::read(&to).is_ok_and(|there| there == bytes) {
                continue;
            }
            let folder = to.parent().unwrap_or(root);
            std::fs::create_dir_all(folder).map_err(because(folder))?;
            std::fs::write(&to, bytes).map_err(because(&to))?;
        }
        Ok(Self { root: root.to_owned() })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Replaces a text that has to be in the file exactly once.
    pub(super) fn edit(&self, file: &str, search: &str, replace: &str) -> Result<Broken> {
        let path = self.root.join(file);
        let original = std::fs::read_to_string(&path)
            .map_err(|error| Error::new(format!("{file}: {error}")))?;
        let found = original.matches(search).count();
        if found != 1 {
            return Err(Error::new(format!("the text is {found} times in {file}, not once")));
        }
        std::fs::write(&path, original.replacen(search, replace, 1)).map_err(because(&path))?;
        Ok(Broken { path, original })
    }
}

impl Broken {
    /// Puts the file back as it was.
    pub(super) fn restore(self) -> Result<()> {
        std::fs::write(&self.path, self.original).map_err(because(&self.path))
    }
}

fn all_files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop().filter(|folder| folder.exists()) {
        for entry in std::fs::read_dir(&folder).map_err(because(&folder))?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files)
}

fn because(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::new(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_follows_its_source_and_can_be_broken_and_mended() {
        let dir = tempfile::tempdir().unwrap();
        let (source, root) = (dir.path().join("source"), dir.path().join("root"));
        std::fs::create_dir_all(source.join("deep")).unwrap();
        std::fs::write(source.join("deep/a.rs"), "one two two").unwrap();
        std::fs::write(source.join("b.rs"), "b").unwrap();
        Copy::of(&["deep/a.rs".into(), "b.rs".into()], &source, &root).unwrap();
        let copy = Copy::of(&["deep/a.rs".into()], &source, &root).unwrap();
        assert!(!root.join("b.rs").exists(), "what is gone is gone in the copy");

        let file = root.join("deep/a.rs");
        let read = || std::fs::read_to_string(&file).unwrap();
        let broken = copy.edit("deep/a.rs", "one", "1").unwrap();
        assert_eq!(read(), "1 two two");
        broken.restore().unwrap();
        assert_eq!(read(), "one two two");
        for search in ["two", "three"] {
            assert!(copy.edit("deep/a.rs", search, "").is_err());
        }
        assert!(copy.edit("c.rs", "one", "").is_err());
    }
}
