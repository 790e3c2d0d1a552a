//! Generates the Rust code of `etcd3-proto` from its `.proto` files, without `protoc`.
//!
//! Without arguments it rewrites `proto/src/generated/` and, for the tests of this code,
//! `proto/tests/derived/`. With `--check` it writes nothing, and fails, naming each file that is
//! stale, missing or superfluous, if these directories differ from what it would write.
#![forbid(unsafe_code)]

mod generate;
mod sync;
mod write_out;

use std::path::Path;
use std::process::ExitCode;

use generate::Files;
use sync::Difference;

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => rewrite(),
        ["--check"] => check_generated(),
        _ => {
            eprintln!("usage: etcd3-proto-codegen [--check]");
            return ExitCode::from(2);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn rewrite() -> Result<ExitCode, Error> {
    for (directory, files) in directories()? {
        for difference in sync::rewrite(&proto_package()?.join(directory), &files)? {
            println!("{}", difference.repaired());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check_generated() -> Result<ExitCode, Error> {
    let mut stale = Vec::new();
    for (directory, files) in directories()? {
        for Difference { kind, file } in
            sync::differences(&proto_package()?.join(directory), &files)?
        {
            stale.push(format!("  {kind}: proto/{directory}/{file}"));
        }
    }
    if stale.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: the generated code does not match proto/proto/*.proto:");
    eprintln!("{}", stale.join("\n"));
    eprintln!("help: run `cargo xtask proto` and commit the result");
    Ok(ExitCode::FAILURE)
}

/// Returns the directories of the package that are generated, with what they should hold.
fn directories() -> Result<[(&'static str, Files); 2], Error> {
    let generated = generate::files(&proto_package()?.join("proto"))?;
    Ok([("src/generated", generated.product), ("tests/derived", generated.derived)])
}

/// Returns the directory of the package `etcd3-proto`, which holds this one.
fn proto_package() -> Result<&'static Path, Error> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or_else(|| "no parent directory".into())
}
