//! Real proxies in front of real servers.

use etcd3_lab::{Authority, GrpcProxy, Leaf, Nginx, Server, etcd};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn nginx_starts_replaces_its_worker_and_starts_again_at_its_port() {
    let nginx = Nginx::builder([([127, 0, 0, 1], 1).into()]).start().expect("nginx");
    let addr = nginx.addr();
    nginx.reload().expect("another worker");
    TcpStream::connect(addr).expect("it listens");
    let mut open = TcpStream::connect(addr).expect("a connection");
    nginx.kill().expect("killed");
    assert!(!nginx.is_running());
    // It may be reset or closed; it does not stay open.
    let _ = open.read_to_end(&mut Vec::new());
    TcpStream::connect(addr).expect_err("nobody listens");
    nginx.restart().expect("restarted");
    TcpStream::connect(addr).expect("it listens again");
    assert_eq!(nginx.served(), Ok(vec![]));
}

#[test]
fn nginx_with_a_certificate_is_an_https_endpoint() {
    let authority = Authority::new().expect("an authority");
    let identity = authority.issue(Leaf::server(["localhost", "127.0.0.1"])).expect("issued");
    let nginx = Nginx::builder([([127, 0, 0, 1], 1).into()]).tls(&identity).start();
    assert!(nginx.expect("nginx").url().starts_with("https://127.0.0.1:"));
}

#[test]
fn nginx_that_cannot_start_says_why() {
    let upstream = [([127, 0, 0, 1], 1).into()];
    let error = Nginx::builder(upstream).set("no_such_directive", "1").start().expect_err("bad");
    assert!(error.to_string().contains("no_such_directive"), "{error}");
}

#[test]
fn the_proxy_of_every_version_starts_and_starts_again() {
    for binary in etcd::fetch().binaries {
        let server = Server::builder().version(&binary).start().expect("a server");
        let proxy = GrpcProxy::start(&binary, [server.client_url()]).expect("a proxy");
        let answers = || {
            let health = etcd3_lab::http::get(proxy.addr(), "/health", Duration::from_secs(5));
            health.is_ok_and(|health| health.status == 200)
        };
        assert!(answers(), "{binary}");
        proxy.kill().expect("killed");
        assert!(!proxy.is_running() && !answers());
        proxy.restart().expect("restarted");
        assert!(answers(), "{binary}");
    }
}
