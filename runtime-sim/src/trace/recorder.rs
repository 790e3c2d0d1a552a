//! Keeps what happens while a run goes on.

use super::{Batch, CallEnd, CallSpan, FaultKind, FaultSpan, Lane, Mark, Trace};
use crate::executor::Executor;
use crate::lock::locked;
use crate::net::HostId;
use etcd3::runtime::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

/// The largest number of events of a kind that are kept.
const MOST_EVENTS: usize = 100_000;
/// The largest number of violated rules that are kept.
const MOST_MARKS: usize = 100;
/// The largest length of a name, in characters.
const MOST_NAME: usize = 100;
/// The largest length of what else is said of an event, in characters.
const MOST_DETAIL: usize = 1000;

/// The recorder of a world; cheap to clone, and off until it is switched on.
#[derive(Clone)]
pub(crate) struct Recorder {
    executor: Executor,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// The names of the hosts, which are known whether events are recorded or not.
    names: BTreeMap<HostId, String>,
    tape: Option<Tape>,
}

#[derive(Default)]
struct Tape {
    faults: Newest<FaultSpan>,
    /// The faults that last, by host and name.
    lasting: BTreeMap<(HostId, String), u64>,
    calls: Newest<CallSpan>,
    batches: Newest<Batch>,
    marks: Vec<Mark>,
}

/// The newest items of a sequence, by their numbers.
struct Newest<T> {
    items: VecDeque<T>,
    /// The number of the first item that is kept.
    first: u64,
}

impl<T> Default for Newest<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), first: 0 }
    }
}

impl<T> Newest<T> {
    /// Adds an item and returns its number.
    fn push(&mut self, item: T) -> u64 {
        if self.items.len() >= MOST_EVENTS {
            self.items.pop_front();
            self.first += 1;
        }
        self.items.push_back(item);
        self.first + self.items.len() as u64 - 1
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut T> {
        let index = number.checked_sub(self.first)?;
        self.items.get_mut(usize::try_from(index).ok()?)
    }
}

impl<T: Clone> Newest<T> {
    fn to_vec(&self) -> Vec<T> {
        self.items.iter().cloned().collect()
    }
}

impl Recorder {
    pub(crate) fn new(executor: Executor) -> Self {
        Self { executor, inner: Arc::default() }
    }

    /// Records from now on.
    pub(crate) fn switch_on(&self) {
        locked(&self.inner).tape.get_or_insert_default();
    }

    /// Names a host, in place of the name that it had.
    pub(crate) fn name(&self, host: HostId, name: String) {
        locked(&self.inner).names.insert(host, name);
    }

    /// Tells whether what happens is recorded.
    pub(crate) fn is_on(&self) -> bool {
        locked(&self.inner).tape.is_some()
    }

    /// Begins a fault; one that lasts already goes on.
    pub(crate) fn begin_fault(&self, host: HostId, kind: FaultKind, name: impl fmt::Display) {
        let Some(name) = self.text(name, MOST_NAME) else { return };
        self.with(|tape, now| {
            let key = (host, name.clone());
            if !tape.lasting.contains_key(&key) {
                let span = FaultSpan { host, kind, name, begin: now, end: None };
                let number = tape.faults.push(span);
                tape.lasting.insert(key, number);
            }
        });
    }

    /// Ends a fault, if it lasts.
    pub(crate) fn end_fault(&self, host: HostId, name: impl fmt::Display) {
        let Some(name) = self.text(name, MOST_NAME) else { return };
        self.with(|tape, now| {
            let number = tape.lasting.remove(&(host, name));
            if let Some(fault) = number.and_then(|number| tape.faults.get_mut(number)) {
                fault.end = Some(now);
            }
        });
    }

    /// Records a fault of a moment.
    pub(crate) fn fault(&self, host: HostId, kind: FaultKind, name: impl fmt::Display) {
        let Some(name) = self.text(name, MOST_NAME) else { return };
        self.with(|tape, now| {
            tape.faults.push(FaultSpan { host, kind, name, begin: now, end: Some(now) });
        });
    }

    /// Begins a call.
    pub(crate) fn begin_call(&self, host: HostId, name: impl fmt::Display) -> OpenCall {
        let Some(name) = self.text(name, MOST_NAME) else { return OpenCall(None) };
        let mut number = None;
        self.with(|tape, begin| {
            let call = CallSpan { host, name, begin, end: None, detail: String::new() };
            number = Some(tape.calls.push(call));
        });
        OpenCall(number.map(|number| (self.clone(), number)))
    }

    /// Begins a call that a member serves for another host.
    pub(crate) fn begin_served(&self, host: HostId, method: &str, client: HostId) -> OpenCall {
        if !self.is_on() {
            return OpenCall(None);
        }
        let name = locked(&self.inner).names.get(&client).cloned().unwrap_or_default();
        self.begin_call(host, format_args!("{method} for {name}"))
    }

    fn end_call(&self, number: u64, end: CallEnd, detail: impl fmt::Display) {
        let Some(detail) = self.text(detail, MOST_DETAIL) else { return };
        self.with(|tape, now| {
            if let Some(call) = tape.calls.get_mut(number) {
                call.end = Some((now, end));
                call.detail = detail;
            }
        });
    }

    /// Records a batch; its time is now.
    pub(crate) fn batch(
        &self,
        host: HostId,
        watch: &str,
        revisions: RangeInclusive<i64>,
        events: usize,
    ) {
        let Some(watch) = self.text(watch, MOST_NAME) else { return };
        self.with(|tape, at| {
            let (first, last) = revisions.into_inner();
            tape.batches.push(Batch { host, watch, at, first, last, events });
        });
    }

    /// Marks a violated rule at a moment, which is now unless another is given.
    pub(crate) fn mark(&self, at: Option<Instant>, rule: impl fmt::Display) {
        let Some(text) = self.text(rule, MOST_DETAIL) else { return };
        self.with(|tape, now| {
            if tape.marks.len() < MOST_MARKS {
                tape.marks.push(Mark { at: at.unwrap_or(now), text });
            }
        });
    }

    /// Returns what was recorded so far.
    pub(crate) fn trace(&self, seed: u64) -> Trace {
        let inner = locked(&self.inner);
        let lanes = inner.names.iter();
        let lanes = lanes.map(|(host, name)| Lane { host: *host, name: name.clone() }).collect();
        let tape = inner.tape.as_ref();
        Trace {
            seed,
            end: self.executor.now(),
            lanes,
            faults: tape.map(|tape| tape.faults.to_vec()).unwrap_or_default(),
            calls: tape.map(|tape| tape.calls.to_vec()).unwrap_or_default(),
            batches: tape.map(|tape| tape.batches.to_vec()).unwrap_or_default(),
            marks: tape.map(|tape| tape.marks.clone()).unwrap_or_default(),
            left_out: tape.map_or(0, |it| it.faults.first + it.calls.first + it.batches.first),
        }
    }

    /// Returns a text, shortened to a number of characters; `None` when nothing is recorded.
    fn text(&self, text: impl fmt::Display, most: usize) -> Option<String> {
        // Not formatted under the lock: whatever formats itself may be anybody's.
        self.is_on().then(|| cut(text.to_string(), most))
    }

    /// Changes the record at this moment, if there is one and the run goes on.
    fn with(&self, change: impl FnOnce(&mut Tape, Instant)) {
        let mut inner = locked(&self.inner);
        if let Some(tape) = &mut inner.tape
            && let Some(now) = self.executor.moment()
        {
            change(tape, now);
        }
    }
}

impl Trace {
    /// Marks a failure at the end, unless it is marked where it arose.
    pub(crate) fn mark_failure(&mut self, failure: &str) {
        let text = cut(failure.to_owned(), MOST_DETAIL);
        if !self.marks.iter().any(|mark| mark.text == text) {
            self.marks.push(Mark { at: self.end, text });
        }
    }
}

/// A call that is recorded and has not ended; dropping it ends the call as dropped.
#[must_use = "dropping it ends the call"]
pub struct OpenCall(Option<(Recorder, u64)>);

impl fmt::Debug for OpenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenCall").field(&self.0.as_ref().map(|(_, number)| number)).finish()
    }
}

impl OpenCall {
    /// Ends the call now; `detail` is shown with it, and only formatted when calls are recorded.
    pub fn end(mut self, end: CallEnd, detail: impl fmt::Display) {
        if let Some((recorder, number)) = self.0.take() {
            recorder.end_call(number, end, detail);
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        // A panic ends the run: whatever it drops was under way.
        if let Some((recorder, number)) = self.0.take()
            && !std::thread::panicking()
        {
            recorder.end_call(number, CallEnd::Dropped, "");
        }
    }
}

/// Shortens a text to a number of characters.
fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}
