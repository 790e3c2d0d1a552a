//! Requests to the services `Lock` and `Election`, which run the algorithms of locks and elections
//! within the server.
//!
//! Each waiting caller has a key under the name, attached to its lease, and has its turn when those
//! before it are gone. The answer comes once it is: also to a caller that is not there any more,
//! whose key stays until its lease ends. So a lock can be held, and an election be won, by a dead
//! candidate.
//!
//! A lease of 0 means one of 60 seconds that the server grants and nobody renews.

// X36

mod election;
mod lock;

pub use election::{
    Campaign, CampaignResponse, ElectedKey, Leader, LeaderResponse, Proclaim, ProclaimResponse,
    Resign, ResignResponse, campaign, leader, observe, observed, proclaim, resign,
};
pub use lock::{Lock, LockResponse, Unlock, UnlockResponse, lock, unlock};
