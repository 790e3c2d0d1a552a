//! A program that listens at one port of its own, and may be killed and started again.

use crate::child::{Child, Signal};
use crate::{Error, Ports, Result, command, ports, until};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest wait for a program that starts, ends or reads its configuration again.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The limit of one connect to the port.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// A child process with its port, its folder and its log. It keeps all three over restarts.
#[derive(Debug)]
pub(crate) struct Daemon {
    name: &'static str,
    addr: SocketAddr,
    folder: PathBuf,
    process: Mutex<Option<Child>>,
    // Declared last so that it is dropped after the process, which works in it.
    _scratch: tempfile::TempDir,
}

impl Daemon {
    /// Reserves a port and makes a folder; nothing runs yet.
    pub(crate) fn new(name: &'static str) -> Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("etcd3-lab-")
            .tempdir()
            .map_err(Error::doing("no temporary folder"))?;
        let folder = scratch.path().join(name);
        std::fs::create_dir_all(&folder).map_err(Error::doing(folder.display()))?;
        let addr = Ports::reserve(1)?.take()?;
        Ok(Self { name, addr, folder, process: Mutex::default(), _scratch: scratch })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns all that the program has written, over all restarts.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Starts the program, after the end of the one before, and waits until its log has `listening`
    /// once more, which it writes when it has its port: whoever answers there is this program.
    ///
    /// # Errors
    ///
    /// Fails with an excerpt of the log when it ends, or does not listen within the limit.
    pub(crate) fn launch(&self, program: &Command, listening: &str) -> Result<()> {
        self.kill()?;
        let before = self.says(listening);
        *self.lock() = Some(Child::spawn(program, &self.folder, &self.log_file())?);
        let ready = until(LIMIT, &format!("{} to be ready", self.name), || {
            if !self.is_running() {
                return Err(Error::new(format!("{} has ended", self.name)));
            }
            Ok((self.says(listening) > before).then_some(()))
        });
        ready.map_err(|error| {
            let log = command::excerpt(&self.log(), 8);
            Error::new(format!("{error}; its log:\n{log}"))
        })
    }

    /// Kills the program, waits until nobody listens at its port, and keeps the port from others.
    pub(crate) fn kill(&self) -> Result<()> {
        let Some(process) = self.lock().take() else { return Ok(()) };
        process.end_and_keep();
        // What the program has started, as the workers of nginx, may hold the port a little longer.
        until(LIMIT, &format!("the end of {}", self.name), || {
            Ok(TcpStream::connect_timeout(&self.addr, CONNECT_LIMIT).is_err().then_some(()))
        })?;
        // Without it a restart could find its port taken; then it says so.
        let _ = ports::hold(self.addr.port());
        Ok(())
    }

    /// Sends a signal to the program, not to what it has started.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        match &*self.lock() {
            Some(process) => process.signal(signal),
            None => Err(Error::new(format!("{} does not run", self.name))),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Child::is_running)
    }

    /// Counts how often something stands in the log.
    pub(crate) fn says(&self, what: &str) -> usize {
        self.log().matches(what).count()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
