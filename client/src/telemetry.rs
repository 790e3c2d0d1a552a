//! What a client tells of itself to those who watch programs: counters, and the trace that a call
//! belongs to.

use crate::Config;
use crate::metrics::Counters;
use http::HeaderValue;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What the pools of a client share.
#[derive(Debug, Default)]
pub(crate) struct Telemetry {
    pub(crate) counters: Counters,
    trace_context: Option<TraceContext>,
}

/// A function that tells the trace of the moment.
#[derive(Clone)]
pub(crate) struct TraceContext(Arc<dyn Fn() -> Option<String> + Send + Sync>);

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TraceContext")
    }
}

impl Telemetry {
    pub(crate) fn new(config: &Config) -> Arc<Self> {
        let counters = Counters::new(config.measure_latencies);
        Arc::new(Self { counters, trace_context: config.trace_context.clone() })
    }

    /// Returns what a request that is sent now is to tell of its trace.
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        let TraceContext(tell) = self.trace_context.as_ref()?;
        // It would end the task that asks, and with that of the tokens the client.
        let told = catch_unwind(AssertUnwindSafe(|| tell())).ok()?;
        HeaderValue::try_from(told?).ok()
    }
}

impl Config {
    /// Sets a function that tells which trace the program is in, in the form of the header
    /// `traceparent` of W3C's Trace Context, as in
    /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`. A server that traces makes its
    /// spans part of that trace.
    ///
    /// It is asked for each request that is sent, on the thread and in the poll of the call, and
    /// must not block; with `None` from it, when it panics, and with what is no value of a header,
    /// the request goes without. Streams of watches and leases belong to no trace of a caller: for
    /// them it is asked by their task.
    ///
    /// # Examples
    ///
    /// ```
    /// use etcd3::Config;
    ///
    /// fn current_traceparent() -> Option<String> {
    ///     // From the context of OpenTelemetry, for example.
    ///     None
    /// }
    ///
    /// let config = Config::new(["http://10.0.0.1:2379"]).trace_context(current_traceparent);
    /// # let _ = config;
    /// ```
    // OBS-004
    #[must_use]
    pub fn trace_context(
        mut self,
        traceparent: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.trace_context = Some(TraceContext(Arc::new(traceparent)));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Also asked by the tasks of the client, which a panic would end: that of its tokens with all.
    #[test]
    fn a_request_goes_without_a_trace_when_the_function_panics() {
        let config = Config::new(["http://a"]).trace_context(|| panic!("the function has a bug"));
        assert_eq!(Telemetry::new(&config).traceparent(), None);
    }
}
