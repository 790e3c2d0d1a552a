//! Deterministic simulation of the etcd3 client, and of programs that use it.
//!
//! The *unchanged* client and the *real* h2 run on one thread, in virtual time, over a simulated
//! network, against a model etcd. Everything random comes from one `u64`: the same seed gives the
//! same run, step for step, and a failing seed can be run again.
//!
//! ```
//! use etcd3_sim::{ClusterConfig, Personality, run};
//! use etcd3::Config;
//!
//! let (revision, stats) = run(7, |world| async move {
//!     let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 5, 30), 7));
//!     let client = world.host().client(Config::new(etcd.endpoints()))?;
//!     client.put("k", "v").await?;
//!     etcd.kill(0);
//!     let answer = client.get("k").await?;
//!     Ok::<_, etcd3::Error>(answer.header.revision)
//! })?;
//! assert_eq!(revision?, 2);
//! assert!(stats.steps > 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bank;
mod batch;
mod etcd;
mod example;
mod executor;
mod explore;
pub mod faults;
pub mod generate;
pub mod history;
mod host;
mod lock;
pub mod model;
mod net;
mod pipe;
mod runtime;
mod server;
mod suffer;
pub mod trace;
mod world;

pub use batch::Batch;
pub use etcd::Etcd;
pub use etcd3;
#[doc(hidden)]
pub use example::{Outcome, example, example_with};
pub use explore::{Found, attempt, diagnose, explore, record};
pub use host::Host;
pub use model::{ClusterConfig, Personality};
pub use net::{CutLater, Direction, HostId, Link, Listener, Net, Reachability};
pub use pipe::{Cut, Travel};
pub use runtime::SimRuntime;
pub use trace::Trace;
pub use world::{RunError, Stats, World, run};
