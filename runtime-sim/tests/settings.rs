//! Zeros and extremes of every setting: a client either works with it, or names it when it is made.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use Size::{Huge, Max, Tiny, Zero};
use etcd3::{Client, Config, Error, ErrorKind, Outcome, Phase};
use etcd3_sim::{Etcd, Host, Personality, World, run};
use futures_lite::StreamExt;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const MEMBERS: usize = 3;

/// How much of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Zero,
    Tiny,
    Huge,
    Max,
}

const SIZES: [Size; 4] = [Zero, Tiny, Huge, Max];

impl Size {
    fn time(self) -> Duration {
        match self {
            Zero => Duration::ZERO,
            Tiny => Duration::from_nanos(1),
            Huge => Duration::from_secs(100 * 365 * 24 * 3600),
            Max => Duration::MAX,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Zero => 0,
            Tiny => 1,
            Huge => usize::MAX / 2,
            Max => usize::MAX,
        }
    }

    fn number(self) -> u32 {
        match self {
            Zero => 0,
            Tiny => 1,
            Huge => u32::MAX / 2,
            Max => u32::MAX,
        }
    }
}

/// A setting of [`Config`], by the name of its field.
struct Setting {
    field: &'static str,
    /// The setter, for one size or for two.
    set: fn(Config, [Size; 2]) -> Config,
    /// Whether it takes two.
    is_pair: bool,
    /// What is refused: the name in the error, and the sizes.
    refused: (&'static str, &'static [Size]),
}

const fn one(field: &'static str, set: fn(Config, [Size; 2]) -> Config) -> Setting {
    Setting { field, set, is_pair: false, refused: (field, &[]) }
}

const fn two(field: &'static str, set: fn(Config, [Size; 2]) -> Config) -> Setting {
    Setting { field, set, is_pair: true, refused: (field, &[]) }
}

impl Setting {
    const fn refusing(self, name: &'static str, sizes: &'static [Size]) -> Self {
        Self { refused: (name, sizes), ..self }
    }
}

/// Returns every setting that is a duration or a number.
fn settings() -> Vec<Setting> {
    vec![
        one("request_timeout", |it, [a, _]| it.request_timeout(a.time()))
            .refusing("request_timeout", &[Zero, Tiny]),
        one("attempt_timeout", |it, [a, _]| it.attempt_timeout(a.time()))
            .refusing("attempt_timeout", &[Zero]),
        one("connect_timeout", |it, [a, _]| it.connect_timeout(a.time()))
            .refusing("connect_timeout", &[Zero]),
        one("max_attempts", |it, [a, _]| it.max_attempts(a.number())),
        two("retry_backoff", |it, [a, b]| {
            it.retry_backoff_min(a.time()).retry_backoff_max(b.time())
        }),
        two("reconnect_backoff", |it, [a, b]| {
            it.reconnect_backoff_min(a.time()).reconnect_backoff_max(b.time())
        }),
        two("keepalive", |it, [a, b]| it.ping_interval(a.time()).ping_timeout(b.time())),
        one("watch_probe_interval", |it, [a, _]| it.watch_probe_interval(a.time())),
        one("auto_sync", |it, [a, _]| it.auto_sync(a.time())),
        one("limits", |it, [a, _]| it.max_request_bytes(a.bytes()))
            .refusing("max_request_bytes", &[Zero, Tiny]),
        one("limits", |it, [a, _]| it.max_txn_ops(a.bytes())).refusing("max_txn_ops", &[Zero]),
        one("max_response_bytes", |it, [a, _]| it.max_response_bytes(a.bytes()))
            .refusing("max_response_bytes", &[Zero, Tiny]),
        one("stream_window", |it, [a, _]| it.stream_window(a.number())),
        one("connection_window", |it, [a, _]| it.connection_window(a.number())),
        // Refused by what the members are.
        two("min_server_version", |it, [a, b]| {
            let part = |size: Size| u16::try_from(size.number()).unwrap_or(u16::MAX);
            it.min_server_version((part(a), part(b)))
        }),
    ]
}

/// Settings that are neither durations nor numbers.
const OTHERS: [&str; 7] = [
    "credentials",
    "endpoints",
    "measure_latencies",
    "plaintext_passwords",
    "require_leader",
    "tls",
    "trace_context",
];

/// Returns the names of the fields of what is printed so.
fn fields(debug: &str) -> BTreeSet<&str> {
    let own = debug.lines().filter_map(|line| line.strip_prefix("    "));
    own.filter(|line| line.starts_with(|c: char| c.is_ascii_alphabetic()))
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .collect()
}

// A new setting needs a row here that says what becomes of its extremes.
#[test]
fn no_setting_is_left_out() {
    let debug = format!("{:#?}", Config::new(["a"]));
    let known: BTreeSet<_> = settings().iter().map(|it| it.field).chain(OTHERS).collect();
    assert_eq!(fields(&debug), known);
    // Those of requests are below.
    run(1, |world| async move {
        let (etcd, host) = (cluster(&world), world.host());
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        let get = format!("{:#?}", client.get("k"));
        let options = get.split("options: ").nth(1).unwrap().replace("\n    ", "\n");
        // Where a call goes, how often it is made and how long it is served, is for the client's
        // own calls to say.
        let known = ["timeout", "require_leader", "attempt_timeout", "avoid", "only", "connection"];
        let known = known.into_iter().chain(["max_attempts", "is_cleanup"]).collect();
        assert_eq!(fields(&options), known);
        let pages = format!("{:#?}", client.pages("k"));
        let known = ["size", "keys_only", "is_serializable", "is_ordered", "revision", "limit"];
        let options = pages.split("page: ").nth(1).unwrap().replace("\n    ", "\n");
        assert_eq!(fields(&options), BTreeSet::from(known));
    })
    .unwrap();
}

fn cluster(world: &World) -> Etcd {
    world.etcd(etcd3_sim::ClusterConfig::new(MEMBERS, Personality::of(3, 5, 30), world.seed()))
}

/// The most that a client may do in a second, while endpoints are down: dials of each, and steps of
/// all its tasks.
const MOST_DIALS: u64 = 20;
const MOST_STEPS: u64 = 250;

/// Lives with this configuration, in good times and in bad.
async fn live(world: &World, etcd: &Etcd, client: &Client) -> Result<(), Error> {
    client.put("k", "v").await?;
    assert_eq!(client.get("k").await?.count, 1);
    assert_eq!(client.txn().then([etcd3::get("k")]).await?.responses.len(), 1);
    etcd.kill(0);
    let before = world.stats();
    for _ in 0..10 {
        world.sleep(Duration::from_secs(1)).await;
        // A leader may have to be elected; then all is well.
        client.get("k").serializable().await?;
    }
    // The last one has no leader, and says so at once.
    etcd.kill(1);
    world.sleep(Duration::from_secs(5)).await;
    for _ in 0..5 {
        let end = client.get("k").require_leader(true).timeout(Duration::from_secs(1)).await;
        assert!(end.is_err(), "nobody leads");
    }
    let after = world.stats();
    let seconds = after.elapsed.saturating_sub(before.elapsed).as_secs();
    let dials = (after.attempts - before.attempts) / seconds;
    let steps = (after.steps - before.steps) / seconds;
    assert!(dials <= MOST_DIALS * MEMBERS as u64, "{dials} dials a second");
    assert!(steps <= MOST_STEPS, "{steps} steps a second");
    Ok(())
}

fn check_setting(setting: &Setting, sizes: [Size; 2]) {
    let what = format!("{} {sizes:?}", setting.field);
    let ended = run(7, |world| async move {
        let (etcd, host) = (cluster(&world), world.host());
        let config = (setting.set)(Config::new(etcd.endpoints()), sizes);
        let made = connect(&host, config).await;
        let (name, refused) = setting.refused;
        match made {
            Err(error) if error.kind() == ErrorKind::InvalidConfig => {
                let report = error.report().to_string();
                assert!(report.contains(name) && refused.contains(&sizes[0]), "{report}");
            }
            Err(error) => {
                let is_old = matches!(error.kind(), ErrorKind::OldServer { .. });
                let is_new = sizes.iter().any(|size| matches!(size, Huge | Max));
                assert!(is_old && is_new, "{}", error.report());
            }
            Ok(client) => {
                assert!(!refused.contains(&sizes[0]), "it was taken");
                live(&world, &etcd, &client).await.unwrap_or_else(|e| panic!("{}", e.report()));
                client.close().await;
            }
        }
    });
    ended.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
}

async fn connect(host: &Host, config: Config) -> Result<Client, Error> {
    Client::connect_on(Arc::new(host.runtime()), config).await
}

#[test]
fn a_client_works_with_any_setting_or_refuses_it_by_its_name() {
    for setting in settings() {
        for first in SIZES {
            let seconds = if setting.is_pair { SIZES.to_vec() } else { vec![first] };
            for second in seconds {
                check_setting(&setting, [first, second]);
            }
        }
    }
}

// What is refused below the least of a setting is taken at it.
#[test]
fn the_least_of_a_setting_is_taken_and_anything_below_is_named() {
    let config = || Config::new(["http://a"]);
    let (least, less) = (Duration::from_millis(1), Duration::from_nanos(999_999));
    let settings = [
        ("request_timeout", config().request_timeout(least), config().request_timeout(less)),
        ("max_request_bytes", config().max_request_bytes(512), config().max_request_bytes(511)),
        ("max_response_bytes", config().max_response_bytes(512), config().max_response_bytes(511)),
        ("max_txn_ops", config().max_txn_ops(1), config().max_txn_ops(0)),
    ];
    run(10, |world| async move {
        let host = world.host();
        for (name, least, less) in settings {
            assert!(host.client(least).is_ok(), "{name}");
            let error = host.client(less).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.report().to_string().contains(name), "{}", error.report());
        }
    })
    .unwrap();
}

// C32: no time is no time, and nothing is sent; all the time in the world ends with the answer.
#[test]
fn a_request_may_have_no_time_and_all_the_time() {
    run(8, |world| async move {
        let (etcd, host) = (cluster(&world), world.host());
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        client.put("k", "v").await.unwrap();
        for size in SIZES {
            let timeout = size.time();
            let ends = [
                client.get("k").timeout(timeout).await.map(drop),
                client.put("k", "v").timeout(timeout).await.map(drop),
                client.pages("k").timeout(timeout).next().await.unwrap().map(drop),
            ];
            for end in ends {
                match (size, end) {
                    (Zero, Err(error)) => {
                        assert_eq!(error.kind(), ErrorKind::TimedOut(Phase::Connection));
                        assert_eq!((error.outcome(), error.attempts()), (Outcome::NotSent, 0));
                    }
                    (Tiny, Err(error)) => assert!(matches!(error.kind(), ErrorKind::TimedOut(_))),
                    (Huge | Max, Ok(())) => {}
                    (_, end) => panic!("{size:?}: {end:?}"),
                }
            }
        }
    })
    .unwrap();
}

#[test]
fn a_page_or_an_answer_may_be_of_any_size() {
    run(9, |world| async move {
        let (etcd, host) = (cluster(&world), world.host());
        let client = host.client(Config::new(etcd.endpoints())).unwrap();
        for key in ["a", "b", "c"] {
            client.put(key, "v").await.unwrap();
        }
        for size in SIZES {
            let number = size.bytes() as u64;
            let pages = client.pages(etcd3::all()).page_size(number);
            let pages: Vec<_> = pages.try_collect().await.unwrap();
            let keys: usize = pages.iter().map(|page| page.kvs.len()).sum();
            assert_eq!((keys, pages.len()), (3, if number <= 1 { 3 } else { 1 }), "{size:?}");
            let some = client.get(etcd3::all()).limit(number).await.unwrap();
            assert_eq!(some.kvs.len(), if number == 1 { 1 } else { 3 }, "{size:?}");
        }
        for (revision, kind) in [(i64::MIN, "negative"), (-1, "negative")] {
            let error = client.get("a").revision(revision).await.unwrap_err();
            assert!(error.report().to_string().contains(kind), "{}", error.report());
        }
    })
    .unwrap();
}
