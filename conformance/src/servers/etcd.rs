//! Where the etcd of a case comes from.

use super::{Cluster, Members, Server, model, only_real};
use etcd3_lab::etcd::{Binary, Version};
use etcd3_lab::{ClusterBuilder, Error, Result, ServerBuilder};
use etcd3_sim::{Personality, World};

/// The etcd that a case runs against: a binary, or the model.
#[derive(Debug, Clone)]
pub struct EtcdSource {
    /// Its version; a model behaves like that one.
    pub version: Version,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Binary(Binary),
    Model(World),
}

impl From<Binary> for EtcdSource {
    fn from(binary: Binary) -> Self {
        Self { version: binary.version, source: Source::Binary(binary) }
    }
}

impl EtcdSource {
    /// Makes models of this version in a world.
    pub(crate) fn model(world: World, version: Version) -> Self {
        Self { version, source: Source::Model(world) }
    }

    /// Tells whether this is the model, in virtual time: nothing may block.
    pub fn is_model(&self) -> bool {
        matches!(self.source, Source::Model(_))
    }

    /// Returns the binary; a model has none.
    pub(crate) fn binary(&self) -> Result<Binary> {
        match &self.source {
            Source::Binary(binary) => Ok(binary.clone()),
            Source::Model(_) => Err(only_real("binary")),
        }
    }

    /// Starts a cluster and waits until all members are healthy.
    ///
    /// # Errors
    ///
    /// Fails when a member does not start, or the model cannot be as described.
    pub(crate) fn cluster(&self, builder: ClusterBuilder) -> Result<Cluster> {
        let members = match &self.source {
            Source::Binary(binary) => Members::Real(builder.version(binary).start()?),
            Source::Model(world) => {
                let personality = personality(self.version)?;
                Members::Model(world.etcd(model::config(
                    builder.spec(),
                    personality,
                    world.seed(),
                )?))
            }
        };
        Ok(Cluster(members))
    }

    /// Starts a server and waits until it is healthy.
    ///
    /// # Errors
    ///
    /// Fails when it does not start, or the model cannot be as described.
    pub(crate) fn server(&self, builder: ServerBuilder) -> Result<Server> {
        self.cluster(builder.into()).map(Server::of)
    }
}

fn personality(version: Version) -> Result<Personality> {
    let part = |part| u16::try_from(part).map_err(|_| Error::new("no version has such numbers"));
    Ok(Personality::of(part(version.major)?, part(version.minor)?, part(version.patch)?))
}
