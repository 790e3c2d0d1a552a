//! A glob import of the adapter hides nothing that a program uses.
#![allow(clippy::wildcard_imports, reason = "that is what is tested")]

use etcd3_tokio::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Mine(u8);

#[test]
fn a_glob_import_leaves_core_std_and_their_macros_as_they_are() {
    let mut mine = Mine(1);
    assert_eq!(core::mem::take(&mut mine), Mine(1));
    assert_ne!(format!("{mine:?}"), "");
    assert!(matches!(std::mem::size_of_val(&mine), 1), "{}", vec![0; 2].len());
    let parsed: Result<u8, _> = "7".parse();
    assert_eq!(parsed.map(Some), Ok(Some(7)));
    let write = txn().when([key("k").missing()]).then(ops![put("k", "v"), get("l")]);
    let whole: Txn = write.into_whole();
    assert_ne!(format!("{whole:?}"), "");
}
