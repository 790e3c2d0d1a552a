//! Exports what a client counts to Prometheus, in its text format over plain HTTP: arguments are the
//! endpoints, and the address to serve at. Without an address it makes some calls, looks at its own
//! figures and ends. `docs/dashboard.json` is a dashboard of Grafana for them.

use etcd3_tokio::{CallMetrics, Client, Config, Latencies, Metrics};
use std::fmt::{self, Write};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Writes metrics in the text format of Prometheus.
pub fn text(metrics: &Metrics) -> Result<String, fmt::Error> {
    let mut out = String::new();
    calls(&mut out, &metrics.calls)?;
    let it = metrics.connections;
    one(&mut out, "etcd3_dials_total", "Connections that were begun.", it.dialed)?;
    one(&mut out, "etcd3_dials_failed_total", "Connections that could not be made.", it.failed)?;
    one(&mut out, "etcd3_connections_made_total", "Connections that were made.", it.made)?;
    one(&mut out, "etcd3_connections_ended_total", "Connections that ended.", it.ended)?;
    one(&mut out, "etcd3_connections_open", "Connections that are open.", it.open())?;
    let it = metrics.watches;
    one(&mut out, "etcd3_watch_streams_total", "Attempts to open a stream.", it.streams)?;
    one(&mut out, "etcd3_watch_streams_reopened_total", "Those after a loss.", it.reopened)?;
    one(&mut out, "etcd3_watch_batches_total", "Batches that were delivered.", it.batches)?;
    one(&mut out, "etcd3_watch_events_total", "Events that were delivered.", it.events)?;
    one(&mut out, "etcd3_watches_resumed_total", "Watches that went on.", it.resumed)?;
    one(&mut out, "etcd3_watches_failed_total", "Watches that ended in an error.", it.failed)?;
    let it = metrics.leases;
    one(&mut out, "etcd3_lease_streams_total", "Attempts to open a stream.", it.streams)?;
    one(&mut out, "etcd3_lease_streams_reopened_total", "Those after a loss.", it.reopened)?;
    one(&mut out, "etcd3_lease_renewals_total", "Renewals acknowledged.", it.renewed)?;
    one(&mut out, "etcd3_lease_renewals_late_total", "Renewals overdue.", it.late)?;
    one(&mut out, "etcd3_leases_lost_total", "Leases that were lost.", it.lost)?;
    Ok(out)
}

/// Writes the calls of all classes.
fn calls(out: &mut String, calls: &[CallMetrics]) -> fmt::Result {
    type Figure = fn(&CallMetrics) -> u64;
    let figures: [(&str, &str, Figure); 5] = [
        ("etcd3_calls_started_total", "Calls that were begun.", |it| it.started),
        ("etcd3_calls_in_flight", "Calls under way.", CallMetrics::in_flight),
        ("etcd3_calls_timed_out_total", "Calls that ran out of time.", |it| it.timed_out),
        ("etcd3_call_attempts_total", "Requests that were sent.", |it| it.attempts),
        ("etcd3_call_retries_total", "Requests that were sent again.", |it| it.retries),
    ];
    for (name, help, figure) in figures {
        head(out, name, help)?;
        for it in calls {
            writeln!(out, "{name}{{class=\"{}\"}} {}", it.class, figure(it))?;
        }
    }
    let name = "etcd3_calls_total";
    head(out, name, "Calls that are over, by what became of them.")?;
    for it in calls {
        let results = [
            ("ok", it.succeeded),
            ("not_sent", it.not_sent),
            ("rejected", it.rejected),
            ("unknown", it.unknown),
            ("dropped", it.dropped),
        ];
        for (result, count) in results {
            writeln!(out, "{name}{{class=\"{}\",result=\"{result}\"}} {count}", it.class)?;
        }
    }
    let name = "etcd3_call_seconds";
    writeln!(out, "# HELP {name} How long calls took that ended well.\n# TYPE {name} histogram")?;
    for it in calls {
        let Some(latencies) = &it.latencies else { continue };
        let (class, mut count) = (it.class, 0);
        let bounds = Latencies::BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
        for (bound, in_bucket) in bounds.chain(["+Inf".to_owned()]).zip(latencies.counts) {
            // Those of a bucket are among those of all that follow.
            count += in_bucket;
            writeln!(out, "{name}_bucket{{class=\"{class}\",le=\"{bound}\"}} {count}")?;
        }
        writeln!(out, "{name}_sum{{class=\"{class}\"}} {}", latencies.sum.as_secs_f64())?;
        writeln!(out, "{name}_count{{class=\"{class}\"}} {count}")?;
    }
    Ok(())
}

fn one(out: &mut String, name: &str, help: &str, value: u64) -> fmt::Result {
    head(out, name, help)?;
    writeln!(out, "{name} {value}")
}

fn head(out: &mut String, name: &str, help: &str) -> fmt::Result {
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// Answers each connection with the metrics of the moment, whatever it asks for.
async fn serve(client: &Client, listener: TcpListener) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        if let Err(error) = answer(client, stream).await {
            eprintln!("a scrape failed: {error}");
        }
    }
}

async fn answer(client: &Client, mut stream: TcpStream) -> std::io::Result<()> {
    // The head of the request ends with an empty line.
    let mut lines = BufReader::new(&mut stream).lines();
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let body = text(&client.metrics()).map_err(std::io::Error::other)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code, reason = "tests/dashboard.rs takes the text alone")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoints = arguments.next().ok_or("usage: metrics URL[,URL…] [ADDRESS]")?;
    let config = Config::parse(&endpoints)?.measure_latencies(true);
    let client = etcd3_tokio::connect(config).await?;
    if let Some(address) = arguments.next() {
        serve(&client, TcpListener::bind(address).await?).await?;
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    client.put("example/metrics", "1").await?;
    client.get("example/metrics").await?;
    let scrape = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::select! {
        served = serve(&client, listener) => return Ok(served?),
        answer = scrape => answer?,
    };
    print!("{answer}");
    assert!(answer.contains("etcd3_calls_total{class=\"put\",result=\"ok\"} 1"));
    client.close().await;
    Ok(())
}
