//! A look at the whole cluster: its members, how each does, and what they do not agree on.

use super::Cluster;
use super::look;
use crate::call::CallOptions;
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::MemberId;
use etcd3_core::request::cluster::Member;
use etcd3_core::request::maintenance::MemberStatus;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The members of a cluster, how each does, and what they do not agree on; made by
/// [`Cluster::view`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ClusterView {
    /// The id of the cluster, by the list of members.
    pub cluster_id: u64,
    /// Whether a majority confirmed the list of members. Without one it is what one member knows,
    /// which may be old.
    pub is_confirmed: bool,
    /// The leader, if a voter says that it leads, and none of a later term says otherwise.
    pub leader: Option<MemberId>,
    /// The members, in order of their ids.
    pub members: Vec<MemberView>,
    /// What is contradictory; empty in a cluster that does well.
    pub disagreements: Vec<Disagreement>,
}

/// One member in a [`ClusterView`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MemberView {
    /// The member, as it is listed.
    pub member: Member,
    /// Where it was asked; `None` for a member that was never started.
    pub endpoint: Option<String>,
    /// What it said of itself, or why it said nothing; `None` for a member that was never started.
    pub status: Option<Result<MemberStatus, Error>>,
}

/// What the members of a cluster, or the list of them, do not agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disagreement {
    /// A member takes itself for something else than the list does: a learner for a voter, or the
    /// reverse. Members of etcd 3.5.1 to 3.5.19 forgot promotions, and upgrades to 3.6 then fail.
    #[non_exhaustive]
    Role {
        /// The member.
        member: MemberId,
        /// Its name.
        name: String,
        /// Whether the list has it as a learner; it says the reverse of itself.
        is_listed_as_learner: bool,
    },
    /// Members name different leaders, or some know none. Passes in the moments of an election.
    #[non_exhaustive]
    Leader {
        /// The leader that each member names.
        named: BTreeMap<MemberId, Option<MemberId>>,
    },
    /// A member belongs to another cluster than the list.
    #[non_exhaustive]
    OtherCluster {
        /// The member, as it is listed.
        member: MemberId,
        /// The cluster that it says it belongs to.
        cluster_id: u64,
    },
    /// At the address of a member another one answered: it is wrong, or leads to all of them.
    #[non_exhaustive]
    OtherMember {
        /// The member, as it is listed.
        member: MemberId,
        /// The one that answered.
        answered: MemberId,
    },
}

impl MemberView {
    #[cfg(test)]
    const fn unstarted(member: Member) -> Self {
        Self { member, endpoint: None, status: None }
    }

    /// Returns what the member said of itself, if it did.
    #[must_use]
    pub fn status(&self) -> Option<&MemberStatus> {
        self.status.as_ref()?.as_ref().ok()
    }

    /// Returns why the member could not be asked, or did not answer.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.status.as_ref()?.as_ref().err()
    }
}

impl ClusterView {
    pub(super) fn new(cluster_id: u64, is_confirmed: bool, mut members: Vec<MemberView>) -> Self {
        members.sort_by_key(|view| view.member.id);
        let mut view = Self { cluster_id, is_confirmed, members, ..Self::default() };
        view.disagreements = view.find_disagreements();
        view.leader = view.find_leader();
        view
    }

    /// Returns the member with this id.
    #[must_use]
    pub fn member(&self, id: impl Into<MemberId>) -> Option<&MemberView> {
        let id = id.into();
        self.members.iter().find(|view| view.member.id == id)
    }

    /// Returns how many of the members that do well may fail while the cluster goes on: those that
    /// answer, know the leader and are voters beyond doubt, but for a majority of all that are
    /// listed as voters or say so of themselves. `None` when there is no majority now.
    // Case 6
    #[must_use]
    pub fn tolerated_failures(&self) -> Option<usize> {
        let is_voter = |view: &&MemberView| {
            let says_voter = view.status().is_some_and(|status| !status.is_learner);
            !view.member.is_learner || says_voter
        };
        let voters = self.members.iter().filter(is_voter).count();
        let doubtful = self.doubtful();
        let is_well = |view: &&MemberView| {
            let leader = view.status().and_then(|status| status.leader);
            let knows_leader = leader.is_some() && leader == self.leader;
            knows_leader && !view.member.is_learner && !doubtful.contains(&view.member.id)
        };
        let well = self.members.iter().filter(is_well).count();
        well.checked_sub(voters / 2 + 1).filter(|_| self.leader.is_some())
    }

    /// Returns the members of which it is in doubt what they are.
    fn doubtful(&self) -> BTreeSet<MemberId> {
        let of = |disagreement: &Disagreement| match disagreement {
            Disagreement::Role { member, .. }
            | Disagreement::OtherCluster { member, .. }
            | Disagreement::OtherMember { member, .. } => Some(*member),
            Disagreement::Leader { .. } => None,
        };
        self.disagreements.iter().filter_map(of).collect()
    }

    fn find_disagreements(&self) -> Vec<Disagreement> {
        let mut found = Vec::new();
        let mut named = BTreeMap::new();
        for view in &self.members {
            let Some(status) = view.status() else {
                found.extend(self.foreign_by_error(view));
                continue;
            };
            let (member, listed) = (view.member.id, &view.member);
            let answered = MemberId(status.header.member_id);
            if status.header.cluster_id != self.cluster_id {
                let cluster_id = status.header.cluster_id;
                found.push(Disagreement::OtherCluster { member, cluster_id });
            } else if answered != member {
                found.push(Disagreement::OtherMember { member, answered });
            } else {
                named.insert(member, status.leader);
                if status.is_learner != listed.is_learner {
                    found.push(Disagreement::Role {
                        member,
                        name: listed.name.clone(),
                        is_listed_as_learner: listed.is_learner,
                    });
                }
            }
        }
        if named.values().collect::<BTreeSet<_>>().len() > 1 {
            found.push(Disagreement::Leader { named });
        }
        found
    }

    /// The client itself refuses answers of another cluster at an endpoint of its own.
    fn foreign_by_error(&self, view: &MemberView) -> Option<Disagreement> {
        match view.error()?.kind() {
            crate::ErrorKind::ClusterChanged { found, .. } if found != self.cluster_id => {
                Some(Disagreement::OtherCluster { member: view.member.id, cluster_id: found })
            }
            _ => None,
        }
    }

    /// A leader that was cut off takes itself for one until it notices; a later term tells. What is
    /// said at a wrong address is said by the member that answers there.
    fn find_leader(&self) -> Option<MemberId> {
        let own = self.members.iter().filter_map(MemberView::status);
        let own = own.filter(|status| status.header.cluster_id == self.cluster_id);
        let latest = own.max_by_key(|status| (status.raft_term, status.is_leader()))?;
        latest.is_leader().then_some(latest.member_id())
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role { member, name, is_listed_as_learner } => {
                let of = |is_learner| if is_learner { "learner" } else { "voter" };
                let (listed, own) = (of(*is_listed_as_learner), of(!is_listed_as_learner));
                write!(f, "member {member} ({name}) is listed as a {listed} and says {own}")
            }
            Self::Leader { named } => {
                f.write_str("members name different leaders:")?;
                for (index, (member, leader)) in named.iter().enumerate() {
                    f.write_str(if index == 0 { " " } else { ", " })?;
                    match leader {
                        Some(leader) => write!(f, "{member} says {leader}")?,
                        None => write!(f, "{member} says none")?,
                    }
                }
                Ok(())
            }
            Self::OtherCluster { member, cluster_id } => {
                write!(f, "member {member} belongs to cluster {cluster_id:x}")
            }
            Self::OtherMember { member, answered } => {
                write!(f, "at the address of member {member} answered {answered}")
            }
        }
    }
}

/// The request that [`Cluster::view`] makes.
#[derive(Debug, Clone, Copy)]
pub struct View(());

impl sealed::Sealed for View {}

impl Execute for View {
    type Output = Result<ClusterView, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move { look::view(&client, options).await })
    }
}

impl Cluster {
    /// Looks at the whole cluster: lists the members and asks each of them, at its own endpoint and
    /// all at once, how it does. Tells the leader, and what the members do not agree on.
    ///
    /// A member that does not answer costs no other its answer: the time for it, three seconds
    /// unless [`timeout`](Request::timeout) says otherwise, is that of the whole view. Without a
    /// majority the list is what one member knows, which the view says.
    ///
    /// Members are asked where they say that clients reach them, which need not be an endpoint of
    /// this client, and may be one that it cannot reach.
    ///
    /// # Errors
    ///
    /// Those of any read, when there is no list of members at all. What goes wrong with one member
    /// stands at that member; so does that the user may not ask it, as with some versions.
    ///
    /// # Examples
    ///
    /// ```
    /// # etcd3_sim::example(|client| async move {
    /// let view = client.cluster().view().await?;
    /// for it in &view.members {
    ///     match &it.status {
    ///         Some(Ok(status)) => println!("{}: etcd {}", it.member.name, status.version),
    ///         Some(Err(error)) => println!("{}: {}", it.member.name, error.report()),
    ///         None => println!("{}: never started", it.member.id),
    ///     }
    /// }
    /// for disagreement in &view.disagreements {
    ///     println!("{disagreement}");
    /// }
    /// assert!(view.leader.is_some());
    /// assert_eq!(view.tolerated_failures(), Some(1));
    /// # Ok(())
    /// # });
    /// ```
    // M1, M24, cases 6 and 9
    pub fn view(&self) -> Request<View> {
        self.client.request(View(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_core::ResponseHeader;

    const CLUSTER: u64 = 9;

    fn listed(id: u64, is_learner: bool) -> Member {
        let mut member = Member::default();
        (member.id, member.name, member.is_learner) = (MemberId(id), format!("m{id}"), is_learner);
        member
    }

    /// A member that answers, and names this leader.
    fn answering(id: u64, leader: u64) -> MemberView {
        let mut status = MemberStatus::default();
        let mut header = ResponseHeader::default();
        (header.cluster_id, header.member_id) = (CLUSTER, id);
        (status.header, status.leader, status.raft_term) = (header, Some(MemberId(leader)), 2);
        let endpoint = Some(format!("http://m{id}:2379"));
        MemberView { member: listed(id, false), endpoint, status: Some(Ok(status)) }
    }

    fn with(mut view: MemberView, change: impl FnOnce(&mut MemberStatus)) -> MemberView {
        if let Some(Ok(status)) = &mut view.status {
            change(status);
        }
        view
    }

    fn dead(id: u64) -> MemberView {
        let error = Error::new(crate::ErrorKind::ConnectionLost);
        MemberView { status: Some(Err(error)), ..answering(id, 0) }
    }

    fn of(members: impl Into<Vec<MemberView>>) -> ClusterView {
        ClusterView::new(CLUSTER, true, members.into())
    }

    #[test]
    fn a_cluster_that_does_well_has_a_leader_and_no_disagreement() {
        let view = of([answering(3, 2), answering(1, 2), answering(2, 2)]);
        let ids: Vec<u64> = view.members.iter().map(|it| it.member.id.0).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!((view.leader, &view.disagreements[..]), (Some(MemberId(2)), &[][..]));
        assert_eq!(view.tolerated_failures(), Some(1));
        assert_eq!(view.member(3).and_then(|it| it.status()).map(|it| it.raft_term), Some(2));
    }

    // Case 6
    #[test]
    fn a_role_in_doubt_is_named_and_not_counted() {
        let doubtful = with(answering(3, 2), |status| status.is_learner = true);
        let view = of([answering(1, 2), answering(2, 2), doubtful]);
        let role = |is_listed_as_learner| Disagreement::Role {
            member: MemberId(3),
            name: "m3".to_owned(),
            is_listed_as_learner,
        };
        assert_eq!(view.disagreements, [role(false)]);
        assert_eq!(
            view.disagreements[0].to_string(),
            "member 3 (m3) is listed as a voter and says learner"
        );
        assert_eq!(view.tolerated_failures(), Some(0));

        // The reverse: it may count for the majority, and is not counted on.
        let mut promoted = answering(3, 2);
        promoted.member.is_learner = true;
        let view = of([answering(1, 2), answering(2, 2), promoted]);
        assert_eq!(
            (&view.disagreements[..], view.tolerated_failures()),
            (&[role(true)][..], Some(0))
        );
    }

    #[test]
    fn what_may_fail_is_counted_from_those_that_answer() {
        let learner = || {
            let mut view = with(answering(4, 2), |status| status.is_learner = true);
            view.member.is_learner = true;
            view
        };
        for (members, expected) in [
            (vec![answering(2, 2)], Some(0)),
            (vec![answering(1, 2), answering(2, 2), learner()], Some(0)),
            (vec![answering(1, 2), answering(2, 2), answering(3, 2), learner()], Some(1)),
            (vec![answering(1, 2), answering(2, 2), dead(3)], Some(0)),
            (vec![dead(1), answering(2, 2), dead(3)], None),
            (
                vec![answering(1, 2), answering(2, 2), MemberView::unstarted(listed(3, false))],
                Some(0),
            ),
            (vec![answering(1, 3), answering(2, 3), dead(3)], None),
        ] {
            let view = of(members);
            assert_eq!(view.tolerated_failures(), expected, "{view:?}");
        }
    }

    #[test]
    fn different_leaders_are_named_and_the_later_term_counts() {
        let old = with(answering(1, 1), |status| status.raft_term = 1);
        let none = with(answering(3, 2), |status| status.leader = None);
        let view = of([old, answering(2, 2), none]);
        assert_eq!(view.leader, Some(MemberId(2)));
        let named = [(1, Some(1)), (2, Some(2)), (3, None)];
        let named = named.map(|(id, leader)| (MemberId(id), leader.map(MemberId))).into();
        assert_eq!(view.disagreements, [Disagreement::Leader { named }]);
        let text = view.disagreements[0].to_string();
        assert!(text.ends_with("1 says 1, 2 says 2, 3 says none"), "{text}");
        // Whoever is of a later term knows of an election that the old leader does not.
        let later = with(answering(3, 4), |status| status.raft_term = 3);
        assert_eq!(of([answering(2, 2), later]).leader, None);
    }

    // A hostile or broken server.
    #[test]
    fn a_leader_of_no_term_is_no_reason_to_panic() {
        let odd = with(answering(2, 2), |status| status.raft_term = 0);
        assert_eq!(of([odd]).leader, Some(MemberId(2)));
    }

    // What is said at a wrong address is said by another one.
    #[test]
    fn a_leader_is_named_as_it_names_itself() {
        let misled = with(answering(3, 1), |status| status.header.member_id = 1);
        assert_eq!(of([answering(1, 1), answering(2, 1), misled]).leader, Some(MemberId(1)));
        let foreign = with(answering(3, 3), |status| {
            (status.header.cluster_id, status.raft_term) = (8, 9);
        });
        assert_eq!(of([answering(1, 1), answering(2, 1), foreign]).leader, Some(MemberId(1)));
    }

    // It was cut off, and has yet to hear of the election.
    #[test]
    fn who_follows_another_leader_is_not_counted_on() {
        let old = with(answering(1, 1), |status| status.raft_term = 1);
        let view = of([old, answering(2, 2), answering(3, 2)]);
        assert_eq!((view.leader, view.tolerated_failures()), (Some(MemberId(2)), Some(0)));
    }

    #[test]
    fn what_belongs_elsewhere_is_named() {
        let other_cluster = with(answering(1, 2), |status| status.header.cluster_id = 8);
        let other_member = with(answering(2, 2), |status| status.header.member_id = 3);
        let mut refused = dead(4);
        let kind = crate::ErrorKind::ClusterChanged { expected: CLUSTER, found: 7 };
        refused.status = Some(Err(Error::new(kind)));
        let view = of([other_cluster, other_member, answering(3, 3), refused, dead(5)]);
        let foreign =
            |id, cluster_id| Disagreement::OtherCluster { member: MemberId(id), cluster_id };
        let expected = [
            foreign(1, 8),
            Disagreement::OtherMember { member: MemberId(2), answered: MemberId(3) },
            foreign(4, 7),
        ];
        assert_eq!(view.disagreements, expected);
        assert_eq!(expected[0].to_string(), "member 1 belongs to cluster 8");
        assert_eq!(expected[1].to_string(), "at the address of member 2 answered 3");
        assert!(view.members[3].error().is_some() && view.members[3].status().is_none());
    }
}
