//! Where a member is, and how it is started.

use crate::certs::Tls;
use crate::etcd::Binary;
use crate::renamed::RenamedFlags;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The name, addresses and folder of a member.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) client: SocketAddr,
    /// The address for the lab itself, in plain text, where the client's port speaks TLS.
    pub(crate) plain: Option<SocketAddr>,
    pub(crate) listen: SocketAddr,
    pub(crate) advertised: SocketAddr,
    pub(crate) dir: PathBuf,
}

impl Layout {
    pub(crate) fn peer_url(&self) -> String {
        format!("http://{}", self.advertised)
    }
}

/// The settings that all members of a cluster have in common.
#[derive(Debug, Clone)]
pub(crate) struct MemberOptions {
    pub(crate) binary: Binary,
    pub(crate) heartbeat_ms: u32,
    pub(crate) election_ms: u32,
    pub(crate) token: String,
    pub(crate) flags: Vec<(String, String)>,
    pub(crate) renamed: RenamedFlags,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) jwt_ttl: Option<Duration>,
    pub(crate) unix_socket: bool,
    /// The longest wait for a member that starts.
    pub(crate) ready_limit: Duration,
    /// `name=url` of all members, separated by commas.
    pub(crate) initial: String,
    /// `new` or `existing`.
    pub(crate) initial_state: &'static str,
    /// The snapshot that its data begins with, if any.
    pub(crate) snapshot: Option<PathBuf>,
}
