//! What examples in documentation run in.

use crate::etcd::Etcd;
use crate::model::{ClusterConfig, Personality};
use crate::world::{World, run};
use etcd3::{Client, Config};
use std::error::Error;
use std::future::Future;

/// What an example ends in.
pub type Outcome = Result<(), Box<dyn Error>>;

/// Runs an example with a client of a cluster of three members.
///
/// # Panics
///
/// When the example fails.
#[track_caller]
pub fn example<F: Future<Output = Outcome>>(program: impl FnOnce(Client) -> F) {
    example_with(|client, _, _| program(client));
}

/// Runs an example with a client, its cluster of three members, and the world of both.
///
/// # Panics
///
/// When the example fails.
#[track_caller]
pub fn example_with<F: Future<Output = Outcome>>(program: impl FnOnce(Client, Etcd, World) -> F) {
    let ran = run(1, |world| async move {
        let etcd = world.etcd(ClusterConfig::new(3, Personality::of(3, 7, 3), world.seed()));
        // Nobody listens on this network.
        let config = Config::new(etcd.endpoints()).allow_plaintext_passwords();
        let client = world.host().client(config)?;
        program(client, etcd, world).await
    });
    if let Err(error) = ran.map_err(Into::into).and_then(|(outcome, _)| outcome) {
        panic!("the example failed: {error}");
    }
}
