//! Fuzz targets as plain functions: each takes any bytes and panics when an invariant is broken.
//!
//! libFuzzer runs them through `fuzz_targets/`, and `tests/replay.rs` runs every file of `corpus/`
//! and `regressions/` through them on a stable compiler. The bytes are read by `arbitrary`, so that
//! a mutation of a few of them changes one step of a run and not all of it.
#![forbid(unsafe_code)]

mod auth_machine;
mod call;
mod channel;
mod config_text;
mod endpoint_url;
mod frame;
mod h2_hostile;
mod key_range;
mod lease_machine;
mod model;
mod status;
mod txn_shape;
mod watch_machine;
mod watch_vs_model;

pub use auth_machine::auth_machine;
pub use call::call;
pub use channel::channel;
pub use config_text::config_text;
pub use endpoint_url::endpoint_url;
pub use frame::frame;
pub use h2_hostile::h2_hostile;
pub use key_range::key_range;
pub use lease_machine::lease_machine;
pub use model::model;
pub use status::status;
pub use txn_shape::txn_shape;
pub use watch_machine::watch_machine;
pub use watch_vs_model::watch_vs_model;

use arbitrary::{Arbitrary, Unstructured};

/// Reads the head of a run, and steps as long as there are bytes, but so many at most.
fn steps<'a, H: Arbitrary<'a>, S: Arbitrary<'a>>(
    data: &'a [u8],
    most: usize,
) -> Option<(H, Vec<S>)> {
    let mut data = Unstructured::new(data);
    let head = data.arbitrary().ok()?;
    let mut steps = Vec::new();
    while !data.is_empty() && steps.len() < most {
        steps.push(data.arbitrary().ok()?);
    }
    Some((head, steps))
}

/// Reads one structured input; bytes that are too few for it are no input.
fn input<'a, T: Arbitrary<'a>>(data: &'a [u8]) -> Option<T> {
    Unstructured::new(data).arbitrary().ok()
}
