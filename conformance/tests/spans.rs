//! Spans of calls, where they are switched on: each call once, with what became of it, and nothing
//! of what it carries.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::{Config, put};
use etcd3_sim::{ClusterConfig, Personality, run};
use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The spans by their numbers, from 1 on, as lines; and those that are entered.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    spans: Vec<String>,
    entered: Vec<u64>,
    /// For each event the number of spans that it was told within.
    depths: Vec<usize>,
}

struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Spans {
    fn enabled(&self, meta: &Metadata<'_>) -> bool {
        meta.target() == "etcd3::call"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut state = self.0.lock().unwrap();
        let meta = span.metadata();
        let mut line = format!("{} {}", meta.level(), meta.name());
        span.record(&mut Line(&mut line));
        state.spans.push(line);
        Id::from_u64(state.spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let number = usize::try_from(span.into_u64()).unwrap();
        values.record(&mut Line(&mut self.0.lock().unwrap().spans[number - 1]));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        let mut state = self.0.lock().unwrap();
        let depth = state.entered.len();
        state.depths.push(depth);
    }

    fn enter(&self, span: &Id) {
        self.0.lock().unwrap().entered.push(span.into_u64());
    }

    fn exit(&self, span: &Id) {
        assert_eq!(self.0.lock().unwrap().entered.pop(), Some(span.into_u64()));
    }
}

#[test]
fn each_call_is_a_span_that_tells_what_became_of_it() {
    let spans = Spans::default();
    tracing::subscriber::with_default(spans.clone(), || {
        run(1, |world| async move {
            let personality = Personality::of(3, 7, 3);
            let etcd = world.etcd(ClusterConfig::new(1, personality, world.seed()));
            let client = world.host().client(Config::new(etcd.endpoints())).unwrap();
            client.put("canary", "canary").await.unwrap();
            client.txn().then([put("canary", "x")]).await.unwrap();
            client.put("canary", "canary").lease(7).await.unwrap_err();
            etcd.kill(0);
            // Until the loss is known.
            world.sleep(Duration::from_secs(1)).await;
            client.put("canary", "x").timeout(Duration::from_secs(1)).await.unwrap_err();
        })
        .unwrap();
    });
    let State { spans, entered, depths } = &*spans.0.lock().unwrap();
    let call =
        |method: &str, rest: &str| format!("INFO call method=\"/etcdserverpb.KV/{method}\"{rest}");
    let at = " endpoint=http://etcd-0:2379 attempts=1 outcome=";
    assert_eq!(
        spans[..],
        [
            call("Put", &format!("{at}\"ok\"")),
            call("Txn", &format!("{at}\"ok\"")),
            call("Put", &format!("{at}\"rejected\"")),
            call("Put", " attempts=0 outcome=\"not sent\""),
        ]
    );
    assert!(entered.is_empty());
    assert_eq!(depths[..], [1, 1], "both failures are told within their calls");
    assert!(!spans.iter().any(|span| span.contains("canary")), "{spans:?}");
}
