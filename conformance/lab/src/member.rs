//! One etcd process, which may be killed and started again.

use crate::certs::{CERTIFICATE, Identity, KEY, Replace};
use crate::child::{Child, Signal};
use crate::etcd::Binary;
use crate::json_gateway::{JsonGateway, MemberStatus};
use crate::layout::{Layout, MemberOptions};
use crate::peers::Peers;
use crate::proc::unsupported_architecture;
use crate::{Error, Result, command, http, jwt, ports, restore, until};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The limit of one request to a member by HTTP.
const HTTP_LIMIT: Duration = Duration::from_secs(5);

/// The text in the member's log when another program was given its port.
const PORT_TAKEN: &str = "address already in use";

/// One etcd process. It is reached through a [`crate::Server`] or a [`crate::Cluster`].
///
/// A member that was killed keeps its ports and its data, and [`Member::restart`] starts it again.
#[derive(Debug)]
pub struct Member {
    pub(crate) layout: Layout,
    pub(crate) options: MemberOptions,
    pub(crate) network: Option<Arc<Peers>>,
    /// What is started next.
    binary: Mutex<Binary>,
    process: Mutex<Option<Child>>,
    pid: AtomicU32,
}

impl Member {
    pub(crate) fn new(layout: Layout, options: MemberOptions, network: Option<Arc<Peers>>) -> Self {
        let binary = Mutex::new(options.binary.clone());
        let (process, pid) = (Mutex::new(None), AtomicU32::new(0));
        Self { layout, options, network, binary, process, pid }
    }

    /// Returns the address for clients, as an endpoint: `http://127.0.0.1:…`.
    pub fn client_url(&self) -> String {
        let scheme = if self.layout.plain.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.layout.client)
    }

    /// Returns the address for clients.
    pub fn addr(&self) -> SocketAddr {
        self.layout.client
    }

    /// Returns the port for clients.
    pub fn port(&self) -> u16 {
        self.layout.client.port()
    }

    /// Returns the address that the member listens at for the other members.
    pub fn peer_addr(&self) -> SocketAddr {
        self.layout.listen
    }

    /// Returns the path of the unix socket that the member listens on too, if it was built with
    /// one. The path ends in `localhost` and the port, which clients take for its authority.
    pub fn socket(&self) -> Option<PathBuf> {
        self.options.unix_socket.then(|| self.layout.dir.join(self.socket_name()))
    }

    fn socket_name(&self) -> String {
        format!("localhost:{}", self.port())
    }

    /// Replaces the certificate that the member shows from the next handshake on.
    ///
    /// # Errors
    ///
    /// Fails when the files cannot be written.
    pub fn replace_identity(&self, identity: &Identity, how: Replace) -> Result<()> {
        identity.write(&self.layout.dir.join(CERTIFICATE), &self.layout.dir.join(KEY), how)
    }

    /// Returns the name that was given with `--name`.
    pub fn name(&self) -> &str {
        &self.layout.name
    }

    /// Returns the binary that runs.
    pub fn binary(&self) -> Binary {
        self.binary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the next start one of another binary, as an upgrade of the member does; what runs
    /// stays.
    pub fn replace_binary(&self, binary: &Binary) {
        *self.binary.lock().unwrap_or_else(PoisonError::into_inner) = binary.clone();
    }

    /// Returns the number of the process that was started last.
    pub fn pid(&self) -> u32 {
        self.pid.load(Ordering::SeqCst)
    }

    /// Tells whether the process exists; a frozen one does.
    pub fn is_running(&self) -> bool {
        self.lock().as_ref().is_some_and(Child::is_running)
    }

    /// Sends a signal and does not wait for what it does.
    ///
    /// # Errors
    ///
    /// Fails when the member has never been started.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.with_process(|process| process.signal(signal))
    }

    /// Kills the process with `SIGKILL` and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Fails when the process does not end.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::Kill)?;
        self.wait_ended()
    }

    /// Asks the process to end with `SIGTERM` and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Fails when the process does not end.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::Terminate)?;
        self.wait_ended()
    }

    /// Freezes the process with `SIGSTOP` and waits until all of it stands still.
    ///
    /// # Errors
    ///
    /// Fails when there is no process.
    pub fn stop(&self) -> Result<()> {
        self.signal(Signal::Stop)?;
        self.with_process(Child::frozen)
    }

    /// Lets a frozen process go on with `SIGCONT`.
    ///
    /// # Errors
    ///
    /// Fails when there is no process.
    pub fn cont(&self) -> Result<()> {
        self.signal(Signal::Continue)
    }

    /// Starts the member again, with the same ports and data, and waits until it is ready; kills
    /// it first if it runs.
    ///
    /// A member of a cluster becomes ready only together with a majority; use [`Member::launch`]
    /// and [`Member::wait_ready`] to start several.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log when the member does not become ready.
    pub fn restart(&self) -> Result<()> {
        self.restart_with(&[])
    }

    /// Starts the member again like [`Member::restart`], with more flags this time.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log when the member does not become ready.
    pub fn restart_with(&self, flags: &[(&str, &str)]) -> Result<()> {
        self.launch(flags)?;
        self.wait_ready()
    }

    /// Starts the process, after the end of the one before, and does not wait until it is ready.
    ///
    /// # Errors
    ///
    /// Fails when no process can be started.
    pub fn launch(&self, flags: &[(&str, &str)]) -> Result<()> {
        let mut process = self.lock();
        if let Some(before) = process.take() {
            before.end_and_keep();
        }
        std::fs::create_dir_all(&self.layout.dir)
            .map_err(Error::doing(self.layout.dir.display()))?;
        if let Some(snapshot) = &self.options.snapshot {
            let MemberOptions { initial, token, .. } = &self.options;
            restore::restore(snapshot, self.binary().version, &self.layout, initial, token)?;
        }
        let started = Child::spawn(&self.command(flags)?, &self.layout.dir, &self.log_file())?;
        self.pid.store(started.pid(), Ordering::SeqCst);
        *process = Some(started);
        Ok(())
    }

    /// Removes what the member has stored; it must not run.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be removed.
    pub fn forget_data(&self) -> Result<()> {
        let data = self.layout.dir.join("data");
        std::fs::remove_dir_all(&data).map_err(Error::doing(data.display()))
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Errors
    ///
    /// Fails when it has not within `limit`, which stretches with the load of the machine.
    pub fn wait_end(&self, limit: Duration) -> Result<()> {
        until(limit, "the process to end", || Ok((!self.is_running()).then_some(())))
    }

    /// Waits until the member is healthy, which includes that it knows a leader, and the version of
    /// the cluster is decided, before which etcd takes neither requests nor members. Makes sure
    /// that it is this member's own process that answers.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log when the process ends, or is not ready after 20 seconds.
    pub fn wait_ready(&self) -> Result<()> {
        let ready = until(self.options.ready_limit, "a healthy member", || {
            if !self.is_running() {
                return Err(Error::new("the process has ended"));
            }
            Ok((self.is_healthy() && self.knows_the_version()).then_some(()))
        });
        ready.and_then(|()| self.check_owner()).map_err(|error| {
            let (name, binary) = (&self.layout.name, self.binary());
            let log = command::excerpt(&self.log(), 8);
            Error::new(format!("{name} with {binary}: {error}; its log:\n{log}"))
        })
    }

    /// Returns all that the member has written, over all restarts.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the member's metrics, in the text format of Prometheus.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer within 5 seconds.
    pub fn metrics(&self) -> Result<String> {
        self.http_get("/metrics")
    }

    /// Asks for a page of the member's client port, such as `/version`.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer with status 200 within 5 seconds.
    pub fn http_get(&self, path: &str) -> Result<String> {
        http::get(self.plain_addr(), path, HTTP_LIMIT)?.ok()
    }

    /// Posts a JSON text to a page of the JSON gateway, such as `/v3/auth/user/add`.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer with status 200 within 5 seconds.
    pub fn http_post(&self, path: &str, json: &str) -> Result<String> {
        http::post(self.plain_addr(), path, json, HTTP_LIMIT)?.ok()
    }

    /// Asks the member for its status by the JSON gateway.
    ///
    /// # Errors
    ///
    /// Fails when the member does not answer within 5 seconds.
    pub fn status(&self) -> Result<MemberStatus> {
        self.gateway(HTTP_LIMIT).status()
    }

    /// Writes a key by the JSON gateway: by another way than the client under test.
    ///
    /// # Errors
    ///
    /// Fails when the member refuses, or does not answer within 5 seconds; the key may have been
    /// written in the latter case.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.gateway(HTTP_LIMIT).put(key.as_ref(), value.as_ref())
    }

    /// Reads a key by the JSON gateway, linearizably; `None` when there is no such key.
    ///
    /// # Errors
    ///
    /// Fails when the member refuses, or does not answer within 5 seconds.
    pub fn range(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>> {
        self.gateway(HTTP_LIMIT).range(key.as_ref())
    }

    pub(crate) fn gateway(&self, limit: Duration) -> JsonGateway {
        JsonGateway { addr: self.plain_addr(), limit }
    }

    /// Tells whether the member ended because another program has its port.
    pub(crate) fn lost_its_port(&self) -> bool {
        self.log().contains(PORT_TAKEN)
    }

    /// Ends the process and removes what it has written.
    pub(crate) fn end(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_process<T>(&self, act: impl FnOnce(&Child) -> Result<T>) -> Result<T> {
        match &*self.lock() {
            Some(process) => act(process),
            None => Err(Error::new(format!("{} has no process", self.layout.name))),
        }
    }

    fn wait_ended(&self) -> Result<()> {
        self.with_process(Child::ended)?;
        for addr in [Some(self.layout.client), Some(self.layout.listen), self.layout.plain] {
            // Without it a restart could find its port taken; then it says so.
            let _ = addr.map(|addr| ports::hold(addr.port()));
        }
        Ok(())
    }

    fn plain_addr(&self) -> SocketAddr {
        self.layout.plain.unwrap_or(self.layout.client)
    }

    fn is_healthy(&self) -> bool {
        self.quick_get("/health").is_some_and(|said| said.contains("true"))
    }

    fn knows_the_version(&self) -> bool {
        self.quick_get("/version").is_some_and(|said| said.contains("\"etcdcluster\":\"3."))
    }

    fn quick_get(&self, path: &str) -> Option<String> {
        http::get(self.plain_addr(), path, Duration::from_secs(1)).ok()?.ok().ok()
    }

    fn check_owner(&self) -> Result<()> {
        // The name is unique on this machine, and etcd tells with which flags it was started.
        let flag = format!("\"--name={}\"", self.layout.name);
        if self.http_get("/debug/vars")?.contains(&flag) {
            return Ok(());
        }
        Err(Error::new(format!("another process answers at {}", self.plain_addr())))
    }

    fn log_file(&self) -> PathBuf {
        self.layout.dir.join("log")
    }

    /// Returns all addresses that the member serves clients at.
    fn listen_urls(&self) -> String {
        let mut urls = vec![self.client_url()];
        urls.extend(self.layout.plain.map(|plain| format!("http://{plain}")));
        if self.options.unix_socket {
            let scheme = if self.layout.plain.is_some() { "unixs" } else { "unix" };
            urls.push(format!("{scheme}://{}", self.socket_name()));
        }
        urls.join(",")
    }

    fn command(&self, more: &[(&str, &str)]) -> Result<Command> {
        let (layout, options) = (&self.layout, &self.options);
        let binary = self.binary();
        let mut etcd = Command::new(binary.path);
        for (name, _) in std::env::vars_os() {
            // etcd takes these for flags.
            if name.to_string_lossy().starts_with("ETCD_") {
                etcd.env_remove(name);
            }
        }
        if let Some(name) = unsupported_architecture() {
            etcd.env("ETCD_UNSUPPORTED_ARCH", name);
        }
        if let Some(network) = &self.network {
            // What else decides about proxies in Go.
            for name in ["http_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"] {
                etcd.env_remove(name);
            }
            etcd.envs(network.proxy_of(layout.index).map(|proxy| ("HTTP_PROXY", proxy)));
        }
        for (name, value) in &options.env {
            etcd.env(name, value);
        }
        etcd.current_dir(&layout.dir);
        let client_url = self.client_url();
        let mut flag = |name: &str, value: &str| {
            etcd.arg(format!("{name}={value}"));
        };
        flag("--name", &layout.name);
        flag("--data-dir", &layout.dir.join("data").to_string_lossy());
        flag("--listen-client-urls", &self.listen_urls());
        flag("--advertise-client-urls", &client_url);
        flag("--listen-peer-urls", &format!("http://{}", layout.listen));
        flag("--initial-advertise-peer-urls", &layout.peer_url());
        flag("--initial-cluster", &options.initial);
        flag("--initial-cluster-state", options.initial_state);
        flag("--initial-cluster-token", &options.token);
        flag("--heartbeat-interval", &options.heartbeat_ms.to_string());
        flag("--election-timeout", &options.election_ms.to_string());
        flag("--unsafe-no-fsync", "true");
        if let Some(tls) = &options.tls {
            for (name, value) in tls.flags(layout.index, &layout.dir)? {
                flag(name, &value);
            }
        }
        if let Some(ttl) = options.jwt_ttl {
            flag("--auth-token", &jwt::flag(ttl, &layout.dir)?);
        }
        for (name, value) in options.renamed.flags(binary.version) {
            flag(name, &value);
        }
        for (name, value) in &options.flags {
            flag(name, value);
        }
        for (name, value) in more {
            flag(name, value);
        }
        Ok(etcd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Server;

    #[test]
    fn another_process_at_the_port_of_a_member_is_noticed() {
        let server = Server::start().expect("a server");
        let mut layout = server.layout.clone();
        layout.name.push('0');
        let member = Member::new(layout, server.options.clone(), None);
        assert_eq!(server.check_owner(), Ok(()));
        let error = member.check_owner().expect_err("the name is another one").to_string();
        assert!(error.contains("another process answers"), "{error}");
    }
}
