//! Elections: one of several leads, and everybody can see who.

mod changes;
mod leader;

pub use changes::{LeaderChange, LeaderChanges};
pub use leader::Leader;
