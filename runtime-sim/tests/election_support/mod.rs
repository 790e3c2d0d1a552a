//! What tests of elections begin with and look at.
#![allow(dead_code, reason = "each program of tests uses a part")]

use crate::lease_support::{Scene, seconds};
use etcd3::recipes::{Election, Leadership, RecipeError};
use etcd3::{Client, LossReason, Session, prefix};
use etcd3_sim::{Cut, World};

/// A leader by the one client, and another client's session that waits or is to.
pub(crate) struct Two {
    pub(crate) theirs: Session,
    pub(crate) leader: Leadership,
    pub(crate) session: Session,
    pub(crate) election: Election,
}

pub(crate) async fn two(scene: &Scene) -> Two {
    let theirs = scene.observer.session(seconds(60)).await.unwrap();
    let leader = Election::new(&theirs, "e").campaign("theirs").await.unwrap();
    let session = scene.client.session(seconds(10)).await.unwrap();
    let election = Election::new(&session, "e");
    Two { theirs, leader, session, election }
}

/// Returns the values of all candidates, in the order of their keys' creation.
pub(crate) async fn candidates(client: &Client) -> Vec<String> {
    let keys = client.get(prefix("e/"));
    let found = keys.sort(etcd3::SortTarget::Create, etcd3::SortOrder::Ascend).await.unwrap();
    found.kvs.iter().map(|pair| pair.value_str().unwrap().to_owned()).collect()
}

pub(crate) fn cut(world: &World, scene: &Scene) {
    for member in 0..3 {
        world.net().cut(scene.host.id(), scene.etcd.address(member), Cut::Reset);
    }
}

pub(crate) fn reason(error: RecipeError) -> LossReason {
    match error {
        RecipeError::SessionLost(lost) => lost.reason,
        other => panic!("{other}"),
    }
}
