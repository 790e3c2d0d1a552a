//! The cases, by area.

mod accounts;
mod auth_expect;
mod auth_leases;
mod auth_maintenance;
mod auth_permissions;
mod auth_tokens;
mod auth_users;
mod bad_input;
mod cache;
mod cancelled;
mod cluster_doubt;
mod cluster_expect;
mod cluster_growth;
mod cluster_members;
mod cluster_outage;
mod cluster_promote;
mod cluster_quorum;
mod cluster_strict;
mod config_texts;
mod conn_black_hole;
mod conn_endpoints;
mod conn_partition;
mod conn_peer_port;
mod conn_shutdown;
mod conn_watch;
mod elections;
mod goaway_under_load;
mod grpc_proxy;
mod hostile;
mod hostile_data;
mod hostile_goaway;
mod hostile_headers;
mod hostile_reset;
mod hostile_window;
mod idle_stream;
mod kv_basics;
mod kv_compact;
mod kv_data;
mod kv_delete;
mod kv_expect;
mod kv_faults;
mod kv_learner;
mod kv_lease;
mod kv_limits;
mod kv_metrics;
mod kv_misc;
mod kv_outage;
mod kv_pages;
mod kv_put;
mod kv_query;
mod kv_quorum;
mod kv_range;
mod kv_stale;
mod lease_basics;
pub(crate) mod lease_bulk;
mod lease_dropped;
mod lease_expect;
mod lease_failover;
mod lease_fate;
mod lease_kept;
mod lease_late;
mod lease_many;
mod lease_members;
mod lease_outage;
mod lease_restart;
mod locks;
mod maintenance_downgrade;
mod maintenance_hashes;
mod maintenance_leader;
mod maintenance_space;
mod maintenance_status;
mod mirror;
mod net_faults;
mod net_sweep;
mod nginx;
mod observability;
mod pages_streamed;
mod proxied;
mod proxy_limits;
mod range_stream;
mod raw_services;
mod recipe_queues;
mod robustness;
mod runtime_panics;
mod snapshots;
mod stm;
mod streams;
mod tls_authority;
mod tls_certificates;
mod tls_failover;
mod tls_versions;
pub(crate) mod token_expect;
mod token_jwt;
mod token_logins;
mod token_streams;
mod token_watches;
mod transport;
mod txn_basics;
mod txn_compare;
mod txn_faults;
mod txn_history;
mod txn_random;
mod txn_refused;
mod txn_wire;
mod unpolled;
mod watch_basics;
mod watch_cancel;
mod watch_expect;
mod watch_filters;
mod watch_fragments;
mod watch_leader;
mod watch_limits;
mod watch_many;
mod watch_overlap;
mod watch_progress;
mod watch_ranges;
mod watch_refused;
mod watch_resume;
mod watch_start;
mod watch_unread;

use crate::Case;

/// The cases of each file, in the order in which they run.
const ALL: &[&[Case]] = &[
    auth_users::CASES,
    auth_permissions::CASES,
    auth_leases::CASES,
    auth_tokens::CASES,
    auth_maintenance::CASES,
    bad_input::CASES,
    cache::CASES,
    cancelled::CASES,
    cluster_doubt::CASES,
    cluster_growth::CASES,
    cluster_members::CASES,
    cluster_outage::CASES,
    cluster_promote::CASES,
    cluster_quorum::CASES,
    cluster_strict::CASES,
    config_texts::CASES,
    conn_black_hole::CASES,
    conn_endpoints::CASES,
    conn_partition::CASES,
    conn_peer_port::CASES,
    conn_shutdown::CASES,
    conn_watch::CASES,
    elections::CASES,
    goaway_under_load::CASES,
    hostile_data::CASES,
    hostile_goaway::CASES,
    hostile_headers::CASES,
    hostile_reset::CASES,
    hostile_window::CASES,
    idle_stream::CASES,
    kv_basics::CASES,
    kv_compact::CASES,
    kv_delete::CASES,
    kv_faults::CASES,
    kv_learner::CASES,
    kv_lease::CASES,
    kv_limits::CASES,
    kv_misc::CASES,
    kv_outage::CASES,
    kv_pages::CASES,
    observability::CASES,
    pages_streamed::CASES,
    range_stream::CASES,
    raw_services::CASES,
    recipe_queues::CASES,
    kv_put::CASES,
    kv_query::CASES,
    kv_quorum::CASES,
    kv_range::CASES,
    kv_stale::CASES,
    lease_basics::CASES,
    lease_bulk::CASES,
    lease_dropped::CASES,
    lease_failover::CASES,
    lease_kept::CASES,
    lease_late::CASES,
    lease_many::CASES,
    lease_members::CASES,
    lease_outage::CASES,
    lease_restart::CASES,
    locks::CASES,
    maintenance_downgrade::CASES,
    maintenance_hashes::CASES,
    maintenance_leader::CASES,
    maintenance_space::CASES,
    maintenance_status::CASES,
    mirror::CASES,
    net_faults::CASES,
    net_sweep::CASES,
    proxy_limits::CASES,
    robustness::CASES,
    runtime_panics::CASES,
    snapshots::CASES,
    streams::CASES,
    tls_authority::CASES,
    tls_certificates::CASES,
    tls_failover::CASES,
    tls_versions::CASES,
    token_jwt::CASES,
    token_logins::CASES,
    token_streams::CASES,
    token_watches::CASES,
    transport::CASES,
    stm::CASES,
    txn_basics::CASES,
    txn_compare::CASES,
    txn_faults::CASES,
    txn_history::CASES,
    txn_random::CASES,
    txn_refused::CASES,
    unpolled::CASES,
    watch_basics::CASES,
    watch_filters::CASES,
    watch_ranges::CASES,
    watch_many::CASES,
    watch_cancel::CASES,
    watch_start::CASES,
    watch_progress::CASES,
    watch_resume::CASES,
    watch_overlap::CASES,
    watch_leader::CASES,
    watch_unread::CASES,
    watch_fragments::CASES,
    watch_refused::CASES,
    watch_limits::CASES,
    // Last, since nginx leaves closed sockets behind, which slow peer proxies down.
    grpc_proxy::CASES,
    nginx::CASES,
];

/// Returns all cases.
pub fn all() -> impl Iterator<Item = &'static Case> {
    ALL.iter().copied().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_lab::etcd::Version;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn cases_have_names_of_their_own_and_name_known_rows() {
        let rows = include_str!("../../data/scenarios.tsv");
        let known: BTreeSet<_> = rows.lines().filter_map(|row| row.split('\t').next()).collect();
        let mut names = BTreeSet::new();
        for case in all() {
            assert!(names.insert(case.name), "{} is there twice", case.name);
            assert!(case.ids.len() <= 5, "{} names more than five rows", case.name);
            for id in case.ids {
                assert!(known.contains(id), "{} names {id}, which is no row", case.name);
            }
        }
    }

    #[test]
    fn cases_need_the_version_that_their_rows_need() {
        let rows = include_str!("../../data/scenarios.tsv");
        let since_of = |row: &'static str| {
            let (id, needs) = (row.split('\t').next()?, row.split('\t').nth(7)?);
            let version = needs.split_once("server>=")?.1;
            let end = version.find(|c: char| c != '.' && !c.is_ascii_digit());
            let mut parts = version[..end.unwrap_or(version.len())].split('.');
            let mut part = || parts.next().and_then(|part| part.parse().ok());
            let (major, minor) = (part()?, part()?);
            Some((id, Version { major, minor, patch: part().unwrap_or_default() }))
        };
        let since: BTreeMap<_, _> = rows.lines().filter_map(since_of).collect();
        assert!(since.len() > 40);
        for case in all() {
            let needed = case.ids.iter().filter_map(|id| since.get(id)).max();
            assert!(case.needs.since >= needed.copied(), "{} needs {needed:?}", case.name);
        }
    }

    #[test]
    fn skips_name_known_rows_that_no_case_covers() {
        for (id, is_covered) in reasoned(include_str!("../../data/skips.tsv")) {
            assert!(!is_covered, "{id} is covered");
        }
    }

    #[test]
    fn deviations_name_known_rows_whose_cases_show_them() {
        for (id, is_covered) in reasoned(include_str!("../../data/deviations.tsv")) {
            assert!(is_covered, "no case shows how {id} is not met");
        }
    }

    /// Returns the rows of a list, each with whether a case names it; each has a reason.
    fn reasoned(list: &'static str) -> Vec<(&'static str, bool)> {
        let rows = include_str!("../../data/scenarios.tsv");
        let known: BTreeSet<_> = rows.lines().filter_map(|row| row.split('\t').next()).collect();
        let covered: BTreeSet<_> = all().flat_map(|case| case.ids).copied().collect();
        let lines = list.lines().skip(1).map(|line| {
            let (id, reason) = line.split_once('\t').unwrap();
            assert!(known.contains(id), "{id} is no row");
            assert!(reason.len() > 20, "{id} needs a reason");
            (id, covered.contains(id))
        });
        lines.collect()
    }
}
