//! Locks, elections, transactions in memory, queues and mirrors, made of the client's operations.
//!
//! Nothing here can do what a program could not: the recipes use the public API alone, and so may
//! be taken as models. Each says when it is lost, and whoever holds something has a *fence*: a
//! [`Compare`](crate::Compare) for the transactions that only the holder may make. A lock of etcd
//! is advice without it, since a holder that was suspended does not know yet that it is none any
//! more.
//!
//! What is given up by a drop is deleted in the background;
//! [`Client::close`](crate::Client::close) waits for that.
//!
//! Those that hold something take a [`Session`](crate::Session), and end with it. What they wait
//! for is waited for across lost connections, members and compactions, and a wait ends at once
//! when its session does.

mod barrier;
mod contender;
mod counter;
mod double_barrier;
mod election;
mod error;
mod guard;
pub mod mirror;
mod mutex;
mod queue;
mod race;
mod retry;
mod rw_lock;
mod semaphore;
mod stm;
mod unique;
mod view;

pub use barrier::Barrier;
pub use counter::Counter;
pub use double_barrier::{DoubleBarrier, DoubleBarrierGuard};
pub use election::{Election, Leader, LeaderChange, LeaderChanges, LeaderLatch, Leadership};
pub use error::{ClaimUnknown, RecipeError};
pub use mutex::{Mutex, MutexGuard};
pub use queue::{PriorityQueue, Queue};
pub use rw_lock::{RwLock, RwLockGuard};
pub use semaphore::{Permit, Semaphore};
pub use stm::{
    Committed, Interrupted, Isolation, Stm, StmError, StmToken, TokenState, Transaction,
};
