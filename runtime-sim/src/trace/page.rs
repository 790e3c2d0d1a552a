//! The drawing of a run: one HTML page with SVG in it.
//!
//! Bars lie in an inner `svg` whose horizontal unit is a microsecond, and stretch with it; labels
//! lie in the outer one at a share of its width, so that they move when somebody zooms in and are
//! not stretched.

use super::axis::{Micros, Percent, ticks};
use super::labels;
use super::lanes::{self, Placed, micros};
use super::paths;
use super::{Batch, CallEnd, CallSpan, FaultKind, Trace};
use etcd3::Outcome;
use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How calls end: the class of their colour, and the words of the legend.
const OUTCOMES: [(&str, &str); 7] = [
    ("ok", "ok"),
    ("unknown", "outcome unknown"),
    ("rejected", "rejected"),
    ("unsent", "not sent"),
    ("error", "answered with an error"),
    ("dropped", "dropped"),
    ("open", "under way at the end"),
];

/// What faults do: the class of their colour, and the words of the legend.
const FAULTS: [(&str, &str); 6] = [
    ("down", "killed or crashed"),
    ("paused", "paused"),
    ("isolated", "isolated from the other members"),
    ("link", "link to a member"),
    ("cut", "connection cut"),
    ("order", "leader moved, GOAWAY"),
];

/// Returns the page.
pub(super) fn html(trace: &Trace) -> String {
    let lanes = lanes::place(trace);
    let page = Page { trace, total: lanes::total(trace), lanes };
    let mut html = String::new();
    // Writing to a string cannot fail.
    let _ = page.write(&mut html);
    html
}

struct Page<'a> {
    trace: &'a Trace,
    /// The end of the drawing, in microseconds.
    total: u64,
    lanes: Vec<Placed<'a>>,
}

impl Page<'_> {
    fn write(&self, out: &mut String) -> fmt::Result {
        let seed = self.trace.seed;
        writeln!(out, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")?;
        writeln!(out, "<title>Simulated run, seed {seed}</title>\n<style>{STYLE}</style></head>")?;
        writeln!(out, "<body><header><h1>Simulated run, seed {seed}</h1>")?;
        self.summary(out)?;
        for mark in &self.trace.marks {
            let (at, text) = (micros(mark.at), Escaped(&mark.text));
            let time = Micros(at);
            writeln!(out, "<p class=\"rule\" data-at=\"{at}\"><b>{time}</b> {text}</p>")?;
        }
        self.legend(out)?;
        writeln!(out, "</header>\n<main id=\"view\"><div id=\"names\"><div id=\"corner\"></div>")?;
        for Placed { lane, height, .. } in &self.lanes {
            let (host, name) = (lane.host.0, Escaped(&lane.name));
            let begin = format_args!("<div data-kind=\"host\" data-host=\"{host}\"");
            writeln!(out, "{begin} style=\"height:{height}px\">{name}</div>")?;
        }
        writeln!(out, "</div><div id=\"inner\" data-total=\"{}\">", self.total)?;
        self.axis(out)?;
        self.drawing(out)?;
        writeln!(out, "<div id=\"cursor\"></div></div></main><div id=\"tip\"></div>")?;
        writeln!(out, "<script>{SCRIPT}</script></body></html>")
    }

    fn summary(&self, out: &mut String) -> fmt::Result {
        let Trace { end, lanes, faults, calls, batches, left_out, .. } = self.trace;
        let (faults, calls, batches) = (faults.len(), calls.len(), batches.len());
        let (time, hosts) = (Micros(micros(*end)), lanes.len());
        write!(out, "<p>{time} of virtual time; hosts: {hosts}, faults: {faults}, ")?;
        write!(out, "calls: {calls}, batches of watches: {batches}")?;
        if *left_out > 0 {
            write!(out, "; <b>the oldest {left_out} events are left out</b>")?;
        }
        writeln!(out, "</p>")
    }

    /// Writes what the colours stand for that occur.
    fn legend(&self, out: &mut String) -> fmt::Result {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let faults = self.trace.faults.iter().map(|fault| class_of(fault.kind));
        for class in self.trace.calls.iter().map(outcome_of).chain(faults) {
            *counts.entry(class).or_default() += 1;
        }
        let kinds = [("Calls", &OUTCOMES[..]), ("Faults", &FAULTS)];
        for (kind, classes) in kinds {
            write!(out, "<p class=\"legend\"><b>{kind}</b>")?;
            for (class, words) in classes {
                let Some(count) = counts.get(class) else { continue };
                write!(
                    out,
                    "<span><i class=\"{class}\"></i>{words} <small>{count}</small></span>"
                )?;
            }
            writeln!(out, "</p>")?;
        }
        write!(out, "<p class=\"legend\"><b>Marks</b>")?;
        write!(out, "<span><i class=\"tick\"></i>watch batch, with its revisions</span>")?;
        write!(out, "<span><i class=\"mark\"></i>violated rule</span>")?;
        writeln!(
            out,
            "<button>−</button><button>+</button><button>fit</button> \
             <small>Ctrl and wheel zooms, a drag moves, a double click zooms in there.</small></p>"
        )
    }

    /// Writes the ticks; the script makes finer ones when somebody zooms in.
    fn axis(&self, out: &mut String) -> fmt::Result {
        write!(out, "<div id=\"axis\"><div id=\"ticks\">")?;
        for at in ticks(self.total) {
            let (left, time) = (self.percent(at), Micros(at));
            write!(out, "<i style=\"left:{left}\">{time}</i>")?;
        }
        write!(out, "</div>")?;
        for mark in &self.trace.marks {
            let (left, text) = (self.percent(micros(mark.at)), Escaped(&mark.text));
            write!(out, "<b class=\"mark\" style=\"left:{left}\" title=\"{text}\">▼</b>")?;
        }
        write!(out, "</div>\n<div id=\"grid\">")?;
        for at in ticks(self.total) {
            write!(out, "<i style=\"left:{}\"></i>", self.percent(at))?;
        }
        writeln!(out, "</div>")
    }

    fn drawing(&self, out: &mut String) -> fmt::Result {
        let height = self.lanes.last().map_or(0, |lane| lane.y + lane.height);
        writeln!(out, "<svg id=\"lanes\" width=\"100%\" height=\"{height}\">")?;
        for Placed { y, height, .. } in &self.lanes {
            let bottom = y + height;
            writeln!(out, "<line class=\"lane\" x2=\"100%\" y1=\"{bottom}\" y2=\"{bottom}\"/>")?;
        }
        let view = format_args!("viewBox=\"0 0 {} {height}\"", self.total);
        let size = format_args!("width=\"100%\" height=\"{height}\"");
        writeln!(out, "<svg class=\"bars\" {size} {view} preserveAspectRatio=\"none\">")?;
        for lane in &self.lanes {
            paths::write(out, lane, micros(self.trace.end), self.total)?;
        }
        for mark in &self.trace.marks {
            let (at, text) = (micros(mark.at), Escaped(&mark.text));
            write!(out, "<path class=\"mark\" data-kind=\"mark\" data-name=\"violated rule\" ")?;
            writeln!(
                out,
                "d=\"M{at} 0v{height}\"><title>{text}</title><desc>{text}</desc></path>"
            )?;
        }
        writeln!(out, "</svg>")?;
        labels::write(out, &self.lanes, self.total)?;
        writeln!(out, "</svg>")
    }

    fn percent(&self, micros: u64) -> Percent {
        Percent { part: micros, whole: self.total }
    }
}

pub(super) fn revisions(batch: &Batch) -> String {
    let Batch { first, last, .. } = batch;
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

pub(super) fn outcome_of(call: &CallSpan) -> &'static str {
    match call.end {
        Some((_, CallEnd::Completed)) => "ok",
        Some((_, CallEnd::Failed(Outcome::Unknown))) => "unknown",
        Some((_, CallEnd::Failed(Outcome::Rejected))) => "rejected",
        Some((_, CallEnd::Failed(Outcome::NotSent))) => "unsent",
        Some((_, CallEnd::Error)) => "error",
        Some((_, CallEnd::Dropped)) => "dropped",
        None => "open",
    }
}

pub(super) fn class_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Down => "down",
        FaultKind::Paused => "paused",
        FaultKind::Isolated => "isolated",
        FaultKind::Link => "link",
        FaultKind::Cut => "cut",
        FaultKind::Order => "order",
    }
}

/// A text in one line as HTML has it, also within the quotes of an attribute.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in self.0.chars() {
            match it {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\n' => f.write_char('↵')?,
                it if it.is_control() => f.write_char('\u{fffd}')?,
                it => f.write_char(it)?,
            }
        }
        Ok(())
    }
}
