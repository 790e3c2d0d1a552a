//! One call, as it is counted, and shown as a span.

use crate::metrics::{CallClass, Counters};
use crate::pool::Pool;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::error::Error;
use etcd3_core::method::Method;
use etcd3_core::{Instant, Outcome};

/// What is noted of a call while it is under way.
pub(crate) struct Tally {
    class: CallClass,
    is_over: bool,
    began: Instant,
    #[cfg(feature = "tracing-spans")]
    pub(crate) span: tracing::Span,
}

impl Tally {
    /// Notes the beginning of a call.
    pub(crate) fn begin(pool: &Pool, now: Instant, method: &Method) -> Self {
        let class = CallClass::of(method);
        pool.telemetry.counters.of(class).started.add(1);
        Self {
            class,
            is_over: false,
            began: now,
            #[cfg(feature = "tracing-spans")]
            span: crate::trace::span_of_call(method.path),
        }
    }

    /// Notes its end; a success after so many attempts.
    pub(crate) fn end(
        &mut self,
        pool: &Pool,
        now: Instant,
        last: Option<&Endpoint>,
        result: Result<u32, &Error>,
    ) {
        self.is_over = true;
        let counters = &pool.telemetry.counters;
        let calls = counters.of(self.class);
        let attempts = match result {
            Ok(attempts) => {
                calls.succeeded.add(1);
                counters.note_latency(self.class, now.saturating_since(self.began));
                attempts
            }
            Err(error) => {
                count_failure(counters, self.class, error);
                error.attempts()
            }
        };
        calls.attempts.add(u64::from(attempts));
        if attempts > 1 {
            calls.retries.add(u64::from(attempts - 1));
        }
        #[cfg(feature = "tracing-spans")]
        crate::trace::end_span(&self.span, last, result);
        #[cfg(not(feature = "tracing-spans"))]
        let _ = last;
    }

    /// Notes that nobody waits for it any more, unless it is over.
    pub(crate) fn drop_call(&self, pool: &Pool) {
        if !self.is_over {
            pool.telemetry.counters.of(self.class).dropped.add(1);
        }
    }
}

#[cold]
fn count_failure(counters: &Counters, class: CallClass, error: &Error) {
    let calls = counters.of(class);
    let counter = match error.outcome() {
        Outcome::NotSent => &calls.not_sent,
        Outcome::Rejected => &calls.rejected,
        Outcome::Unknown => &calls.unknown,
    };
    counter.add(1);
    if error.is_timeout() {
        calls.timed_out.add(1);
    }
}
