//! A recorded run, and its drawing: every event of the record is drawn once, at its time.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

#[path = "drawing_support/mod.rs"]
mod drawing_support;

use drawing_support::{Drawn, parse};
use etcd3::{Config, Outcome};
use etcd3_sim::faults::{Planned, Scope, swarm};
use etcd3_sim::trace::{CallEnd, Trace};
use etcd3_sim::{
    ClusterConfig, CutLater, Direction, Link, Personality, RunError, World, record, run,
};
use etcd3_sim::{Cut, Etcd, Host, Reachability, Travel};
use std::time::Duration;

/// The number of worlds that are drawn.
const SEEDS: u64 = if cfg!(debug_assertions) { 5 } else { 20 };

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn cluster(world: &World) -> Etcd {
    world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()))
}

/// Compares a drawing with the record that it is of.
fn assert_complete(trace: &Trace) {
    let drawn = parse(&trace.to_html());
    let mut expected = Drawn::of(trace);
    let mut found = drawn.clone();
    for list in [&mut expected, &mut found] {
        list.events.sort();
    }
    assert_eq!(found, expected);
}

/// Runs clients and watchers under the faults of a seed, recorded.
fn stormy(seed: u64) -> Trace {
    let scope = Scope { clients: 2, members: 3, lasts: Duration::from_secs(10) };
    let program = |world: World, faults: Vec<Planned>| async move {
        let etcd = cluster(&world);
        let hosts = ["<a> & \"b\"", "two"].map(|name| world.host().named(name));
        for host in hosts.clone() {
            let config = Config::new(etcd.endpoints()).request_timeout(ms(700));
            let client = host.client(config).unwrap();
            let world = world.clone();
            hosts[0].clone().spawn(async move {
                for n in 0..200_i64 {
                    let name = if n % 2 == 0 { "put <k>" } else { "put" };
                    let _ = host.call(name, client.put("k", "v")).await;
                    host.batch("k", n..=n + n % 3, 1 + usize::try_from(n).unwrap());
                    world.sleep(ms(50)).await;
                }
            });
        }
        etcd.suffer(&faults, &hosts.map(|host| host.id())).await;
        world.mark_at(world.now() - ms(500), "nothing is lost, < & > included\n\"ever\"");
        world.sleep(ms(100)).await;
        Err::<(), _>("it fails".to_owned())
    };
    let (result, trace) = record(seed, &swarm(seed, scope), &program);
    assert_eq!(result.unwrap_err(), "it fails");
    trace
}

#[test]
fn everything_is_drawn_once_at_its_time() {
    let (mut faults, mut calls) = (0, 0);
    for seed in 0..SEEDS {
        let trace = stormy(seed);
        assert_complete(&trace);
        assert_eq!(trace.hosts().len(), 2 + 3);
        assert!(trace.batches().len() > 20 && trace.calls().len() > 50, "seed {seed}");
        let texts: Vec<&str> = trace.marks().iter().map(|mark| &mark.text[..]).collect();
        assert_eq!(texts, ["nothing is lost, < & > included\n\"ever\"", "it fails"]);
        faults += trace.faults().len();
        calls += trace.calls().iter().filter(|call| call.end.is_none()).count();
    }
    assert!(faults > 30, "{faults}");
    assert!(calls > 0, "no call was under way at an end");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for seed in 0..2 {
        let page = stormy(seed).to_html();
        assert_eq!(page, stormy(seed).to_html(), "seed {seed}");
        assert_ne!(page, stormy(seed + 100).to_html());
    }
}

#[test]
fn a_record_does_not_change_the_run() {
    let digest = |recorded: bool| {
        let program = |world: World| async move {
            if recorded {
                world.record();
            }
            let etcd = cluster(&world);
            let host = world.host();
            let client = host.client(Config::new(etcd.endpoints())).unwrap();
            for _ in 0..20 {
                host.call("put", client.put("k", "v")).await.unwrap();
                etcd.move_leader();
                world.sleep(ms(100)).await;
            }
            world.trace()
        };
        run(9, program).unwrap()
    };
    let ((on, with), (off, without)) = (digest(true), digest(false));
    assert_eq!(with, without);
    assert!(on.calls().len() >= 40 && on.faults().len() == 20, "{on:?}");
    assert_eq!(off.hosts(), on.hosts());
    assert_eq!((off.calls().len(), off.faults().len()), (0, 0));
}

#[test]
fn a_page_needs_nothing_else() {
    let page = stormy(1).to_html();
    for link in ["src=", "href=", "url(", "@import", "<link", "<img", "fetch("] {
        assert!(!page.contains(link), "{link}");
    }
}

/// What a call is recorded as, by the lane of its client.
fn ends(trace: &Trace, lane: &str) -> Vec<(String, Option<CallEnd>)> {
    let host = trace.hosts().iter().find(|it| it.name == lane).unwrap().host;
    let calls = trace.calls().iter().filter(|call| call.host == host);
    calls.map(|call| (call.name.clone(), call.end.map(|(_, end)| end))).collect()
}

#[test]
fn a_call_is_recorded_with_its_end() {
    let program = |world: World, _: Vec<Planned>| async move {
        let etcd = cluster(&world);
        let host = world.host().named("it");
        let config = Config::new(etcd.endpoints()).request_timeout(ms(500));
        let client = host.client(config).unwrap();
        host.call("good", client.put("k", "v")).await.unwrap();
        host.call("refused", client.get("k").revision(99)).await.unwrap_err();
        let mut dropped = Box::pin(host.call("dropped", client.put("k", "v")));
        assert!(futures_lite::future::poll_once(&mut dropped).await.is_none());
        drop(dropped);
        (0..3).for_each(|member| etcd.pause(member));
        host.call("lost", client.put("k", "v")).await.unwrap_err();
        let other = host.clone();
        let far = client.clone();
        host.spawn(async move {
            let _ = other.call("open", far.get("k").timeout(Duration::from_secs(9))).await;
        });
        world.sleep(ms(1)).await;
        panic!("here it ends");
        #[allow(unreachable_code)]
        Ok(())
    };
    let (result, trace) = record(3, &[], &program);
    assert_eq!(result.unwrap_err(), "panicked: here it ends");
    let expected = [
        ("good", Some(CallEnd::Completed)),
        ("refused", Some(CallEnd::Failed(Outcome::Rejected))),
        ("dropped", Some(CallEnd::Dropped)),
        ("lost", Some(CallEnd::Failed(Outcome::Unknown))),
        ("open", None),
    ];
    assert_eq!(ends(&trace, "it"), expected.map(|(name, end)| (name.to_owned(), end)));
    assert!(ends(&trace, "etcd-0").iter().chain(&ends(&trace, "etcd-1")).count() > 0);
    let mark = &trace.marks()[0];
    assert_eq!((mark.at, &mark.text[..]), (trace.end(), "panicked: here it ends"));
    assert_complete(&trace);
}

#[test]
fn what_hangs_for_ever_is_under_way_at_the_end() {
    let mut world_of = None;
    let ended = run(1, |world| {
        world_of = Some(world.clone());
        world.record();
        let host = world.host();
        async move {
            let _call = host.begin_call("waits");
            std::future::pending::<()>().await;
        }
    });
    assert_eq!(ended.unwrap_err(), RunError::Deadlock);
    let trace = world_of.unwrap().trace();
    assert_eq!(ends(&trace, "host 1"), [("waits".to_owned(), None)]);
}

/// The faults of a record as `lane: name begin-end`, in ms.
fn faults(trace: &Trace) -> Vec<String> {
    let text = |fault: &etcd3_sim::trace::FaultSpan| {
        let lane = trace.hosts().iter().find(|it| it.host == fault.host).unwrap();
        let [begin, end] = [Some(fault.begin), fault.end]
            .map(|at| at.map_or_else(String::new, |at| (at.as_nanos() / 1_000_000).to_string()));
        format!("{}: {} {begin}-{end}", lane.name, fault.name)
    };
    trace.faults().iter().map(text).collect()
}

#[test]
fn every_fault_is_recorded_where_it_is_suffered() {
    async fn break_links(world: &World, etcd: &Etcd, host: &Host) {
        let (net, at) = (world.net(), etcd.address(1));
        let broken = Link {
            stall_up: true,
            stall_down: true,
            travel: Travel { chunk: 1, ..Travel::default() },
            ..Link::default()
        };
        net.set_link(host.id(), at, broken);
        world.sleep(ms(1)).await;
        net.set_link(host.id(), at, Link { reachability: Reachability::Hang, ..broken });
        net.set_link(host.id(), at, Link { reachability: Reachability::Refuse, ..broken });
        world.sleep(ms(1)).await;
        net.set_link(host.id(), at, Link::default());
        net.cut(host.id(), at, Cut::Fin);
        let later = CutLater { direction: Direction::Up, bytes: 7, cut: Cut::Stall };
        net.cut_later(host.id(), at, later);
    }
    let (trace, _) = run(4, |world| async move {
        world.record();
        let (etcd, host) = (cluster(&world), world.host());
        etcd.pause(0);
        world.sleep(ms(1)).await;
        etcd.kill(0);
        etcd.isolate(2);
        etcd.isolate(2);
        world.sleep(ms(1)).await;
        etcd.revive(0);
        etcd.heal();
        etcd.pause(1);
        host.set_paused(true);
        world.sleep(ms(1)).await;
        etcd.revive(1);
        host.set_paused(false);
        host.crash();
        etcd.go_away(1);
        break_links(&world, &etcd, &host).await;
        etcd.kill(1);
        world.trace()
    })
    .unwrap();
    assert_eq!(
        faults(&trace),
        [
            "etcd-0: paused 0-1",
            "etcd-0: killed 1-2",
            "etcd-2: isolated 1-2",
            "etcd-1: paused 2-3",
            "host 1: paused 2-3",
            "host 1: crashed 3-3",
            "etcd-1: GOAWAY 3-3",
            "host 1: nothing gets to etcd-1 3-5",
            "host 1: nothing comes from etcd-1 3-5",
            "host 1: slow to etcd-1 3-5",
            "host 1: no way to etcd-1 4-4",
            "host 1: refused by etcd-1 4-5",
            "host 1: cut from etcd-1: end 5-5",
            "host 1: cut from etcd-1 in 7 B: silence 5-5",
            "etcd-1: killed 5-",
        ]
    );
    assert_complete(&trace);
}

/// Records calls of programs, calls that members serve, batches and faults, on many hosts, with the
/// names and texts that those have.
fn many(events: u64) -> Trace {
    let (trace, _) = run(5, |world| async move {
        world.record();
        let hosts: Vec<Host> = (0..20).map(|_| world.host()).collect();
        for n in 0..events {
            let host = &hosts[usize::try_from(world.below(20)).unwrap()];
            match n % 10 {
                0..3 => {
                    let call = host.begin_call(format_args!("put key-{} = {n}", n % 50));
                    world.sleep(Duration::from_micros(200 + world.below(9_000))).await;
                    call.end(CallEnd::Completed, format_args!("revision {n}"));
                }
                3..6 => {
                    let call = host.begin_call(format_args!("Put for client {}", n % 7));
                    world.sleep(Duration::from_micros(world.below(900))).await;
                    call.end(CallEnd::Completed, "");
                }
                6..9 => {
                    let revision = i64::try_from(n).unwrap();
                    host.batch("key-", revision..=revision + 3, 4);
                }
                _ => host.set_paused(n % 20 == 9),
            }
            world.sleep(Duration::from_micros(world.below(2_000))).await;
        }
        world.trace()
    })
    .unwrap();
    trace
}

#[test]
fn a_hundred_thousand_events_stay_under_five_megabytes() {
    let trace = many(108_200);
    let events = trace.calls().len() + trace.batches().len() + trace.faults().len();
    assert!(events >= 100_000, "{events}");
    let size = trace.to_html().len();
    println!("{events} events: {size} bytes");
    assert!(size < 5_000_000, "{size} bytes");
    assert_complete(&trace);
}

#[test]
fn the_newest_events_are_kept() {
    let (trace, _) = run(6, |world| async move {
        world.record();
        let host = world.host();
        let first = host.begin_call("the oldest");
        for n in 0..100_010 {
            host.begin_call(n).end(CallEnd::Completed, "");
        }
        first.end(CallEnd::Completed, "nobody knows it any more");
        (0..1000).for_each(|n| world.mark(n));
        host.begin_call("x".repeat(5000)).end(CallEnd::Completed, "ü".repeat(5000));
        world.trace()
    })
    .unwrap();
    assert_eq!((trace.calls().len(), trace.left_out()), (100_000, 12));
    assert_eq!(trace.calls()[0].name, "11");
    assert_eq!(trace.marks().len(), 100);
    let last = &trace.calls()[99_999];
    assert_eq!((last.name.chars().count(), last.detail.chars().count()), (101, 1001));
    assert!(trace.to_html().contains("the oldest 12 events are left out"));
}
