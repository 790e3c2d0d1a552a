//! Generates the Rust code of `etcd3-proto` from its `.proto` files, without `protoc`.
//!
//! Without arguments it rewrites `proto/src/generated/`. With `--check` it writes nothing, and
//! fails, naming each file that is stale, missing or superfluous, if that directory differs from
//! what it would write.
#![forbid(unsafe_code)]

mod generate;
mod sync;

use std::path::Path;
use std::process::ExitCode;

use sync::Difference;

type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => rewrite(),
        ["--check"] => check(),
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
    let proto = proto_package()?;
    let files = generate::files(&proto.join("proto"))?;
    for difference in sync::rewrite(&proto.join("src/generated"), &files)? {
        println!("{}", difference.repaired());
    }
    Ok(ExitCode::SUCCESS)
}

fn check() -> Result<ExitCode, Error> {
    let proto = proto_package()?;
    let files = generate::files(&proto.join("proto"))?;
    let differences = sync::differences(&proto.join("src/generated"), &files)?;
    if differences.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: the generated code does not match proto/proto/*.proto:");
    for Difference { kind, file } in &differences {
        eprintln!("  {kind}: proto/src/generated/{file}");
    }
    eprintln!("help: run `cargo xtask proto` and commit the result");
    Ok(ExitCode::FAILURE)
}

/// The directory of the package `etcd3-proto`, which holds this one.
fn proto_package() -> Result<&'static Path, Error> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or_else(|| "no parent directory".into())
}
