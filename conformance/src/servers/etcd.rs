//! Where the etcd of a case comes from.

use super::{Cluster, ClusterBuilder, Members, only_real};
use etcd3_lab::etcd::{Binary, Version};
use etcd3_lab::{Error, Result};
use etcd3_sim::{Personality, World};

/// The etcd that a case runs against: a binary, or the model.
#[derive(Debug, Clone)]
pub struct Etcd {
    /// Its version; a model behaves like that one.
    pub version: Version,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Binary(Binary),
    Model(World),
}

impl From<Binary> for Etcd {
    fn from(binary: Binary) -> Self {
        Self { version: binary.version, source: Source::Binary(binary) }
    }
}

impl Etcd {
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

    pub(super) fn start(&self, builder: &ClusterBuilder) -> Result<Cluster> {
        match &self.source {
            Source::Binary(binary) => {
                Ok(Cluster(Members::Real(builder.lab().version(binary).start()?)))
            }
            Source::Model(world) => {
                let config = builder.model(personality(self.version)?, world.seed())?;
                Ok(Cluster(Members::Model(world.etcd(config))))
            }
        }
    }
}

fn personality(version: Version) -> Result<Personality> {
    let part = |part| u16::try_from(part).map_err(|_| Error::new("no version has such numbers"));
    Ok(Personality::of(part(version.major)?, part(version.minor)?, part(version.patch)?))
}
