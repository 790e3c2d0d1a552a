//! What becomes of a description where there is a model in place of processes.

use super::only_real;
use etcd3_lab::{Error, Result, Spec};
use etcd3_sim::{ClusterConfig, Personality};
use std::str::FromStr;
use std::time::Duration;

/// What a response of a watch may have above the largest request before it is cut into fragments.
// W26
const FRAGMENT_OVERHEAD: usize = 512 << 10;

/// Describes a model.
///
/// # Errors
///
/// Fails when only processes can be as described.
pub(super) fn config(spec: &Spec, personality: Personality, seed: u64) -> Result<ClusterConfig> {
    let demanded = [
        (spec.binary.is_some(), "binary"),
        (spec.https, "TLS"),
        (spec.unix_socket, "unix socket"),
        (spec.jwt_ttl.is_some(), "JSON web tokens"),
        (!spec.env.is_empty(), "environment"),
        (spec.snapshot.is_some(), "snapshot of a real server"),
        (spec.heartbeat_ms.is_some(), "heartbeat"),
    ];
    if let Some((_, what)) = demanded.into_iter().find(|(is_demanded, _)| *is_demanded) {
        return Err(only_real(what));
    }
    let mut config = ClusterConfig::new(spec.members, personality, seed);
    let (_, election_ms) = spec.times_ms();
    // As processes that were started a moment ago.
    config.age = Duration::ZERO;
    config.election_timeout = Duration::from_millis(election_ms.into());
    if let Some(ms) = spec.renamed.progress_interval_ms {
        config.watch.progress_interval = Duration::from_millis(ms.into());
    }
    if let Some(entries) = spec.renamed.catch_up_entries {
        config.snapshot_gap = usize::try_from(entries).unwrap_or(usize::MAX);
    }
    for (name, value) in &spec.flags {
        match name.as_str() {
            "--max-request-bytes" => {
                config.max_request_bytes = value_of(name, value)?;
                config.watch.fragment_limit = config.max_request_bytes + FRAGMENT_OVERHEAD;
            }
            "--max-concurrent-streams" => {
                config.max_concurrent_streams = Some(value_of(name, value)?);
            }
            // How dear it is to check a password, and how often snapshots are made: of those, which
            // entries they leave is what counts.
            "--bcrypt-cost" | "--snapshot-count" => {}
            "--auth-token-ttl" => config.token_ttl = Duration::from_secs(value_of(name, value)?),
            "--strict-reconfig-check" => config.strict_reconfig = value_of(name, value)?,
            "--max-txn-ops" => config.max_txn_ops = value_of(name, value)?,
            "--quota-backend-bytes" => config.quota_bytes = Some(value_of(name, value)?),
            name => return Err(only_real(name)),
        }
    }
    Ok(config)
}

fn value_of<T: FromStr>(name: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| Error::new(format!("{name} does not take {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_lab::{Cluster, ClusterBuilder, Server};

    #[test]
    fn a_model_takes_the_flags_it_has_and_refuses_others() {
        let of = Personality::of(3, 5, 16);
        let server = Server::builder().flag("--max-txn-ops", "7");
        let built = config(server.spec(), of, 1).unwrap();
        assert_eq!((built.members.len(), built.max_txn_ops), (1, 7));
        assert_eq!(built.election_timeout, Duration::from_millis(100));
        let watched = Server::builder()
            .flag("--max-request-bytes", "1024")
            .flag("--max-concurrent-streams", "3")
            .progress_interval(200)
            .catch_up_entries(5);
        let built = config(watched.spec(), of, 1).unwrap();
        assert_eq!((built.max_request_bytes, built.max_concurrent_streams), (1024, Some(3)));
        assert_eq!(built.watch.fragment_limit, 1024 + FRAGMENT_OVERHEAD);
        assert_eq!(built.watch.progress_interval, Duration::from_millis(200));
        assert_eq!(built.snapshot_gap, 5);
        let refused = |build: fn(ClusterBuilder) -> ClusterBuilder| {
            config(build(Cluster::builder()).spec(), of, 1).unwrap_err().to_string()
        };
        let text = refused(|it| it.flag("--auto-tls", "true"));
        assert_eq!(text, "a model has no --auto-tls; register the case with .real()");
        assert!(refused(|it| it.flag("--max-txn-ops", "x")).contains("does not take x"));
        assert!(refused(ClusterBuilder::https).contains("TLS"));
        assert!(refused(|it| it.heartbeat(7)).contains("heartbeat"));
    }
}
