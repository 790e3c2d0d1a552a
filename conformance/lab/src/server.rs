//! One etcd.

use crate::{Cluster, Member};
use std::ops::Deref;
use std::sync::Arc;

/// A single etcd, on loopback ports of its own, with data that is gone afterwards.
///
/// It has all methods of [`Member`]. Its drop ends the process and removes the data; so does the
/// end of the process that started it, however that ends.
#[derive(Debug)]
pub struct Server {
    member: Arc<Member>,
    _cluster: Cluster,
}

impl Server {
    pub(crate) fn of(cluster: Cluster) -> Self {
        Self { member: cluster.member(0), _cluster: cluster }
    }
}

impl Deref for Server {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}
