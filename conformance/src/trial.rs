//! One case against one version, as a test of libtest-mimic.

use crate::results::{self, Subject};
use crate::{Case, CaseResult};
use libtest_mimic::{Failed, Trial};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How the clients and servers of a trial speak with each other: in plain text or over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    Plain,
    Tls,
}

/// Returns the name of a case as trials and results have it, in plain text or over TLS.
pub(crate) fn name_of(case: &Case, encryption: Encryption) -> String {
    let suffix = if encryption == Encryption::Tls { "/tls" } else { "" };
    format!("{}{suffix}", case.short_name())
}

/// One case against one version, with a line in the results.
pub(crate) fn trial(subject: Subject, run: impl FnOnce() -> CaseResult + Send + 'static) -> Trial {
    Trial::test(format!("{}::etcd_{}", subject.name, subject.version), move || {
        let started = std::time::Instant::now();
        let result = run();
        results::record(&subject, result.is_ok(), started.elapsed());
        result.map_err(|error| Failed::from(told(&*error)))
    })
}

/// Writes an error in one line, its causes included.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<etcd3::Error>() {
        Some(error) => error.report().to_string(),
        None => error
            .source()
            .map_or_else(|| error.to_string(), |cause| format!("{error}: {}", told(cause))),
    }
}

/// Runs a case, and makes an error of its panic.
pub(crate) fn caught(run: impl FnOnce() -> CaseResult) -> CaseResult {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(message(&*panic).into()))
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_else(|| "panicked".to_owned())
}
