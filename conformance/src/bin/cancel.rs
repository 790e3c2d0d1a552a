//! Drops calls at every stage, a great many of them, and prints what is left (I-C12).
//!
//! `cargo run --release -p etcd3-conformance --bin cancel -- --calls 1000000 --runtime smol`
#![forbid(unsafe_code)]

use etcd3::runtime::Runtime;
use etcd3_conformance::cancel::{Figures, run};
use etcd3_conformance::load::{self, Error};
use std::process::ExitCode;
use std::sync::Arc;

/// Calls, unless told otherwise.
const CALLS: u64 = 1_000_000;
/// What the allocator may keep, in bytes: no multiple of the calls.
const GROWTH: i64 = 12 << 20;

fn main() -> ExitCode {
    let asked = parse(std::env::args().skip(1));
    load::exit_code(asked.and_then(|(calls, runtime)| show(calls, &runtime)))
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<(u64, String), Error> {
    let (mut calls, mut runtime) = (CALLS, "tokio".to_owned());
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value."))?;
        match name.as_str() {
            "--calls" => calls = value.parse().map_err(|_| "--calls takes a whole number.")?,
            "--runtime" => runtime = value,
            _ => return Err(format!("{name:?} is not understood.").into()),
        }
    }
    Ok((calls, runtime))
}

/// Prints the figures of a run; tells whether all is well.
fn show(calls: u64, runtime: &str) -> Result<bool, Error> {
    let figures = on(runtime, calls)?;
    println!("{runtime}: {figures:?}");
    let problems = problems(&figures);
    for problem in &problems {
        println!("    {problem}");
    }
    Ok(problems.is_empty())
}

fn problems(figures: &Figures) -> Vec<String> {
    let mut problems = figures.problems();
    if let Some(growth) = figures.growth.filter(|growth| *growth > GROWTH) {
        problems.push(format!("the memory grew by {growth} bytes"));
    }
    problems
}

fn on(runtime: &str, calls: u64) -> Result<Figures, Error> {
    let all = move |rt: Arc<dyn Runtime>| run(rt, calls);
    match runtime {
        "tokio" => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?
            .block_on(async { all(Arc::new(etcd3_tokio::Tokio::current())).await }),
        "smol" => smol::block_on(all(Arc::new(etcd3_smol::Smol::global()))),
        "async-std" => {
            async_std::task::block_on(all(Arc::new(etcd3_async_std::AsyncStd::global())))
        }
        other => Err(format!("{other:?} is no runtime: tokio, smol or async-std.").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_conformance::cancel::endless;

    // In a process of its own, one after the other, so that the memory is theirs alone.
    #[test]
    fn neither_dropped_calls_nor_endless_answers_are_kept() {
        // I-X2, H10, H13
        let all = async { endless(Arc::new(etcd3_smol::Smol::global())).await };
        let (poured, growth) = smol::block_on(all).unwrap();
        assert!(growth.is_none_or(|growth| growth < GROWTH), "{growth:?} of {poured} bytes");
        // I-C12
        for runtime in ["tokio", "smol", "async-std"] {
            let figures = on(runtime, 20_000).unwrap();
            assert_eq!(problems(&figures), Vec::<String>::new(), "{runtime}: {figures:?}");
        }
    }
}
