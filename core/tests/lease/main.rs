//! Many leases on one stream: transcripts, one a rule, and the laws.

mod isolation;
mod judge;
mod late;
mod laws;
mod losses;
mod pace;
mod removal;
mod renewals;
mod rig;
mod server;
mod singles;
mod streams;
mod suspended;
