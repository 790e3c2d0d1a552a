//! The texts beside and on the shapes of events.

use super::axis::Percent;
use super::lanes::{BATCH_ROW, CALL_ROW, FAULT_ROW, Placed, micros};
use super::page::{Escaped, class_of, revisions};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt::{self, Write};

/// The largest number of labels of a kind; those of the longest have one. The script hides what
/// has no room.
const MOST_LABELS: usize = 700;

/// A text with its room, in which it is cut off; times are in microseconds, the others in pixels.
struct Label<'a> {
    class: &'static str,
    text: Cow<'a, str>,
    begin: u64,
    until: u64,
    y: usize,
    height: usize,
    /// The end of a bar behind it.
    bar: Option<u64>,
}

/// Writes the labels; `total` is the end of the drawing, in microseconds.
pub(super) fn write(out: &mut String, lanes: &[Placed<'_>], total: u64) -> fmt::Result {
    let faults = lanes.iter().flat_map(|lane| of_faults(lane, total)).collect();
    let calls = lanes.iter().flat_map(of_calls).collect();
    let batches = lanes.iter().flat_map(of_batches).collect();
    for mut labels in [faults, calls, batches] as [Vec<Label<'_>>; 3] {
        labels.sort_by_key(|it| (Reverse(it.shown()), it.begin, it.y));
        labels.truncate(MOST_LABELS);
        labels.iter().try_for_each(|label| label.write(out, total))?;
    }
    Ok(())
}

fn of_faults<'a>(placed: &Placed<'a>, total: u64) -> impl Iterator<Item = Label<'a>> {
    placed.faults.iter().map(move |it| Label {
        class: class_of(it.event.kind),
        text: Cow::Borrowed(&it.event.name),
        begin: micros(it.event.begin),
        until: it.until,
        y: placed.y + it.y,
        height: FAULT_ROW - 2,
        bar: Some(it.event.end.map_or(total, micros)),
    })
}

fn of_calls<'a>(placed: &Placed<'a>) -> impl Iterator<Item = Label<'a>> {
    placed.calls.iter().map(|it| Label {
        class: "name",
        text: Cow::Borrowed(&it.event.name),
        begin: micros(it.event.begin),
        until: it.until,
        y: placed.y + it.y,
        height: CALL_ROW - 2,
        bar: None,
    })
}

fn of_batches<'a>(placed: &Placed<'a>) -> impl Iterator<Item = Label<'a>> {
    placed.batches.iter().map(|it| Label {
        class: "revisions",
        text: Cow::Owned(revisions(it.event)),
        begin: micros(it.event.at),
        until: it.until,
        y: placed.y + it.y,
        height: BATCH_ROW - 4,
        bar: None,
    })
}

impl Label<'_> {
    /// Returns how long what it names is, or its room if that is a moment.
    fn shown(&self) -> u64 {
        self.bar.unwrap_or(self.until).saturating_sub(self.begin)
    }

    fn write(&self, out: &mut String, total: u64) -> fmt::Result {
        let Self { class, text, begin, until, y, height, bar } = self;
        let room = until.saturating_sub(*begin);
        let [x, width] = [*begin, room].map(|part| Percent { part, whole: total });
        write!(out, "<svg class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" ")?;
        write!(out, "height=\"{height}\">")?;
        if let Some(end) = bar {
            let width = Percent { part: end.saturating_sub(*begin), whole: room };
            write!(out, "<rect width=\"{width}\" height=\"100%\"/>")?;
        }
        let baseline = height * 3 / 4 + 1;
        writeln!(out, "<text x=\"3\" y=\"{baseline}\">{}</text></svg>", Escaped(text))
    }
}
