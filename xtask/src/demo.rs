//! `cargo xtask demo`: the examples of the README against a real etcd.

use crate::options::Options;
use crate::{ExitResult, shell, workspace};
use etcd3_lab::{Error, Result, Server, etcd};
use std::process::ExitCode;

pub(crate) fn run(options: &Options) -> ExitResult {
    let runtime = options.value("--runtime").unwrap_or("tokio");
    if !workspace::RUNTIMES.contains(&runtime) {
        let known = workspace::RUNTIMES.join(", ");
        return Err(Error::new(format!("There is no runtime {runtime:?}; known are {known}.")));
    }
    if let Some(endpoints) = options.value("--endpoints") {
        let urls: Vec<&str> = endpoints.split(',').filter(|url| !url.is_empty()).collect();
        return example(runtime, "tour", &urls);
    }
    let binary = etcd::any()?;
    shell::heading(&format!("starting {binary}"));
    let server = Server::builder().version(&binary).start()?;
    let url = server.client_url();
    println!("    it answers at {url} and ends with this command");
    if runtime == "tokio" {
        let ended = example(runtime, "readme", &[&url])?;
        if ended != ExitCode::SUCCESS {
            return Ok(ended);
        }
    }
    example(runtime, "tour", &[&url])
}

fn example(runtime: &str, stem: &str, urls: &[&str]) -> Result<ExitCode> {
    let (package, name) = (format!("etcd3-{runtime}"), workspace::example_of(runtime, stem));
    shell::heading(&format!("{package}: example {name}"));
    let words = ["run", "--quiet", "-p", &package, "--example", &name, "--"];
    shell::show(workspace::cargo(words.into_iter().chain(urls.iter().copied())))
}
