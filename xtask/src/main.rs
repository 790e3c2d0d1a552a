//! Skeleton.
#![forbid(unsafe_code)]
fn main() {}
