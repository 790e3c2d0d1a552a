//! gRPC on top of the events of one HTTP/2 stream.

mod inbound;
pub mod raw;
pub mod server_stream;

pub use inbound::{End, Inbound, Received};
