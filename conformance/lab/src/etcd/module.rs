//! The Go modules of `go/`: what is built of them, and from which sources.

use super::Version;
use crate::{Error, Result, go};
use std::path::{Path, PathBuf};

/// A program of etcd's releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The server, `etcd`.
    Server,
    /// The command line client, `etcdctl`.
    Ctl,
    /// The tool for data directories and snapshots, `etcdutl`.
    Utl,
}

impl Program {
    /// All programs, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Server, Self::Ctl, Self::Utl];

    /// Returns the name of its file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "etcd",
            Self::Ctl => "etcdctl",
            Self::Utl => "etcdutl",
        }
    }

    /// Returns the word that makes it print its version.
    pub(super) const fn version_word(self) -> &'static str {
        match self {
            Self::Server => "--version",
            Self::Ctl | Self::Utl => "version",
        }
    }
}

/// A folder with `go.mod`, `go.sum` and the `main.go` of each program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Module {
    pub(super) folder: PathBuf,
    /// The version of etcd that `go.mod` pins.
    pub(super) version: Version,
    /// The version of Go that `go.mod` demands.
    pub(super) needs: Version,
}

impl Module {
    /// Reads the module of a minor version of etcd.
    pub(super) fn of(major: u32, minor: u32) -> Result<Self> {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::read(lab.join("go").join(format!("etcd-{major}.{minor}")))
    }

    /// Reads the module in a folder.
    pub(super) fn read(folder: PathBuf) -> Result<Self> {
        let file = folder.join("go.mod");
        let text = std::fs::read_to_string(&file).map_err(Error::doing(file.display()))?;
        let pinned = |prefix: &str| {
            let mut lines = text.lines().map(|line| line.trim().trim_start_matches("require "));
            go::number(lines.find_map(|line| line.strip_prefix(prefix))?.trim())
        };
        let version = pinned("go.etcd.io/etcd/server/v3 v");
        let lacks = || Error::new(format!("{}: no version of etcd", file.display()));
        let version = version.ok_or_else(lacks)?;
        let needs = go::demanded(&text).map_err(Error::doing(file.display()))?;
        Ok(Self { folder, version, needs })
    }

    /// Lists the programs whose sources the folder has.
    pub(super) fn programs(&self) -> Vec<Program> {
        let is_here = |program: &Program| self.folder.join(program.name()).is_dir();
        Program::ALL.into_iter().filter(is_here).collect()
    }

    /// Names what a program is built from, on this kind of machine: its version, a hash of the
    /// sources, the system and the architecture.
    pub(super) fn key(&self, program: Program) -> Result<String> {
        let mut hash = Fnv::new();
        for file in ["go.mod", "go.sum", &format!("{}/main.go", program.name())] {
            let file = self.folder.join(file);
            let bytes = std::fs::read(&file).map_err(Error::doing(file.display()))?;
            hash.add(&bytes.len().to_le_bytes());
            hash.add(&bytes);
        }
        let (name, version, hash) = (program.name(), self.version, hash.0);
        let (system, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        Ok(format!("{name}-{version}-{hash:016x}-{system}-{architecture}"))
    }
}

/// The hash of Fowler, Noll and Vo with 64 bits, which is the same for every build of this crate.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Lays out a module below `dir` that pins version 3.6.99 and demands Go 1.26.
    pub(in crate::etcd) fn module(dir: &Path) -> Module {
        let folder = dir.join("etcd-3.6");
        for program in Program::ALL {
            let sources = folder.join(program.name());
            std::fs::create_dir_all(&sources).expect("a folder");
            std::fs::write(sources.join("main.go"), "package main\n").expect("a source");
        }
        let text = "module x\n\ngo 1.26\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.99\n)\n";
        std::fs::write(folder.join("go.mod"), text).expect("go.mod");
        std::fs::write(folder.join("go.sum"), "a sum\n").expect("go.sum");
        Module::read(folder).expect("a module")
    }

    #[test]
    fn the_committed_modules_pin_their_minor_version() {
        for (major, minor) in super::super::BUILT {
            let module = Module::of(major, minor).expect("a module");
            assert_eq!((module.version.major, module.version.minor), (major, minor));
            assert!(module.needs >= Version { major: 1, minor: 21, patch: 0 }, "{module:?}");
            let programs = module.programs();
            assert_eq!(programs.len(), if (major, minor) == (3, 5) { 1 } else { 3 });
            for program in programs {
                assert!(module.key(program).is_ok(), "{program:?}");
            }
        }
    }

    #[test]
    fn every_source_has_a_say_in_the_key() {
        let dir = tempfile::tempdir().expect("a folder");
        let module = module(dir.path());
        let mut keys = vec![module.key(Program::Server).expect("a key")];
        assert!(keys[0].starts_with("etcd-3.6.99-"), "{keys:?}");
        for file in ["go.mod", "go.sum", "etcd/main.go"] {
            std::fs::write(module.folder.join(file), "other\n").expect("written");
            let key = module.key(Program::Server).expect("a key");
            assert!(!keys.contains(&key), "{file}");
            keys.push(key);
        }
        std::fs::write(module.folder.join("etcdctl/main.go"), "other\n").expect("written");
        assert_eq!(module.key(Program::Server).as_ref(), Ok(&keys[3]), "another program");
        std::fs::remove_file(module.folder.join("go.sum")).expect("removed");
        assert!(module.key(Program::Server).is_err());
    }

    #[test]
    fn a_module_without_a_version_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let read = |text: &str| {
            std::fs::write(dir.path().join("go.mod"), text).expect("go.mod");
            Module::read(dir.path().to_owned())
        };
        let (go, etcd) = ("go 1.26\n", "require go.etcd.io/etcd/server/v3 v3.6.99\n");
        for text in [go, etcd] {
            assert!(read(text).is_err(), "{text}");
        }
        let module = read(&format!("{go}{etcd}")).expect("a module");
        assert_eq!(module.version.to_string(), "3.6.99");
    }

    #[test]
    fn the_hash_has_the_values_of_its_definition() {
        for (text, hash) in [("", 0xcbf2_9ce4_8422_2325), ("foobar", 0x8594_4171_f739_67e8)] {
            let mut fnv = Fnv::new();
            fnv.add(text.as_bytes());
            assert_eq!(fnv.0, hash, "{text}");
        }
    }
}
