//! Programs of etcd that are built from its published Go modules, and kept in the user's cache
//! folder, where a fresh clone finds them again.
//!
//! One process builds at a time; the others wait for it and take what it built. A program appears
//! whole, under a name that tells its version, its sources and its compiler.

use super::module::{Module, Program};
use super::{Binary, Version, entry};
use crate::go::{self, Go};
use crate::target::target;
use crate::{Error, Result, command};
use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The limit of a build, which takes one to three minutes on two cores with nothing else to do.
const BUILD_LIMIT: Duration = Duration::from_secs(30 * 60);

/// The limit of the download of the modules, some 70 MB.
const FETCH_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The limit of a request for the version of a program.
const ASK_LIMIT: Duration = Duration::from_secs(20);

/// The time between two reports of a build.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// The beginning of the names of folders in which something is being built.
const SCRATCH: &str = ".build-";

/// Why a program could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unbuilt {
    pub(super) error: Error,
    /// Whether it should have been: compiler and sources were there.
    pub(super) is_required: bool,
}

/// What comes of an attempt to have a program.
pub(super) type BuildResult<T> = std::result::Result<T, Unbuilt>;

impl Unbuilt {
    /// Says that this machine lacks what it takes.
    fn lacking(error: Error) -> Self {
        Self { error, is_required: false }
    }

    /// Says that something is wrong with the sources.
    fn broken(error: Error) -> Self {
        Self { error, is_required: true }
    }
}

/// Where compilers come from.
#[derive(Clone, Copy)]
struct Compilers<'a> {
    /// A function that finds one that is there without further effort.
    installed: &'a dyn Fn(Version) -> Result<Go>,
    /// A function that finds one at any effort.
    any: &'a dyn Fn(Version) -> Result<Go>,
}

/// Returns a program of a module, from the user's cache folder or built.
pub(super) fn built(module: &Module, program: Program) -> BuildResult<Binary> {
    let compilers = Compilers { installed: &go::installed, any: &go::find };
    Shelf(folder()).take_or_build(module, program, compilers)
}

/// Returns the folder of all built programs: in the user's cache folder, as XDG has it, or in
/// cargo's target directory where the user has no folder at all.
fn folder() -> PathBuf {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    caches.map_or_else(|| target().join("etcd-built"), |caches| caches.join("etcd3-lab"))
}

/// A folder of built programs.
struct Shelf(PathBuf);

impl Shelf {
    fn take_or_build(
        &self,
        module: &Module,
        program: Program,
        compilers: Compilers<'_>,
    ) -> BuildResult<Binary> {
        let key = module.key(program).map_err(Unbuilt::broken)?;
        let installed = (compilers.installed)(module.needs);
        if let Some(binary) = self.find(&key, program, installed.as_ref().ok()) {
            return Ok(binary);
        }
        let go = installed.or_else(|_| (compilers.any)(module.needs)).map_err(Unbuilt::lacking)?;
        let turn = self.lock().map_err(Unbuilt::lacking)?;
        if let Some(binary) = self.find(&key, program, Some(&go)) {
            return Ok(binary);
        }
        let place = self.place(&key, &go);
        self.sweep(&place);
        let binary = self.build(module, program, &go, &place);
        drop(turn);
        binary
    }

    fn place(&self, key: &str, go: &Go) -> PathBuf {
        self.0.join(format!("{key}-go{}", go.version))
    }

    /// Finds a program by its sources, and by its compiler if there is one: without, that of
    /// another compiler is as good.
    fn find(&self, key: &str, program: Program, go: Option<&Go>) -> Option<Binary> {
        if let Some(go) = go {
            return entry::read(&self.place(key, go), program.name());
        }
        let prefix = format!("{key}-go");
        let entries = std::fs::read_dir(&self.0).ok()?.flatten();
        let fitting = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = go::number(name.strip_prefix(&prefix)?)?;
            Some((version, entry::read(&entry.path(), program.name())?))
        });
        fitting.max_by_key(|(version, _)| *version).map(|(_, binary)| binary)
    }

    /// Waits until no other process or thread builds; the lock ends with what is returned.
    fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let doing = || Error::doing(path.display());
        std::fs::create_dir_all(&self.0).map_err(doing())?;
        let file = File::options().create(true).append(true).open(&path).map_err(doing())?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("etcd is being built by another process, which is waited for");
            let locked = retry_on_intr(|| flock(&file, FlockOperation::LockExclusive));
            locked.map_err(Error::doing(path.display()))?;
        }
        Ok(file)
    }

    /// Removes what builds left that were killed, and what is left of a program that is to be
    /// built; the lock must be held.
    fn sweep(&self, place: &Path) {
        let _ = std::fs::remove_dir_all(place);
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
                // What cannot be removed is in nobody's way.
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    fn build(
        &self,
        module: &Module,
        program: Program,
        go: &Go,
        place: &Path,
    ) -> BuildResult<Binary> {
        let (name, version) = (program.name(), module.version);
        let begin = Instant::now();
        eprintln!(
            "{name} {version} is built from its Go modules by Go {} ({}), which takes minutes the \
             first time; it is kept in {}",
            go.version,
            go.source,
            self.0.display()
        );
        let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(&self.0);
        let scratch = scratch.map_err(Error::doing(self.0.display())).map_err(Unbuilt::lacking)?;
        let packages = fetch_modules(module, program, go)?;
        let path = scratch.path().join(name);
        compile(module, program, go, &path, packages).map_err(Unbuilt::broken)?;
        let binary = check_version(module, program, go, path).map_err(Unbuilt::broken)?;
        let shelved = entry::write(scratch.path(), &binary)
            .and_then(|()| entry::publish(scratch.path(), place, name))
            .map_err(Unbuilt::lacking)?;
        eprintln!("{name} {version} was built in {:.0} s", begin.elapsed().as_secs_f64());
        Ok(shelved)
    }
}

/// Fetches the modules that a program is built from, and counts their packages.
fn fetch_modules(module: &Module, program: Program, go: &Go) -> BuildResult<usize> {
    let mut list = go.command();
    list.args(["list", "-mod=readonly", "-deps"]).arg(format!("./{}", program.name()));
    let listed = command::run(list.current_dir(&module.folder), FETCH_LIMIT)
        .and_then(command::ProgramOutput::success)
        .map_err(Error::doing("the Go modules cannot be had"));
    match listed {
        Ok(listed) => Ok(listed.stdout.lines().count()),
        // The text of Go when a sum is missing or wrong; else it is the network's fault.
        Err(error) if error.to_string().contains("go.sum") => Err(Unbuilt::broken(error)),
        Err(error) => Err(Unbuilt::lacking(error)),
    }
}

/// Builds a program into a file, and reports how far it is.
fn compile(module: &Module, program: Program, go: &Go, file: &Path, packages: usize) -> Result<()> {
    let name = program.name();
    let mut build = go.command();
    build.args(["build", "-mod=readonly", "-trimpath", "-v", "-o"]).arg(file);
    build.arg(format!("./{name}")).current_dir(&module.folder);
    let begin = Instant::now();
    let mut next = REPORT_INTERVAL;
    let look = |said: &File| {
        if begin.elapsed() >= next {
            next += REPORT_INTERVAL;
            let seconds = begin.elapsed().as_secs();
            let done = lines(said);
            eprintln!("{name} {}: {done} of {packages} packages, {seconds} s", module.version);
        }
    };
    command::watch(&mut build, BUILD_LIMIT, look)?.success().map(drop)
}

/// Counts the lines of a file without moving where it stands.
fn lines(file: &File) -> usize {
    let (mut chunk, mut offset, mut lines) = ([0; 4096], 0, 0);
    loop {
        match file.read_at(&mut chunk, offset) {
            Ok(0) | Err(_) => return lines,
            Ok(count) => {
                lines += chunk[..count].split(|&byte| byte == b'\n').count() - 1;
                offset += u64::try_from(count).unwrap_or_default();
            }
        }
    }
}

/// Runs a program that was built, and compares the version that it tells.
fn check_version(module: &Module, program: Program, go: &Go, path: PathBuf) -> Result<Binary> {
    let (name, version) = (program.name(), module.version);
    let mut ask = Command::new(&path);
    let said = command::run(ask.arg(program.version_word()), ASK_LIMIT)?.success()?.stdout;
    if !said.split_whitespace().any(|word| word == version.to_string()) {
        return Err(Error::new(format!("{name} of the module of {version} says: {said}")));
    }
    Ok(Binary { version, path, source: format!("built by Go {}", go.version) })
}

#[cfg(test)]
mod tests {
    use super::super::module::tests::module;
    use super::*;

    /// A folder with a module, a shelf and a `go` that notes every call of it.
    struct Bench {
        dir: tempfile::TempDir,
        module: Module,
        shelf: Shelf,
    }

    impl Bench {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a folder");
            let (module, shelf) = (module(dir.path()), Shelf(dir.path().join("shelf")));
            Self { dir, module, shelf }
        }

        /// Makes a `go` that lists and builds by these commands of a shell; `$out` is the file to
        /// be built.
        fn go(&self, name: &str, version: &str, list: &str, build: &str) -> Go {
            let path = self.dir.path().join(name);
            let calls = self.calls_of(name);
            let script = format!(
                "#!/bin/sh\necho \"$*\" >>'{}'\ncase $1 in\nversion) echo go version \
                 go{version} x/y;;\nlist) {list};;\nbuild) out=$6; {build};;\nesac\n",
                calls.display()
            );
            // Another process writes it: what this one has open for writing, and a child of another
            // thread may hold open, cannot be run.
            let mut write = Command::new("sh");
            write.args(["-c", r#"printf '%s' "$1" >"$2"; chmod +x "$2""#, "write", &script]);
            let written = command::run(write.arg(&path), ASK_LIMIT);
            written.and_then(command::ProgramOutput::success).expect("a script");
            Go::of(path, None, "a test".into()).expect("a compiler")
        }

        /// Makes a `go` that builds a program which tells this version, after some time.
        fn good_go(&self, name: &str, version: &str) -> Go {
            let print = r#"printf '#!/bin/sh\necho etcd Version: 3.6.99\n' >"$out""#;
            let build = format!(r#"sleep 0.2; {print}; chmod +x "$out""#);
            self.go(name, version, "echo a; echo b", &build)
        }

        fn calls_of(&self, name: &str) -> PathBuf {
            self.dir.path().join(format!("{name}.calls"))
        }

        fn builds_of(&self, name: &str) -> usize {
            let calls = std::fs::read_to_string(self.calls_of(name)).unwrap_or_default();
            calls.lines().filter(|call| call.starts_with("build ")).count()
        }

        fn take(&self, go: &Go) -> BuildResult<Binary> {
            let here = |_| Ok(go.clone());
            self.take_with(Compilers { installed: &here, any: &here })
        }

        fn take_with(&self, compilers: Compilers<'_>) -> BuildResult<Binary> {
            self.shelf.take_or_build(&self.module, Program::Server, compilers)
        }

        /// Names the entries of the shelf.
        fn entries(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.shelf.0).expect("a shelf").flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name != "lock").collect()
        }
    }

    #[test]
    fn many_at_once_build_a_program_once() {
        let bench = Bench::new();
        let go = bench.good_go("go", "1.26.8");
        let found: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.take(&go))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(bench.builds_of("go"), 1);
        for binary in found {
            let binary = binary.expect("a binary");
            assert_eq!(binary.version, bench.module.version);
            assert_eq!(binary.source, "built by Go 1.26.8");
            assert!(binary.path.starts_with(&bench.shelf.0) && binary.path.is_file());
        }
        assert_eq!(bench.entries().len(), 1, "{:?}", bench.entries());
    }

    #[test]
    fn other_sources_and_other_compilers_build_anew() {
        let bench = Bench::new();
        let (old, new) = (bench.good_go("old", "1.26.8"), bench.good_go("new", "1.27.0"));
        for _ in 0..2 {
            bench.take(&old).expect("a binary");
            bench.take(&new).expect("a binary");
        }
        assert_eq!((bench.builds_of("old"), bench.builds_of("new")), (1, 1));
        std::fs::write(bench.module.folder.join("go.sum"), "other\n").expect("written");
        bench.take(&old).expect("a binary");
        assert_eq!((bench.builds_of("old"), bench.entries().len()), (2, 3));
    }

    #[test]
    fn without_a_compiler_what_was_built_is_taken() {
        let bench = Bench::new();
        let none = |_| Err(Error::new("no go in PATH"));
        let nothing = Compilers { installed: &none, any: &none };
        let unbuilt = bench.take_with(nothing).expect_err("nothing is there");
        assert_eq!(unbuilt, Unbuilt::lacking(Error::new("no go in PATH")));
        bench.take(&bench.good_go("go", "1.26.8")).expect("a binary");
        assert_eq!(bench.take_with(nothing).expect("a binary").source, "built by Go 1.26.8");
    }

    #[test]
    fn half_a_build_is_never_taken_and_makes_room_for_a_whole_one() {
        let bench = Bench::new();
        let go = bench.good_go("go", "1.26.8");
        let place = bench.take(&go).expect("a binary").path;
        std::fs::remove_file(place.with_file_name("source")).expect("removed");
        let killed = bench.shelf.0.join(".build-killed");
        std::fs::create_dir(&killed).expect("a folder");
        std::fs::write(killed.join("etcd"), "half").expect("written");
        bench.take(&go).expect("a binary");
        assert_eq!((bench.builds_of("go"), bench.entries().len()), (2, 1), "{:?}", bench.entries());
    }

    #[test]
    fn what_cannot_be_had_is_told_from_what_is_broken() {
        let bench = Bench::new();
        let fails = |name, list: &str, build: &str| {
            let unbuilt = bench.take(&bench.go(name, "1.26.8", list, build)).expect_err("fails");
            assert_eq!(bench.entries(), Vec::<String>::new(), "{name}");
            (unbuilt.is_required, unbuilt.error.to_string())
        };
        let (is_required, text) = fails("lost", "echo x: 403 Forbidden >&2; exit 1", "");
        assert!(!is_required && text.contains("403 Forbidden"), "{text}");
        let (is_required, text) = fails("unsummed", "echo missing go.sum entry >&2; exit 1", "");
        assert!(is_required && text.contains("go.sum"), "{text}");
        let (is_required, text) = fails("broken", "echo a", "echo main.go:1: oops >&2; exit 2");
        assert!(is_required && text.contains("oops"), "{text}");
        let other = r#"printf '#!/bin/sh\necho etcd Version: 3.6.98\n' >"$out"; chmod +x "$out""#;
        let (is_required, text) = fails("other", "echo a", other);
        assert!(is_required && text.contains("3.6.98"), "{text}");
    }

    #[test]
    fn the_lines_of_a_file_are_counted_where_it_stands() {
        let mut file = tempfile::tempfile().expect("a file");
        let text = "a line\n".repeat(1000);
        std::io::Write::write_all(&mut file, text.as_bytes()).expect("written");
        assert_eq!(lines(&file), 1000);
        assert_eq!(std::io::Seek::stream_position(&mut file).ok(), Some(7000));
    }
}
