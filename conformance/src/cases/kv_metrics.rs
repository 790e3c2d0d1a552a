//! What a server counts, for seeing what a client sent.

/// Adds up the series of a metric that have all of these labels; zero if there is none.
pub(super) fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let series = metrics.lines().filter_map(|line| line.strip_prefix(name));
    series
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter(|rest| labels.iter().all(|label| rest.contains(label)))
        .filter_map(|rest| rest.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// Returns how many calls of a KV method have reached a server.
pub(super) fn calls(metrics: &str, method: &str) -> u64 {
    let method = format!("grpc_method=\"{method}\"");
    sum(metrics, "grpc_server_started_total", &["grpc_service=\"etcdserverpb.KV\"", &method])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_series_with_the_name_and_the_labels_count() {
        let text = "# TYPE a counter\na{x=\"1\"} 3\na{x=\"1\",y=\"2\"} 4\na_b{x=\"1\"} 9\na 1\n";
        assert_eq!(sum(text, "a", &["x=\"1\""]), 7);
        assert_eq!(sum(text, "a", &[]), 8);
        assert_eq!(sum(text, "b", &[]), 0);
    }
}
