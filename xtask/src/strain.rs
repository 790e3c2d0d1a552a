//! `cargo xtask strain`: runs a command on a machine that is made busy.
//!
//! For seeing that the tests hold there, too:
//!
//! ```text
//! cargo xtask strain --time-wait 30000 -- cargo xtask test --only conformance
//! cargo xtask strain --busy 4 -- cargo test -p etcd3-conformance --test smol conn_partition
//! ```

use crate::options::Options;
use crate::{ExitResult, shell};
use etcd3_lab::strain::{Busy, time_wait};
use etcd3_lab::{Error, Result};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Half of the time for which the kernel keeps a socket in `TIME_WAIT`.
const RENEWAL: Duration = Duration::from_secs(30);

pub(crate) fn run(options: &Options) -> ExitResult {
    let [program, arguments @ ..] = options.command() else {
        return Err(Error::new("Say what to run, after two dashes: -- COMMAND"));
    };
    let sockets = options.number("--time-wait")?.unwrap_or(0);
    let busy = Busy::start(options.number("--busy")?.unwrap_or(0))?;
    time_wait(sockets)?;
    let mut command = Command::new(program);
    command.args(arguments);
    let (over, is_over) = channel();
    let outcome = std::thread::scope(|scope| {
        let renewing = scope.spawn(move || renew(sockets, &is_over));
        let outcome = shell::show(command);
        // Dropped, and so is the channel's other end: the thread ends at once.
        drop(over);
        renewing.join().map_err(|_| Error::new("the renewal panicked"))??;
        outcome
    });
    drop(busy);
    outcome
}

/// Keeps sockets in `TIME_WAIT` until the channel ends.
fn renew(sockets: usize, is_over: &Receiver<()>) -> Result<()> {
    while is_over.recv_timeout(RENEWAL) == Err(RecvTimeoutError::Timeout) {
        time_wait(sockets)?;
    }
    Ok(())
}
