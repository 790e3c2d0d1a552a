//! gRPC on top of the events of one HTTP/2 stream.

mod inbound;
mod opening;
mod pace;
pub mod raw;
pub mod server_stream;

pub use inbound::{End, Inbound, Received};
pub(crate) use opening::Opening;
pub(crate) use pace::Pace;
