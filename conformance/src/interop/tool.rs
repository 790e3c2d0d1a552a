//! A process of `etcdctl` that holds something.

use crate::BoxError;
use etcd3_lab::tools::{self, Tool};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// `etcdctl`, with the server that it goes to.
#[derive(Debug, Clone)]
pub(super) struct Etcdctl {
    tool: Tool,
    url: String,
}

impl Etcdctl {
    /// Finds the tool, or fetches it.
    pub(super) fn new(url: &str) -> Result<Self, BoxError> {
        Ok(Self { tool: tools::etcdctl()?, url: url.to_owned() })
    }

    /// Starts an order that holds something until its process is asked to end, and waits until it
    /// does.
    pub(super) fn hold(&self, words: &[&str]) -> Result<Held, BoxError> {
        let mut command = self.tool.command();
        command.args(["--endpoints", &self.url]).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut held = Held { child, lines: BufReader::new(stdout), key: String::new() };
        held.key = held.line()?;
        Ok(held)
    }
}

/// A process that holds something. Its drop kills it, and it holds that until its lease is over.
#[derive(Debug)]
pub(super) struct Held {
    child: Child,
    lines: BufReader<ChildStdout>,
    /// The key by which it holds.
    pub(super) key: String,
}

impl Held {
    /// Reads the next line that it prints.
    fn line(&mut self) -> Result<String, BoxError> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            return Err(format!("etcdctl has ended: {}", self.child.wait()?).into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// Asks the process to give up what it holds, and waits for its end.
    pub(super) fn release(mut self) -> Result<(), BoxError> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        let ended = self.child.wait()?;
        if !sent.success() {
            return Err(format!("etcdctl could not be told to end, and has: {ended}").into());
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It has ended already where it was released.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
