//! nginx in front of etcd: a proxy that ends connections in an orderly way, and answers by itself
//! where etcd does not.
//!
//! ```no_run
//! let server = etcd3_lab::Server::start()?;
//! let nginx = etcd3_lab::Nginx::builder([server.addr()]).start()?;
//! println!("etcd answers at {}", nginx.url());
//! nginx.reload()?;
//! # Ok::<(), etcd3_lab::Error>(())
//! ```

use crate::child::Signal;
use crate::daemon::{Daemon, LIMIT};
use crate::{Error, Identity, Replace, Result, tools, until};
use std::fmt::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// The log line of a worker that begins to serve.
const STARTED: &str = "start worker process ";

/// Folders that nginx wants to exist, by the directive that moves each of them.
const TEMP_PATHS: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// The description of an [`Nginx`]; made by [`Nginx::builder`].
#[derive(Debug, Clone)]
pub struct NginxBuilder {
    upstream: Vec<SocketAddr>,
    directives: Vec<(String, String)>,
    identity: Option<Identity>,
}

impl NginxBuilder {
    /// Sets a directive of the server, as in `set("keepalive_requests", "100")`. All others keep
    /// the defaults of nginx.
    #[must_use]
    pub fn set(mut self, directive: &str, value: &str) -> Self {
        self.directives.push((directive.to_owned(), value.to_owned()));
        self
    }

    /// Makes clients speak TLS with this certificate; nginx itself speaks plaintext with etcd.
    #[must_use]
    pub fn tls(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Starts nginx and waits until it listens. What it passes requests to need not be there.
    ///
    /// # Errors
    ///
    /// Fails when there is no nginx, and with the end of its log when it does not start.
    pub fn start(&self) -> Result<Nginx> {
        let tool = tools::nginx()?;
        let daemon = Daemon::new("nginx")?;
        let folder = daemon.folder();
        if let Some(identity) = &self.identity {
            let [certificate, key] = ["server.pem", "server-key.pem"].map(|it| folder.join(it));
            identity.write(&certificate, &key, Replace::InPlace)?;
        }
        let file = folder.join("nginx.conf");
        std::fs::write(&file, self.configuration(folder, daemon.addr()))
            .map_err(Error::doing(file.display()))?;
        let nginx = Nginx { daemon, program: tool.command(), is_tls: self.identity.is_some() };
        nginx.restart()?;
        Ok(nginx)
    }

    /// Writes the configuration: what a process of our own needs, and the directives.
    fn configuration(&self, folder: &Path, listen: SocketAddr) -> String {
        let mut text = String::from("daemon off;\nworker_processes 1;\npid nginx.pid;\n");
        text.push_str("error_log stderr notice;\n");
        if is_roots(folder) {
            // Another user would not get into the folder.
            text.push_str("user root;\n");
        }
        text.push_str("events {}\nhttp {\n");
        text.push_str("  log_format lab '$pid $connection $status $request_uri';\n");
        text.push_str("  access_log requests lab;\n");
        for name in TEMP_PATHS {
            let _ = writeln!(text, "  {name}_temp_path {name};");
        }
        text.push_str("  upstream etcd {\n");
        for addr in &self.upstream {
            let _ = writeln!(text, "    server {addr};");
        }
        let ssl = if self.identity.is_some() { " ssl" } else { "" };
        let _ = writeln!(text, "  }}\n  server {{\n    listen {listen}{ssl} http2;");
        if self.identity.is_some() {
            text.push_str("    ssl_certificate server.pem;\n");
            text.push_str("    ssl_certificate_key server-key.pem;\n");
        }
        for (directive, value) in &self.directives {
            let _ = writeln!(text, "    {directive} {value};");
        }
        text.push_str("    location / { grpc_pass grpc://etcd; }\n  }\n}\n");
        text
    }
}

/// Tells whether a folder of this process belongs to root, and the process too.
fn is_roots(folder: &Path) -> bool {
    std::fs::metadata(folder).is_ok_and(|folder| folder.uid() == 0)
}

/// A request that nginx has finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The connection that the request came on: the process of the worker, and its number there.
    pub connection: (u32, u64),
    /// The HTTP status that the client was answered with; 499 when it hung up or reset the stream.
    pub status: u16,
    /// The path, `/etcdserverpb.KV/Range` for example.
    pub path: String,
}

/// A process of nginx with one worker, on a loopback port of its own.
///
/// It ends, and its files go, with this value or with the process that started it.
#[derive(Debug)]
pub struct Nginx {
    daemon: Daemon,
    program: Command,
    is_tls: bool,
}

impl Nginx {
    /// Describes an nginx with all its defaults in front of these servers, among which its requests
    /// take turns.
    pub fn builder(upstream: impl IntoIterator<Item = SocketAddr>) -> NginxBuilder {
        let upstream = upstream.into_iter().collect();
        NginxBuilder { upstream, directives: Vec::new(), identity: None }
    }

    /// Returns the address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.daemon.addr()
    }

    /// Returns the address as an endpoint of a client.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.addr())
    }

    /// Replaces the worker, and waits until the new one serves. The old one announces the end of
    /// its connections, and ends them once their requests are answered.
    ///
    /// # Errors
    ///
    /// Fails when nginx does not run, or does not start another worker.
    pub fn reload(&self) -> Result<()> {
        let before = self.daemon.says(STARTED);
        self.daemon.signal(Signal::Hangup)?;
        until(LIMIT, "another worker of nginx", || {
            Ok((self.daemon.says(STARTED) > before).then_some(()))
        })
    }

    /// Ends nginx at once, its worker included.
    ///
    /// # Errors
    ///
    /// Fails when it does not end.
    pub fn kill(&self) -> Result<()> {
        self.daemon.kill()
    }

    /// Starts nginx again at the same port; kills it first if it runs.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log when it does not start.
    pub fn restart(&self) -> Result<()> {
        let folder = self.daemon.folder();
        let mut program = Command::new(self.program.get_program());
        let variables = self.program.get_envs();
        program.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        program.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).current_dir(folder);
        self.daemon.launch(&program, STARTED)
    }

    /// Tells whether the process exists.
    pub fn is_running(&self) -> bool {
        self.daemon.is_running()
    }

    /// Returns all that nginx has written, over all restarts: changes of its workers, and the
    /// requests that it could not pass on.
    pub fn log(&self) -> String {
        self.daemon.log()
    }

    /// Returns the requests that have been finished, the first one first. A request is noted right
    /// after the client has its answer.
    ///
    /// # Errors
    ///
    /// Fails when the list cannot be read.
    pub fn served(&self) -> Result<Vec<Served>> {
        let file = self.daemon.folder().join("requests");
        let text = std::fs::read_to_string(&file).map_err(Error::doing(file.display()))?;
        Ok(text.lines().filter_map(served).collect())
    }
}

fn served(line: &str) -> Option<Served> {
    let mut words = line.split(' ');
    let connection = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Served { connection, status: words.next()?.parse().ok()?, path: words.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_has_what_was_set_and_nothing_else() {
        let upstream: [SocketAddr; 2] = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        let plain = Nginx::builder(upstream).set("keepalive_requests", "7");
        let listen = ([127, 0, 0, 1], 3).into();
        let text = plain.configuration(Path::new("/nowhere"), listen);
        for line in [
            "    listen 127.0.0.1:3 http2;\n    keepalive_requests 7;\n    location",
            "    server 127.0.0.1:1;\n    server 127.0.0.1:2;\n",
            "daemon off;\nworker_processes 1;\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains("ssl") && !text.contains("user"), "{text}");
        let identity = Identity { certificate: String::new(), key: String::new() };
        let secure = plain.tls(&identity).configuration(Path::new("/nowhere"), listen);
        assert!(secure.contains("listen 127.0.0.1:3 ssl http2;\n    ssl_certificate "), "{secure}");
    }

    #[test]
    fn a_served_request_is_read_from_its_line() {
        let path = "/etcdserverpb.KV/Put";
        let expected = Served { connection: (7, 12), status: 200, path: path.into() };
        assert_eq!(served(&format!("7 12 200 {path}")), Some(expected));
        assert_eq!(served("7 12 200"), None);
    }
}
