//! `cargo xtask etcd`: which etcd versions the tests have, and where.

use crate::options::Options;
use crate::{Outcome, shell};
use etcd3_lab::Error;
use std::process::ExitCode;
use std::time::Instant;

pub(crate) fn run(_options: &Options) -> Outcome {
    shell::heading("fetching etcd");
    let begin = Instant::now();
    let fetched = etcd3_lab::etcd::fetch();
    for binary in &fetched.binaries {
        let path = shell::place(&binary.path);
        println!("    {:<8} {:<22} {path}", binary.version.to_string(), binary.source);
    }
    for missing in &fetched.missing {
        println!("!!! {missing}");
    }
    let (found, missing) = (fetched.binaries.len(), fetched.missing.len());
    println!("{found} found, {missing} missing, {}", shell::time(begin.elapsed().as_secs_f64()));
    if found == 0 {
        return Err(Error::new("There is no etcd for the tests."));
    }
    Ok(ExitCode::SUCCESS)
}
