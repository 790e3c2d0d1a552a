//! Replays the corpus of every target, and every input that once broke something.
#![forbid(unsafe_code)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Returns the files of a folder by name; none if there is no such folder.
fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target);
    let entries = fs::read_dir(path).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable entry").path()).collect();
    files.sort();
    files
}

fn replay(target: &str, body: fn(&[u8])) {
    let corpus = files("corpus", target);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for file in corpus.iter().chain(&files("regressions", target)) {
        let data = fs::read(file).expect("a readable file");
        let result = catch_unwind(AssertUnwindSafe(|| body(&data)));
        assert!(result.is_ok(), "{target} breaks on {}", file.display());
    }
    // Whatever is cut off, it is still some input.
    body(&[]);
}

macro_rules! targets {
    ($($target:ident)*) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target), etcd3_fuzz::$target);
        })*

        /// Every target of the manifest is replayed, and every folder belongs to a target.
        #[test]
        fn no_target_is_forgotten() {
            let known = [$(stringify!($target)),*];
            for folder in ["corpus", "regressions", "fuzz_targets"] {
                for path in files(folder, "") {
                    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
                    assert!(known.contains(&name), "{folder} holds {name}");
                }
            }
            assert_eq!(files("fuzz_targets", "").len(), known.len());
        }
    };
}

targets! {
    frame status call channel txn_shape key_range model endpoint_url h2_hostile watch_machine
    watch_vs_model lease_machine auth_machine config_text
}
