//! What a case is.

use crate::Ctx;
use crate::case_result::{CaseFuture, CaseResult};
use etcd3_lab::etcd::Version;
use std::time::Duration;

/// The longest that a case may take.
const CASE_LIMIT: Duration = Duration::from_secs(150);

/// One thing that must hold, on every runtime and against every server that it is meant for.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name: module and function.
    pub name: &'static str,
    /// The rows of the scenarios that it covers, five at most.
    pub ids: &'static [&'static str],
    /// What it needs.
    pub needs: Needs,
    /// The file it stands in, from the root of the workspace.
    pub file: &'static str,
    /// The line of its registration.
    pub line: u32,
    /// Its body.
    pub run: fn(Ctx) -> CaseFuture,
}

/// What a case needs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Needs {
    /// The first version that can pass it.
    pub since: Option<Version>,
    /// Whether the version of the server makes no difference: it then runs against the newest one.
    pub is_versionless: bool,
    /// What it needs that only the machine has, if anything: the model then does without the case.
    pub real: Option<&'static str>,
    /// Whether it runs a second time over TLS, on real servers.
    pub and_tls: bool,
}

impl Case {
    /// Returns the module and function of the case.
    pub(crate) fn short_name(&self) -> &'static str {
        self.name.rsplit("cases::").next().unwrap_or(self.name)
    }

    /// Runs the case to its end, unless that takes longer than any case may.
    pub(crate) async fn run_in(self, ctx: Ctx) -> CaseResult {
        let ctx = ctx.named(self.short_name());
        match ctx.within(CASE_LIMIT, (self.run)(ctx.clone())).await {
            Some(result) => result,
            None => Err(format!("took longer than {CASE_LIMIT:?}").into()),
        }
    }

    /// Restricts the case to servers of this version and later.
    #[must_use]
    pub const fn since(mut self, version: Version) -> Self {
        self.needs.since = Some(version);
        self
    }

    /// Marks the case as one that is not about the server: one version will do.
    #[must_use]
    pub const fn any_version(mut self) -> Self {
        self.needs.is_versionless = true;
        self
    }

    /// Marks the case as one that needs real servers or real sockets, and says for what.
    #[must_use]
    pub const fn real(mut self, what_for: &'static str) -> Self {
        self.needs.real = Some(what_for);
        self
    }

    /// Makes the case run a second time, with servers and clients that speak TLS, where servers are
    /// real. Its servers come from the [`Ctx`], and its clients from there or from configurations
    /// that do ([`Ctx::config`]).
    #[must_use]
    pub const fn plain_and_tls(mut self) -> Self {
        self.needs.and_tls = true;
        self
    }
}

/// Registers an `async fn(Ctx) -> CaseResult` as a [`Case`] that covers these rows.
#[macro_export]
macro_rules! case {
    ($function:ident, [$($id:literal),* $(,)?]) => {
        $crate::Case {
            name: concat!(module_path!(), "::", stringify!($function)),
            ids: &[$($id),*],
            needs: $crate::Needs {
                since: None,
                is_versionless: false,
                real: None,
                and_tls: false,
            },
            file: file!(),
            line: line!(),
            run: |ctx| Box::pin($function(ctx)),
        }
    };
}
