//! The dashboard in `docs/` asks for what the example `metrics` exports, and for nothing else.
#![allow(missing_docs, unreachable_pub, reason = "the example is part of this test")]

#[path = "../examples/metrics.rs"]
mod metrics;

use etcd3_tokio::{Client, Config};
use std::collections::BTreeSet;

const DASHBOARD: &str = include_str!("../../docs/dashboard.json");

/// Exports the metrics of a client that nothing answers.
fn exported() -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = Config::new(["http://127.0.0.1:1"]).measure_latencies(true);
        let client: Client = etcd3_tokio::connect_lazy(config).expect("a client");
        let text = metrics::text(&client.metrics()).expect("a text");
        client.close().await;
        text
    })
}

/// The names of the samples.
fn names(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.split(['{', ' ']).next()).collect()
}

/// The names in the queries: whatever begins as ours do.
fn asked() -> BTreeSet<&'static str> {
    let queries = DASHBOARD.lines().filter_map(|line| line.trim().strip_prefix("\"expr\": "));
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    queries
        .flat_map(|query| query.split(move |c| !is_part(c)))
        .filter(|word| word.starts_with("etcd3_"))
        .collect()
}

#[test]
fn the_dashboard_asks_for_what_is_exported_and_for_all_of_it() {
    let text = exported();
    assert!(asked().len() > 20);
    assert_eq!(names(&text), asked());
}

// As Prometheus takes it: a head for each name, before its samples, and each sample once.
#[test]
fn the_text_is_well_formed() {
    let text = exported();
    assert!(text.ends_with('\n'));
    let (mut samples, mut typed) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name), "{name} is there twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and its value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(sample), "{sample} is there twice");
            let name = sample.split('{').next().expect("a name");
            let parts = ["_bucket", "_sum", "_count"];
            let base = parts.iter().find_map(|part| name.strip_suffix(part));
            let is_typed = typed.contains(name) || base.is_some_and(|base| typed.contains(base));
            assert!(is_typed, "{line}");
        }
    }
}
