//! Real servers and clusters. An etcd that this machine cannot have is printed, and the others
//! are tested; no etcd at all is a failure.

use etcd3_lab::etcd::{self, Binary};
use etcd3_lab::{Authority, Cluster, Server, Tls, until};
use std::time::Duration;

fn versions() -> Vec<Binary> {
    let fetched = etcd::fetch();
    for missing in &fetched.missing {
        println!("{missing}");
    }
    assert!(!fetched.binaries.is_empty(), "no etcd at all");
    fetched.binaries
}

#[test]
fn every_version_starts_answers_and_is_our_own_process() {
    for binary in versions() {
        let server = Server::builder().version(&binary).start().expect("a server");
        let said = server.http_get("/version").expect("an answer");
        assert!(said.contains(&binary.version.to_string()), "{binary} says {said}");
        assert!(server.metrics().expect("metrics").contains("etcd_server_has_leader 1"));
        assert!(server.is_running() && server.pid() > 0);
        assert!(server.status().expect("a status").is_leader());
        server.put("a", "b").expect("a put");
        assert_eq!(server.range("a"), Ok(Some(b"b".to_vec())));
        assert_eq!(server.range("b"), Ok(None));
    }
}

#[test]
fn the_binaries_are_there_and_the_oldest_comes_first() {
    let binaries = versions();
    assert!(binaries.is_sorted_by(|a, b| a.version < b.version), "{binaries:?}");
    for binary in &binaries {
        let asked = Binary::of(&binary.path, "asked again").expect("a binary");
        assert_eq!(asked.version, binary.version, "{binary}");
    }
    assert_eq!(etcd::fetch().binaries, binaries);
}

#[test]
fn a_killed_server_restarts_with_its_data_and_more_flags() {
    for binary in versions() {
        let server = Server::builder().version(&binary).start().expect("a server");
        server.put("kept", "yes").expect("a put");
        let (url, pid) = (server.client_url(), server.pid());
        server.kill().expect("killed");
        assert!(!server.is_running() && server.range("kept").is_err());
        server.restart_with(&[("--max-request-bytes", "512")]).expect("restarted");
        assert_eq!(server.client_url(), url);
        assert_ne!(server.pid(), pid);
        assert_eq!(server.range("kept"), Ok(Some(b"yes".to_vec())));
        let error = server.put("long", "x".repeat(1000)).expect_err("over the limit");
        assert!(error.to_string().contains("too large"), "{error}");
        server.terminate().expect("terminated");
        assert!(!server.is_running());
    }
}

#[test]
fn a_stopped_server_is_silent_until_it_continues() {
    let server = Server::start().expect("a server");
    server.stop().expect("stopped");
    let addr = server.addr();
    assert!(etcd3_lab::http::get(addr, "/version", Duration::from_millis(100)).is_err());
    assert!(server.is_running(), "a frozen process exists");
    server.cont().expect("continued");
    assert!(server.http_get("/version").is_ok());
}

#[test]
fn a_server_that_speaks_tls_is_watched_on_a_plain_port() {
    for binary in versions() {
        let builder = Server::builder().version(&binary).https().flag("--auto-tls", "true");
        let server = builder.start().expect("a server");
        assert!(server.client_url().starts_with("https://"));
        assert!(server.metrics().expect("metrics").contains("etcd_server_has_leader 1"));
        server.put("a", "b").expect("a put by the gateway");
    }
}

#[test]
fn a_cluster_that_speaks_tls_has_a_leader_and_sockets() {
    let authority = Authority::new().expect("an authority");
    for binary in versions() {
        let tls = Tls::new(&authority).client_auth();
        let builder = Cluster::builder().version(&binary).tls(tls).unix_socket();
        let cluster = builder.start().expect("a cluster");
        let leader = cluster.member(cluster.wait_leader().expect("a leader"));
        leader.put("a", "b").expect("a put");
        for member in cluster.members() {
            assert!(member.client_url().starts_with("https://"));
            assert!(member.socket().expect("a path").exists());
            assert!(!member.log().contains("bad certificate"), "{}", member.log());
        }
    }
}

#[test]
fn a_variable_reaches_the_server() {
    let builder = Server::builder().env("GODEBUG", "http2debug=2");
    let server = builder.start().expect("a server");
    server.put("a", "b").expect("a put");
    assert!(server.log().contains(":authority"), "the gateway speaks HTTP/2 to its server");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let error = Server::builder().flag("--no-such-flag", "1").start().expect_err("a bad flag");
    assert!(error.to_string().contains("no-such-flag"), "{error}");
}

#[test]
fn drop_leaves_neither_process_nor_file() {
    let server = Server::start().expect("a server");
    let pid = server.pid();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    let data = command.split('\0').find_map(|flag| flag.strip_prefix("--data-dir="));
    drop(server);
    assert!(!std::path::Path::new(&format!("/proc/{pid}/exe")).exists());
    if let Some(data) = data {
        assert!(!std::path::Path::new(data).exists(), "{data} is left");
    }
}

#[test]
fn servers_started_at_the_same_time_do_not_collide() {
    let binary = etcd::any().expect("an etcd");
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let start = || Server::builder().version(&binary).start().expect("a server");
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("started")).collect()
    });
    for (number, server) in servers.iter().enumerate() {
        server.put("who", number.to_string()).expect("a put");
    }
    for (number, server) in servers.iter().enumerate() {
        assert_eq!(server.range("who"), Ok(Some(number.to_string().into_bytes())));
    }
}

#[test]
fn three_members_elect_a_leader_and_another_after_its_death() {
    for binary in versions() {
        let cluster = Cluster::builder().version(&binary).start().expect("a cluster");
        let old = cluster.wait_leader().expect("a leader");
        cluster.member(old).kill().expect("killed");
        let new = cluster.wait_leader_other_than(old).expect("another leader");
        cluster.member(new).put("a", "b").expect("a put");
        cluster.member(old).restart().expect("restarted");
        assert_eq!(cluster.member(old).range("a"), Ok(Some(b"b".to_vec())));
    }
}

#[test]
fn a_learner_joins_a_running_cluster() {
    for binary in versions() {
        let builder = Cluster::builder().members(1).flag("--strict-reconfig-check", "false");
        let cluster = builder.version(&binary).start().expect("a cluster");
        cluster.member(0).put("a", "b").expect("a put");
        let learner = cluster.add_member(true).expect("a learner");
        assert_eq!(cluster.len(), 2);
        let learner = cluster.member(learner);
        until(Duration::from_secs(10), "the learner to catch up", || {
            let revision = learner.status().map(|status| status.revision).unwrap_or_default();
            Ok((revision >= 2).then_some(()))
        })
        .expect("the learner follows");
        assert!(learner.range("a").is_err(), "a learner does not answer");
    }
}

#[test]
fn a_partitioned_leader_loses_its_office_until_the_partition_heals() {
    for binary in versions() {
        let builder = Cluster::builder().version(&binary).behind_peer_proxy();
        let cluster = builder.start().expect("a cluster");
        let old = cluster.wait_leader().expect("a leader");
        cluster.partition(old).expect("cut off");
        let new = cluster.wait_leader_other_than(old).expect("another leader");
        cluster.member(new).put("a", "b").expect("the majority takes writes");
        until(Duration::from_secs(10), "the old leader to notice", || {
            let leader = cluster.member(old).status().map(|status| status.leader);
            Ok((leader == Ok(0)).then_some(()))
        })
        .expect("no leader in the minority");
        cluster.heal().expect("healed");
        until(Duration::from_secs(10), "the old leader to follow", || {
            Ok((cluster.member(old).range("a") == Ok(Some(b"b".to_vec()))).then_some(()))
        })
        .expect("one cluster again");
    }
}

#[test]
fn nothing_can_be_cut_without_proxies() {
    let cluster = Cluster::builder().members(1).start().expect("a cluster");
    assert!(cluster.partition(0).is_ok(), "one member has nobody to be cut from");
    assert!(cluster.cut(0, 1).is_err() && cluster.heal().is_err());
}
