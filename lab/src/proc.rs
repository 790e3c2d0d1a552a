//! Who owns a socket: Linux's `/proc`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Is the state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// Is the state of a connected socket.
const ESTABLISHED: &str = "01";

/// Tells whether sockets can be attributed to processes on this machine.
pub(crate) fn available() -> bool {
    cfg!(target_os = "linux") && Path::new("/proc/net/tcp").exists()
}

/// Tells whether the process `pid` has the socket that listens on `addr`; `None` when this machine
/// cannot tell.
pub(crate) fn listens(pid: u32, addr: SocketAddr) -> Option<bool> {
    if !available() {
        return None;
    }
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = find(&table, addr, None, LISTEN);
    Some(inode.is_some_and(|inode| owns(pid, inode)))
}

/// Returns the position in `pids` of the process that holds the near end `near` of a connection to
/// `far`.
pub(crate) fn connector(pids: &[Option<u32>], near: SocketAddr, far: SocketAddr) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let inode = find(&table, near, Some(far), ESTABLISHED)?;
    pids.iter().position(|pid| pid.is_some_and(|pid| owns(pid, inode)))
}

/// Tells whether a process exists and is more than a zombie.
pub(crate) fn runs(pid: u32) -> bool {
    let state = if cfg!(target_os = "linux") {
        state_in(&PathBuf::from(format!("/proc/{pid}/stat")))
    } else {
        state_by_ps(pid)
    };
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Tells whether all threads of a process are stopped by a signal.
pub(crate) fn is_frozen(pid: u32) -> bool {
    if !cfg!(target_os = "linux") {
        return state_by_ps(pid) == Some('T');
    }
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().all(|thread| state_in(&thread.path().join("stat")) == Some('T'))
}

fn state_in(stat: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(stat).ok()?;
    // The command in parentheses may itself contain spaces and parentheses.
    stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next())
}

fn state_by_ps(pid: u32) -> Option<char> {
    let mut ps = Command::new("ps");
    let said = ps.args(["-o", "stat=", "-p", &pid.to_string()]).output().ok()?;
    said.stdout.trim_ascii().first().map(|&state| char::from(state))
}

fn find(table: &str, near: SocketAddr, far: Option<SocketAddr>, state: &str) -> Option<u64> {
    let near = hex(near)?;
    let far = far.map(hex);
    table.lines().skip(1).find_map(|row| {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let [_, local, remote, its_state, _, _, _, _, _, inode, ..] = columns[..] else {
            return None;
        };
        let far_fits = far.as_ref().is_none_or(|far| far.as_deref() == Some(remote));
        (local == near && far_fits && its_state == state).then(|| inode.parse().ok()).flatten()
    })
}

/// Writes an address as `/proc/net/tcp` does: the bytes of the address in the machine's order.
fn hex(addr: SocketAddr) -> Option<String> {
    let SocketAddr::V4(addr) = addr else { return None };
    let ip: &Ipv4Addr = addr.ip();
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), addr.port()))
}

fn owns(pid: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files
        .flatten()
        .filter_map(|file| std::fs::read_link(file.path()).ok())
        .any(|target| target.as_os_str() == wanted.as_str())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_listener_and_a_connection_are_attributed_to_their_process() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let addr = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(addr).expect("a connection");
        let near = stream.local_addr().expect("an address");
        let me = std::process::id();
        assert_eq!(listens(me, addr), Some(true));
        assert_eq!(listens(1, addr), Some(false));
        assert_eq!(connector(&[None, Some(1), Some(me)], near, addr), Some(2));
        drop((listener, stream));
        assert_eq!(listens(me, addr), Some(false));
    }

    #[test]
    fn a_zombie_does_not_run() {
        let mut child = Command::new("true").spawn().expect("true runs");
        let pid = child.id();
        let ended = crate::until(std::time::Duration::from_secs(5), "the end of true", || {
            Ok((!runs(pid)).then_some(()))
        });
        assert_eq!(ended, Ok(()));
        assert!(runs(std::process::id()));
        child.wait().expect("true ended");
    }
}
