//! One suite of cases for every runtime and every etcd version.
//!
//! A [`Case`] names the rows of `data/scenarios.tsv` that it covers and asserts what stands in
//! their column `then`. It is written once; a runtime gets the whole suite by one macro, in a test
//! target with `harness = false`:
//!
//! ```no_run
//! etcd3_conformance::suite! {
//!     name: "smol",
//!     runtime: || etcd3_smol::Smol::global(),
//!     block_on: |case| smol::block_on(case),
//! }
//! ```
//!
//! Each case runs against every etcd that [`etcd3_lab::etcd::fetch`] finds, on servers of its own;
//! not on every runtime in every run, but on one of them, by turns, and elsewhere against the
//! newest. The simulator gets the suite by the same macro; there the etcd is a model, and a case
//! that needs more is left out ([`Case::real`]):
//!
//! ```no_run
//! etcd3_conformance::suite! { name: "sim", seed: 1 }
//! ```
//!
//! The arguments of a test binary work as usual; `cargo xtask coverage` counts the rows.
#![forbid(unsafe_code)]
// Cases are tests: they panic where something is not as it should be.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod backup;
pub mod bank;
pub mod cancel;
mod case;
mod case_result;
pub mod cases;
mod ctx;
pub mod differential;
pub mod failover;
mod harness;
pub mod interop;
pub mod lease_torture;
pub mod load;
pub mod many_leases;
pub mod membership;
pub mod paging;
pub mod peer;
mod proxies;
pub mod raw;
mod results;
pub mod rolling;
mod servers;
pub mod short_tokens;
mod simulated;
pub mod soak;
mod task;
pub mod torture;
mod trial;
mod turns;
pub mod upgrade;
pub mod watching;

pub use case::{Case, Needs};
pub use case_result::{BoxError, CaseFuture, CaseResult};
pub use ctx::Ctx;
pub use etcd3_lab::{ClusterBuilder, ServerBuilder};
pub use harness::{Environment, SuiteRuntime, main};
pub use servers::{Cluster, EtcdSource, Member, Newcomer, Server, WatchCounts};
pub use task::JoinHandle;

/// Makes the `main` of a test target that runs the suite on one runtime.
///
/// `name` names it in results, `runtime` makes the [`Runtime`](etcd3::runtime::Runtime) and is
/// called within `block_on`, which runs one case to its end. With a `seed` instead of the two,
/// cases run in simulations that begin with it, or with what the variable `ETCD3_SEED` says.
#[macro_export]
macro_rules! suite {
    (name: $name:literal, runtime: $runtime:expr, block_on: $block_on:expr $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::main($crate::SuiteRuntime {
                name: $name,
                environment: $crate::Environment::Machine {
                    runtime: || std::sync::Arc::new(($runtime)()),
                    block_on: |case| ($block_on)(case),
                },
            })
        }
    };
    (name: $name:literal, seed: $seed:expr $(,)?) => {
        fn main() -> std::process::ExitCode {
            $crate::main($crate::SuiteRuntime {
                name: $name,
                environment: $crate::Environment::Simulation { seed: $seed },
            })
        }
    };
}

/// Compiles the examples of the README and of `docs/`, and runs those that need no server.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/configuration.md")]
    struct Configuration;
    #[doc = include_str!("../../docs/backups.md")]
    struct Backups;
    #[doc = include_str!("../../docs/authentication.md")]
    struct Authentication;

    #[doc = include_str!("../../docs/embedding-the-core.md")]
    struct EmbeddingTheCore;

    #[doc = include_str!("../../docs/leases.md")]
    struct Leases;

    #[doc = include_str!("../../docs/many-calls-at-once.md")]
    struct ManyCallsAtOnce;

    #[doc = include_str!("../../docs/members.md")]
    struct Members;

    #[doc = include_str!("../../docs/migrating-from-clientv3.md")]
    struct MigratingFromClientv3;

    #[doc = include_str!("../../docs/migrating-from-etcd-client.md")]
    struct MigratingFromEtcdClient;

    #[doc = include_str!("../../docs/operating.md")]
    struct Operating;
    #[doc = include_str!("../../docs/observing.md")]
    struct Observing;

    #[doc = include_str!("../../docs/recipes.md")]
    struct Recipes;

    #[doc = include_str!("../../docs/testing-with-etcd3-sim.md")]
    struct TestingWithEtcd3Sim;

    #[doc = include_str!("../../docs/watching.md")]
    struct Watching;

    #[doc = include_str!("../../docs/when-members-fail.md")]
    struct WhenMembersFail;
}
