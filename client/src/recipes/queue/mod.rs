//! Queues: items under a prefix, each taken by one reader.

mod claim;
mod fifo;
mod items;
mod priority;

pub use fifo::Queue;
pub use priority::PriorityQueue;
