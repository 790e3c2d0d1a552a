//! The shapes of events: one `path` for those that look the same, with a part for each event.
//!
//! ```text
//! <path class="ok" data-kind="call" data-host="1" data-name="put" d="M17 5v9h3v-9M42 5v9h2v-9">
//! <title>client 1: put (ok)</title><desc>revision 5
//! revision 6</desc></path>
//! ```
//!
//! A part begins with `M`, the microsecond in which the event began, and the pixel of its lane at
//! which its row begins; `h` is its duration. `desc` has a line for each part. Names that few
//! events have are in these lines, too, before a tab; their paths have no `data-name`.

use super::lanes::{BATCH_ROW, CALL_ROW, InRow, Placed, micros};
use super::page::{Escaped, class_of, outcome_of, revisions};
use super::{Batch, CallSpan, FaultSpan};
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The number of events of a name from which on they have a path of their own.
const OWN_PATH: usize = 8;

/// The kinds of events, in the order in which they are drawn, the later on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Fault,
    Call,
    Batch,
}

/// What the events of a path have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    kind: Kind,
    class: &'static str,
    name: Option<&'a str>,
}

/// A path, and the lines that describe its parts.
#[derive(Default)]
struct Parts {
    d: String,
    lines: String,
}

/// Writes the paths of a lane; `end` is the end of the run, `edge` that of the drawing, in
/// microseconds.
pub(super) fn write(out: &mut String, placed: &Placed<'_>, end: u64, edge: u64) -> fmt::Result {
    let mut counts = BTreeMap::new();
    for_each(placed, |key, _| *counts.entry(key).or_insert(0_usize) += 1);
    let mut paths: BTreeMap<Key<'_>, Parts> = BTreeMap::new();
    let mut result = Ok(());
    for_each(placed, |key, event| {
        let name = key.name.filter(|_| counts.get(&key).is_some_and(|count| *count >= OWN_PATH));
        let parts = paths.entry(Key { name, ..key }).or_default();
        let before = if name.is_none() { key.name } else { None };
        result = result.and(event.write(parts, before, [end, edge]));
    });
    result?;
    let (host, lane, y) = (placed.lane.host.0, Escaped(&placed.lane.name), placed.y);
    writeln!(out, "<g transform=\"translate(0 {y})\" data-y=\"{y}\">")?;
    for (Key { kind, class, name }, Parts { d, lines }) in paths {
        let kind = match kind {
            Kind::Fault => "fault",
            Kind::Call => "call",
            Kind::Batch => "batch",
        };
        write!(out, "<path class=\"{class}\" data-kind=\"{kind}\" data-host=\"{host}\" ")?;
        if let Some(name) = name {
            write!(out, "data-name=\"{}\" ", Escaped(name))?;
        }
        let (what, text) = (Escaped(name.unwrap_or(kind)), lines.trim_end_matches('\n'));
        writeln!(
            out,
            "d=\"{d}\"><title>{lane}: {what} ({class})</title><desc>{text}</desc></path>"
        )?;
    }
    writeln!(out, "</g>")
}

/// An event with all that its part of a path shows.
enum Event<'p, 'a> {
    /// The height of its lane, which it takes up, and the fault.
    Fault(usize, &'a FaultSpan),
    Call(&'p InRow<&'a CallSpan>),
    Batch(&'p InRow<&'a Batch>),
}

/// Visits the events of a lane, kind by kind, in the order in which they began.
fn for_each<'p, 'a>(placed: &'p Placed<'a>, mut visit: impl FnMut(Key<'a>, Event<'p, 'a>)) {
    for InRow { event, .. } in &placed.faults {
        let (class, name) = (class_of(event.kind), Some(&event.name[..]));
        visit(Key { kind: Kind::Fault, class, name }, Event::Fault(placed.height, event));
    }
    for call in &placed.calls {
        let (class, name) = (outcome_of(call.event), Some(&call.event.name[..]));
        visit(Key { kind: Kind::Call, class, name }, Event::Call(call));
    }
    for batch in &placed.batches {
        let (class, name) = ("tick", Some(&batch.event.watch[..]));
        visit(Key { kind: Kind::Batch, class, name }, Event::Batch(batch));
    }
}

impl Event<'_, '_> {
    /// Adds the part of this event to a path, and a line that begins with its name, if it is given.
    fn write(&self, parts: &mut Parts, name: Option<&str>, ends: [u64; 2]) -> fmt::Result {
        let Parts { d, lines } = parts;
        if let Some(name) = name {
            write!(lines, "{}\t", Escaped(name))?;
        }
        let [end, edge] = ends;
        match self {
            Self::Fault(height, fault) => {
                let begin = micros(fault.begin);
                let width = fault.end.map_or(edge, micros).saturating_sub(begin);
                write!(d, "M{begin} 0v{height}h{width}v-{height}")?;
                lines.push_str(if fault.end.is_none() { "lasts" } else { "" });
            }
            Self::Call(InRow { event, y, .. }) => {
                let (begin, height) = (micros(event.begin), CALL_ROW - 2);
                let width = event.end.map_or(end, |(at, _)| micros(at)).saturating_sub(begin);
                write!(d, "M{begin} {y}v{height}h{width}v-{height}")?;
                write!(lines, "{}", Escaped(&event.detail))?;
            }
            Self::Batch(InRow { event, y, .. }) => {
                write!(d, "M{} {y}v{}", micros(event.at), BATCH_ROW - 4)?;
                write!(lines, "{} x{}", revisions(event), event.events)?;
            }
        }
        lines.push('\n');
        Ok(())
    }
}
