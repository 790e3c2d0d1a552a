//! Many watches on one stream: transcripts, one a rule, and the laws.

mod create;
mod rig;
