//! Many watches on one stream: transcripts, one a rule, and the laws.

mod cancel;
mod cluster;
mod create;
mod fragments;
mod hostile;
mod laws;
mod namespace;
mod overflow;
mod progress;
mod refusals;
mod resume;
mod rig;
mod silence;
