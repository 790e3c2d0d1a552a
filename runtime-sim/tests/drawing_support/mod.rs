//! A parser of drawings, which knows tags, attributes and entities.

use etcd3::Outcome;
use etcd3::runtime::Instant;
use etcd3_sim::HostId;
use etcd3_sim::trace::{CallEnd, Trace};
use std::collections::BTreeMap;

/// What a drawing shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// The hosts by their numbers, in their order.
    pub(crate) hosts: Vec<(String, String)>,
    pub(crate) events: Vec<Event>,
}

/// An event of a drawing; times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Event {
    kind: String,
    host: String,
    name: String,
    class: String,
    begin: u64,
    width: Option<u64>,
    text: String,
}

fn micros(at: Instant) -> u64 {
    at.as_nanos() / 1000
}

/// Returns the number of a host, which it only shows as text.
fn number(host: HostId) -> String {
    format!("{host:?}").chars().filter(char::is_ascii_digit).collect()
}

impl Drawn {
    /// Returns what the drawing of a record must show.
    pub(crate) fn of(trace: &Trace) -> Self {
        let hosts = trace.hosts().iter().map(|lane| (number(lane.host), lane.name.clone()));
        let mut drawn = Self { hosts: hosts.collect(), events: Vec::new() };
        let end = micros(trace.end());
        for fault in trace.faults() {
            let lasts = fault.end.is_none();
            drawn.events.push(Event {
                kind: "fault".to_owned(),
                host: number(fault.host),
                name: fault.name.clone(),
                class: format!("{:?}", fault.kind).to_lowercase(),
                begin: micros(fault.begin),
                // One that lasts is drawn to the edge, which lies behind the end.
                width: fault.end.map(|end| micros(end) - micros(fault.begin)),
                text: if lasts { "lasts".to_owned() } else { String::new() },
            });
        }
        for call in trace.calls() {
            let class = match call.end {
                None => "open",
                Some((_, CallEnd::Completed)) => "ok",
                Some((_, CallEnd::Error)) => "error",
                Some((_, CallEnd::Dropped)) => "dropped",
                Some((_, CallEnd::Failed(Outcome::NotSent))) => "unsent",
                Some((_, CallEnd::Failed(Outcome::Rejected))) => "rejected",
                Some((_, CallEnd::Failed(Outcome::Unknown))) => "unknown",
            };
            let end = call.end.map_or(end, |(at, _)| micros(at));
            drawn.events.push(Event {
                kind: "call".to_owned(),
                host: number(call.host),
                name: call.name.clone(),
                class: class.to_owned(),
                begin: micros(call.begin),
                width: Some(end - micros(call.begin)),
                text: call.detail.clone(),
            });
        }
        drawn.add_batches_and_marks(trace);
        drawn
    }

    fn add_batches_and_marks(&mut self, trace: &Trace) {
        for batch in trace.batches() {
            let revisions = if batch.first == batch.last {
                batch.first.to_string()
            } else {
                format!("{}-{}", batch.first, batch.last)
            };
            self.events.push(Event {
                kind: "batch".to_owned(),
                host: number(batch.host),
                name: batch.watch.clone(),
                class: "tick".to_owned(),
                begin: micros(batch.at),
                width: None,
                text: format!("{revisions} x{}", batch.events),
            });
        }
        for mark in trace.marks() {
            self.events.push(Event {
                kind: "mark".to_owned(),
                host: String::new(),
                name: "violated rule".to_owned(),
                class: "mark".to_owned(),
                begin: micros(mark.at),
                width: None,
                text: mark.text.replace('\n', "↵"),
            });
        }
    }
}

/// Reads a drawing. Whatever breaks the rules of XML within its SVG fails the test.
pub(crate) fn parse(page: &str) -> Drawn {
    let mut drawn = Drawn::default();
    let mut rest = page.split_once("<main").expect("a main part").1;
    rest = rest.split_once("<script>").expect("a script after it").0;
    let mut open: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    rest = rest.split_once('>').expect("a tag").1;
    while let Some((text, after)) = rest.split_once('<') {
        if let Some((tag, attributes)) = open.last()
            && tag == "div"
            && attributes.get("data-kind").is_some_and(|kind| kind == "host")
        {
            drawn.hosts.push((attributes["data-host"].clone(), unescaped(text)));
        }
        let (inside, after) = after.split_once('>').expect("a tag ends");
        rest = after;
        if let Some(name) = inside.strip_prefix('/') {
            // The main part was opened before the first tag that is read.
            let last = open.pop().map_or_else(|| "main".to_owned(), |(name, _)| name);
            assert_eq!(last, name);
            continue;
        }
        let (inside, is_closed) = inside.strip_suffix('/').map_or((inside, false), |it| (it, true));
        let (tag, attributes) = tag(inside);
        if tag == "path" {
            assert!(!is_closed, "it has a description");
            let lines = rest.split_once("<desc>").and_then(|(_, text)| text.split_once("</desc>"));
            drawn.events.extend(events(&attributes, lines.expect("a description").0));
        }
        if !is_closed {
            open.push((tag, attributes));
        }
    }
    drawn
}

/// Reads the parts of a path, and the lines that describe them.
fn events(path: &BTreeMap<String, String>, lines: &str) -> Vec<Event> {
    let of = |key| path.get(key).cloned().unwrap_or_default();
    let mut lines = lines.split('\n');
    let parts = path["d"].strip_prefix('M').expect("a place").split('M').map(|part| {
        let begin = part.split(' ').next().and_then(|at| at.parse().ok()).expect("a time");
        let width = part.split_once('h').map(|(_, after)| {
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().expect("a width")
        });
        let line = unescaped(lines.next().unwrap_or_default());
        let (name, text) = match path.get("data-name") {
            Some(name) => (name.clone(), line),
            None => line.split_once('\t').map(|(a, b)| (a.into(), b.into())).expect("a name"),
        };
        let (kind, host, class) = (of("data-kind"), of("data-host"), of("class"));
        let width = width.filter(|_| kind != "fault" || text != "lasts");
        Event { kind, host, name, class, begin, width, text }
    });
    let parts = parts.collect();
    assert_eq!(lines.next(), None, "more lines than parts");
    parts
}

/// Reads the name of a tag and its attributes, all of which are quoted.
fn tag(text: &str) -> (String, BTreeMap<String, String>) {
    let (name, mut rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut attributes = BTreeMap::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"').expect("a quote");
        let before = attributes.insert(key.trim().to_owned(), unescaped(value));
        assert_eq!(before, None, "{text}");
        rest = after;
    }
    assert_eq!(rest.trim(), "", "{text}");
    (name.to_owned(), attributes)
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('&');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (entity, rest) = part.split_once(';').expect("an entity");
        out.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            other => panic!("&{other};"),
        });
        out.push_str(rest);
    }
    out
}
