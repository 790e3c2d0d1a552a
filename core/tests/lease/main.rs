//! Many leases on one stream: transcripts, one a rule, and the laws.

mod isolation;
mod late;
mod losses;
mod pace;
mod removal;
mod renewals;
mod rig;
mod singles;
mod streams;
mod suspended;
