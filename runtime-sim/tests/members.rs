//! Changes of the members whose answers are lost or late, and a look at clusters that do not do
//! well.
#![allow(clippy::unwrap_used, reason = "all of this is for tests")]

use etcd3::request::{Execute, Request};
use etcd3::{
    Client, Cluster, Config, Disagreement, Error, ErrorKind, MemberId, Outcome, ServerError,
};
use etcd3_sim::{
    ClusterConfig, Cut, CutLater, Direction, Etcd, Host, Link, Personality, Reachability, World,
    run,
};
use std::time::Duration;

/// Without optimisation only some of the cuts are made.
const STEP: usize = if cfg!(debug_assertions) { 7 } else { 1 };
const PEER: &str = "http://etcd-3:2380";

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Scene {
    etcd: Etcd,
    host: Host,
    client: Client,
}

/// A client that is connected to all members of a cluster that is as old as that.
async fn scene_of_age(world: &World, members: usize, age: Duration) -> Scene {
    let mut config = ClusterConfig::new(members, Personality::of(3, 5, 30), world.seed());
    config.age = age;
    let etcd = world.etcd(config);
    let host = world.host();
    let client = host.client(Config::new(etcd.endpoints())).unwrap();
    client.put("key", "value").await.unwrap();
    world.sleep(Duration::from_millis(500)).await;
    assert_eq!(host.connections(), members);
    Scene { etcd, host, client }
}

async fn scene(world: &World, members: usize) -> Scene {
    scene_of_age(world, members, seconds(3600)).await
}

impl Scene {
    fn cluster(&self) -> Cluster {
        self.client.cluster()
    }

    fn changes(&self) -> usize {
        self.etcd.model(|cluster, _| cluster.membership_changes())
    }

    fn cut(&self, world: &World, later: CutLater) {
        for member in 0..self.etcd.members() {
            world.net().cut_later(self.host.id(), self.etcd.address(member), later);
        }
    }

    fn set_links(&self, world: &World, link: Link) {
        for member in 0..self.etcd.members() {
            world.net().set_link(self.host.id(), self.etcd.address(member), link);
        }
    }

    /// Adds a learner and starts it.
    async fn learner(&self, world: &World) -> MemberId {
        let id = self.cluster().member_add([PEER]).learner().await.unwrap().member.id;
        self.etcd.join(id.0);
        world.sleep(seconds(1)).await;
        id
    }
}

/// Makes a change across each of many cuts, and checks what it has done.
fn across_all_cuts<T, F>(change: impl Fn(Cluster, MemberId) -> Request<T> + Copy + 'static, done: F)
where
    T: Execute<Output = Result<F::Answer, Error>> + 'static,
    F: Done,
{
    let mut made_anew = 0;
    for direction in [Direction::Up, Direction::Down] {
        for cut in [Cut::Reset, Cut::Fin, Cut::Stall] {
            for bytes in (0..200).step_by(STEP) {
                let later = CutLater { direction, bytes, cut };
                let ran = run(3, move |world| async move {
                    let scene = scene(&world, 1).await;
                    let learner = scene.learner(&world).await;
                    let made = world.net().connections_made();
                    let before = scene.changes();
                    scene.cut(&world, later);
                    let request = change(scene.cluster(), learner).timeout(seconds(60));
                    let answer = request.await.unwrap_or_else(|error| panic!("{later:?}: {error}"));
                    assert_eq!(scene.changes(), before + 1, "{later:?}");
                    done.check(&answer, learner, &later);
                    world.net().connections_made() - made
                });
                made_anew += ran.unwrap().0;
            }
        }
    }
    assert!(made_anew > 5, "the cuts met no call: {made_anew}");
}

/// What an answer says.
trait Done: Copy + 'static {
    type Answer;

    fn check(self, answer: &Self::Answer, learner: MemberId, later: &CutLater);
}

macro_rules! done {
    ($name:ident: $answer:ty, $check:expr) => {
        #[derive(Clone, Copy)]
        struct $name;

        impl Done for $name {
            type Answer = $answer;

            fn check(self, answer: &$answer, learner: MemberId, later: &CutLater) {
                let check: fn(&$answer, MemberId) -> bool = $check;
                assert!(check(answer, learner), "{later:?}: {answer:?}");
                assert!(answer.header.cluster_id > 0 && answer.header.revision == 0);
            }
        }
    };
}

done!(Promoted: etcd3::MemberPromoteResponse, |it, learner| {
    it.members.iter().any(|member| member.id == learner && !member.is_learner)
});
done!(Removed: etcd3::MemberRemoveResponse, |it, learner| {
    it.members.len() == 1 && it.members[0].id != learner
});
done!(Updated: etcd3::MemberUpdateResponse, |it, learner| {
    let urls = |id| it.members.iter().find(|member| member.id == id).map(|it| &it.peer_urls[..]);
    urls(learner) == Some(&["http://elsewhere:2380".to_owned()])
});

// Case 8: whatever is cut after whichever byte, the learner is promoted once, and that is told.
#[test]
fn a_promotion_whose_answer_is_lost_is_no_failure() {
    across_all_cuts(|cluster, learner| cluster.member_promote(learner), Promoted);
}

#[test]
fn a_removal_whose_answer_is_lost_is_no_failure() {
    across_all_cuts(|cluster, learner| cluster.member_remove(learner), Removed);
}

#[test]
fn an_update_whose_answer_is_lost_is_no_failure() {
    let urls = ["http://elsewhere:2380"];
    across_all_cuts(move |cluster, learner| cluster.member_update(learner, urls), Updated);
}

// M17: a repetition is told that the addresses exist.
#[test]
fn an_addition_whose_answer_is_lost_adds_one_member() {
    let mut made_anew = 0;
    for direction in [Direction::Up, Direction::Down] {
        for bytes in (0..200).step_by(STEP) {
            for is_learner in [false, true] {
                let later = CutLater { direction, bytes, cut: Cut::Reset };
                let ran = run(3, move |world| async move {
                    let scene = scene(&world, 3).await;
                    let made = world.net().connections_made();
                    scene.cut(&world, later);
                    let add = scene.cluster().member_add([PEER]).timeout(seconds(60));
                    let add = if is_learner { add.learner() } else { add };
                    let added = add.await.unwrap_or_else(|error| panic!("{later:?}: {error}"));
                    assert_eq!((added.members.len(), scene.changes()), (4, 1), "{later:?}");
                    assert!(added.members.contains(&added.member), "{later:?}");
                    assert_eq!(added.member.peer_urls, [PEER]);
                    assert_eq!(added.member.is_learner, is_learner, "{later:?}");
                    world.net().connections_made() - made
                });
                made_anew += ran.unwrap().0;
            }
        }
    }
    assert!(made_anew > 5, "the cuts met no call: {made_anew}");
}

// M14: the second voter of a single member takes its majority away, and its answer was lost: what
// the one member knows tells.
#[test]
fn what_no_majority_confirms_is_still_known_to_have_happened() {
    run(5, |world| async move {
        let scene = scene(&world, 1).await;
        scene.cut(&world, CutLater { direction: Direction::Down, bytes: 0, cut: Cut::Reset });
        let added = scene.cluster().member_add([PEER]).timeout(seconds(20)).await.unwrap();
        assert_eq!((added.members.len(), scene.changes()), (2, 1));
        let error = scene.cluster().member_list().timeout(seconds(1)).await.unwrap_err();
        assert!(error.is_timeout(), "{error}");
        let known = scene.cluster().member_list().serializable().await.unwrap();
        assert_eq!(known.members, added.members);

        // So does a view.
        let view = scene.cluster().view().await.unwrap();
        assert!(!view.is_confirmed);
        assert_eq!(view.tolerated_failures(), None);
        let new = view.member(added.member.id).unwrap();
        assert_eq!((&new.endpoint, &new.status), (&None, &None));
    })
    .unwrap();
}

#[test]
fn what_cannot_be_settled_in_time_is_unknown() {
    run(7, |world| async move {
        let scene = scene(&world, 3).await;
        let began = world.now();
        let silent = Link { stall_down: true, ..Link::default() };
        scene.set_links(&world, silent);
        let add = scene.cluster().member_add([PEER]).timeout(seconds(4));
        let error = add.wait_until_accepted(seconds(60)).await.unwrap_err();
        let took = world.now().saturating_since(began);
        assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
        assert!(took <= seconds(4), "{took:?}");
        assert_eq!(error.method(), Some("/etcdserverpb.Cluster/MemberAdd"));
        assert_eq!(scene.changes(), 1, "it was added all the same");
    })
    .unwrap();
}

// Case 8: only the list decides what "not a learner" means.
#[test]
fn what_is_not_in_the_list_is_not_found() {
    run(9, |world| async move {
        let scene = scene(&world, 3).await;
        let cluster = scene.cluster();
        let nobody = MemberId(7);
        let voter = cluster.member_list().await.unwrap().members[0].id;
        for (request, expected) in [
            (cluster.member_promote(nobody), ServerError::MemberNotFound),
            (cluster.member_promote(voter), ServerError::MemberNotLearner),
        ] {
            let error = request.await.unwrap_err();
            assert_eq!(error.server_error(), Some(expected), "{error}");
            assert_eq!(error.outcome(), Outcome::Rejected);
        }
        // The same when an answer is lost, which may have been that of a server that did it.
        for later in [0, 40] {
            let cut = CutLater { direction: Direction::Down, bytes: later, cut: Cut::Reset };
            scene.cut(&world, cut);
            let error = cluster.member_promote(nobody).await.unwrap_err();
            assert_eq!(error.server_error(), Some(ServerError::MemberNotFound), "{error}");
            world.sleep(seconds(1)).await;
        }
        assert_eq!(scene.changes(), 0);
    })
    .unwrap();
}

// Case 7, CLU-024
#[test]
fn a_change_right_after_the_start_waits_or_says_why_not() {
    run(11, |world| async move {
        let scene = scene_of_age(&world, 3, Duration::ZERO).await;
        let began = world.now();
        for error in [
            scene.cluster().member_add([PEER]).learner().await.map(drop).unwrap_err(),
            scene.cluster().member_remove(scene.etcd.member_id(0)).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.server_error(), Some(ServerError::Unhealthy));
            assert_eq!((error.outcome(), error.attempts()), (Outcome::Rejected, 1), "{error}");
        }
        assert!(world.now().saturating_since(began) < Duration::from_millis(100));

        let add = || scene.cluster().member_add([PEER]).learner();
        let error = add().wait_until_accepted(seconds(1)).await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::Unhealthy));
        let waited = world.now().saturating_since(began);
        assert!((seconds(1)..Duration::from_millis(1100)).contains(&waited), "{waited:?}");

        let added = add().wait_until_accepted(seconds(10)).await.unwrap();
        let since_start = world.now().as_nanos() / 1_000_000;
        assert!((5_000..5_500).contains(&since_start), "{since_start} ms");
        assert_eq!((added.members.len(), scene.changes()), (4, 1));

        // What does not pass ends the wait.
        world.sleep(seconds(1)).await;
        let began = world.now();
        let error = add().wait_until_accepted(seconds(60)).await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::PeerUrlExist));
        assert!(world.now().saturating_since(began) < seconds(1));
    })
    .unwrap();
}

// M13, CLU-014
#[test]
fn a_learner_is_promoted_once_when_it_is_in_sync() {
    run(13, |world| async move {
        let scene = scene(&world, 3).await;
        let learner = scene.cluster().member_add([PEER]).learner().await.unwrap().member.id;
        let promote = || scene.cluster().member_promote(learner);
        let error = promote().await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::LearnerNotReady));
        assert_eq!(error.outcome(), Outcome::Rejected);
        let (starting, etcd) = (world.clone(), scene.etcd.clone());
        scene.host.spawn(async move {
            starting.sleep(seconds(20)).await;
            etcd.join(learner.0);
        });
        let began = world.now();
        let promoted = promote().wait_until_in_sync(seconds(60)).await.unwrap();
        let waited = world.now().saturating_since(began);
        assert!((seconds(20)..seconds(22)).contains(&waited), "{waited:?}");
        assert_eq!(promoted.members.iter().filter(|member| !member.is_learner).count(), 4);
        assert_eq!(scene.changes(), 2);
        let error = promote().wait_until_in_sync(seconds(60)).await.unwrap_err();
        assert_eq!(error.server_error(), Some(ServerError::MemberNotLearner));
    })
    .unwrap();
}

// Case 9
#[test]
fn a_member_that_is_not_reached_delays_no_other() {
    run(15, |world| async move {
        let scene = scene(&world, 3).await;
        let black_hole = Link { reachability: Reachability::Hang, ..Link::default() };
        let address = scene.etcd.address(1);
        world.net().set_link(scene.host.id(), address, black_hole);
        world.net().cut(scene.host.id(), address, Cut::Stall);
        let began = world.now();
        let view = scene.cluster().view().timeout(seconds(2)).await.unwrap();
        let took = world.now().saturating_since(began);
        assert!((seconds(2)..Duration::from_millis(2200)).contains(&took), "{took:?}");
        assert!(view.is_confirmed);
        let dead = view.member(scene.etcd.member_id(1)).unwrap();
        let error = dead.error().unwrap();
        assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
        assert_eq!(error.endpoint(), Some("http://etcd-1:2379"), "{error}");
        for member in [0, 2] {
            let status = view.member(scene.etcd.member_id(member)).unwrap().status().unwrap();
            assert_eq!(status.version, "3.5.30");
        }
        assert_eq!((view.tolerated_failures(), &view.disagreements[..]), (Some(0), &[][..]));
        let leader = scene.etcd.model(|cluster, _| cluster.leader());
        assert_eq!(view.leader, leader.map(MemberId));
    })
    .unwrap();
}

#[test]
fn a_cluster_in_an_election_disagrees_for_a_moment() {
    run(17, |world| async move {
        let scene = scene(&world, 3).await;
        let leader = scene.etcd.model(|cluster, _| cluster.leader()).unwrap();
        let at = (0..3).find(|member| scene.etcd.member_id(*member) == leader).unwrap();
        scene.etcd.isolate(at);
        world.sleep(seconds(10)).await;
        let view = scene.cluster().view().await.unwrap();
        let [Disagreement::Leader { named, .. }] = &view.disagreements[..] else {
            panic!("{:?}", view.disagreements)
        };
        assert_eq!(named[&MemberId(leader)], None, "{named:?}");
        assert!(view.leader.is_some_and(|new| new != leader));
        assert_eq!(view.tolerated_failures(), Some(0));
        scene.etcd.heal();
    })
    .unwrap();
}
