//! From an endpoint to HTTP/2 streams: names, addresses, sockets, h2.

mod coalesce;
pub(crate) mod dial;
pub(crate) mod exchange;
mod happy_eyeballs;
mod preface;
