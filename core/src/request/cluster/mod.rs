//! Members of a cluster: adding, removing, changing, promoting and listing them.

// M10–M17

mod peer_urls;

pub(crate) use peer_urls::check as check_peer_urls;

use super::operation;
use super::options::options;
use crate::{MemberId, ResponseHeader};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::{
    MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MemberUpdateRequest,
};

/// One member of a cluster, as the list of members has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it is started for the first time.
    // M12
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it, as it says itself; none until it is started for the first time.
    pub client_urls: Vec<String>,
    /// Whether it is a learner: a member without a vote.
    pub is_learner: bool,
}

impl Member {
    /// Returns whether the member has ever been started.
    // M12
    #[must_use]
    pub fn has_started(&self) -> bool {
        !self.name.is_empty()
    }
}

impl From<pb::Member> for Member {
    fn from(member: pb::Member) -> Self {
        let pb::Member { id, name, peer_urls, client_urls, is_learner } = member;
        Self { id: MemberId(id), name, peer_urls, client_urls, is_learner }
    }
}

fn members(list: Vec<pb::Member>) -> Vec<Member> {
    list.into_iter().map(Member::from).collect()
}

/// Makes an answer that consists of a header and the list of members.
macro_rules! answer_with_members {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default)]
        #[non_exhaustive]
        pub struct $name {
            /// Which cluster and member answered; without a revision.
            // M16
            pub header: ResponseHeader,
            /// All members, in order of their ids.
            pub members: Vec<Member>,
        }

        impl From<pb::$name> for $name {
            fn from(answer: pb::$name) -> Self {
                Self { header: answer.header.into(), members: members(answer.members) }
            }
        }
    };
}

/// An addition of a member: `etcdserverpb.Cluster/MemberAdd`.
///
/// The addresses for its peers are checked before they are sent, as servers do: at least one, each
/// `http://host:port` or `https://host:port` without a path, or `unix:…` or `unixs:…`.
/// Others end in [`MemberBadUrls`](crate::ServerError::MemberBadUrls), and nothing is sent.
// M11
#[derive(Debug, Clone, PartialEq)]
pub struct MemberAdd {
    request: MemberAddRequest,
}

/// Adds a member that other members reach at these addresses: a voter, unless it is made a learner.
pub fn member_add<U: Into<String>>(peer_urls: impl IntoIterator<Item = U>) -> MemberAdd {
    let peer_urls = peer_urls::trimmed(peer_urls);
    MemberAdd { request: MemberAddRequest { peer_urls, is_learner: false } }
}

options! { $ MemberAdd as member_add_options {
    /// Adds the member as a learner, which has no vote until it is promoted: it catches up without
    /// being counted for the majority.
    pub fn learner(mut self) -> Self {
        self.request.is_learner = true;
        self
    }
} }

impl MemberAdd {
    /// Returns the addresses for the peers of the new member.
    #[must_use]
    pub fn peer_urls(&self) -> &[String] {
        &self.request.peer_urls
    }

    /// Returns whether the new member is to be a learner.
    #[must_use]
    pub const fn is_learner(&self) -> bool {
        self.request.is_learner
    }

    /// Finds the member that this addition has made in a list: one with the same addresses and
    /// role that was never started.
    ///
    /// One that is started may have been there before, so it is not taken for this one.
    #[must_use]
    pub fn find_added<'a>(&self, members: &'a [Member]) -> Option<&'a Member> {
        members.iter().find(|member| {
            !member.has_started()
                && member.is_learner == self.request.is_learner
                && peer_urls::are_same(&member.peer_urls, &self.request.peer_urls)
        })
    }
}

/// The answer to a [`MemberAdd`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct MemberAddResponse {
    /// Which cluster and member answered; without a revision.
    // M16
    pub header: ResponseHeader,
    /// The member that was added.
    pub member: Member,
    /// All members, the new one included, in order of their ids.
    pub members: Vec<Member>,
}

impl From<pb::MemberAddResponse> for MemberAddResponse {
    fn from(answer: pb::MemberAddResponse) -> Self {
        Self {
            header: answer.header.into(),
            member: answer.member.unwrap_or_default().into(),
            members: members(answer.members),
        }
    }
}

operation!(
    MemberAdd: MemberAddRequest => MemberAddResponse => MemberAddResponse,
    |request| peer_urls::check(&request.peer_urls)
);

/// A removal of a member: `etcdserverpb.Cluster/MemberRemove`.
///
/// An id that was removed never comes back. The server answers
/// [`MemberNotFound`](crate::ServerError::MemberNotFound) for it, and for one that never was.
// M15
#[derive(Debug, Clone, PartialEq)]
pub struct MemberRemove {
    request: MemberRemoveRequest,
}

/// Removes a member; its process ends by itself when it hears of that.
pub fn member_remove(id: impl Into<MemberId>) -> MemberRemove {
    MemberRemove { request: MemberRemoveRequest { id: id.into().0 } }
}

impl MemberRemove {
    /// Returns the member that is to be removed.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        MemberId(self.request.id)
    }
}

answer_with_members! {
    /// The answer to a [`MemberRemove`].
    MemberRemoveResponse
}

operation!(MemberRemove: MemberRemoveRequest => MemberRemoveResponse => MemberRemoveResponse);

/// A change of the addresses of a member: `etcdserverpb.Cluster/MemberUpdate`.
///
/// The addresses are checked before they are sent, as those of a [`MemberAdd`] are: servers do not
/// check them, and end when they cannot read one. On servers before 3.5.31 and 3.6.12 the update of
/// a learner makes the list have it as a voter.
// M11, M15
#[derive(Debug, Clone, PartialEq)]
pub struct MemberUpdate {
    request: MemberUpdateRequest,
}

/// Sets where the other members reach a member.
pub fn member_update<U: Into<String>>(
    id: impl Into<MemberId>,
    peer_urls: impl IntoIterator<Item = U>,
) -> MemberUpdate {
    let peer_urls = peer_urls::trimmed(peer_urls);
    MemberUpdate { request: MemberUpdateRequest { id: id.into().0, peer_urls } }
}

impl MemberUpdate {
    /// Returns the member whose addresses are set.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        MemberId(self.request.id)
    }

    /// Returns whether a member has the addresses that this sets.
    #[must_use]
    pub fn is_done_to(&self, member: &Member) -> bool {
        member.id == self.id() && peer_urls::are_same(&member.peer_urls, &self.request.peer_urls)
    }
}

answer_with_members! {
    /// The answer to a [`MemberUpdate`].
    MemberUpdateResponse
}

operation!(
    MemberUpdate: MemberUpdateRequest => MemberUpdateResponse => MemberUpdateResponse,
    |request| peer_urls::check(&request.peer_urls)
);

/// A promotion of a learner to a voter: `etcdserverpb.Cluster/MemberPromote`.
///
/// The server answers [`LearnerNotReady`](crate::ServerError::LearnerNotReady) until the learner
/// has nine tenths of the log of the leader, and
/// [`MemberNotLearner`](crate::ServerError::MemberNotLearner) for a voter, also for one that was
/// promoted a moment ago.
// M13
#[derive(Debug, Clone, PartialEq)]
pub struct MemberPromote {
    request: MemberPromoteRequest,
}

/// Gives a learner its vote.
pub fn member_promote(id: impl Into<MemberId>) -> MemberPromote {
    MemberPromote { request: MemberPromoteRequest { id: id.into().0 } }
}

impl MemberPromote {
    /// Returns the learner that is to be promoted.
    #[must_use]
    pub const fn id(&self) -> MemberId {
        MemberId(self.request.id)
    }
}

answer_with_members! {
    /// The answer to a [`MemberPromote`].
    MemberPromoteResponse
}

operation!(MemberPromote: MemberPromoteRequest => MemberPromoteResponse => MemberPromoteResponse);

/// A list of the members: `etcdserverpb.Cluster/MemberList`.
///
/// Linearizable by default; servers before 3.5 always answer from what they know.
// M10
#[derive(Debug, Clone, PartialEq)]
pub struct MemberList {
    request: MemberListRequest,
}

/// Lists the members.
#[must_use]
pub fn member_list() -> MemberList {
    MemberList { request: MemberListRequest { linearizable: true } }
}

options! { $ MemberList as member_list_options {
    /// Lets the member that is asked answer from what it knows, which may be old: the only way to
    /// see the list of a cluster that has lost its majority.
    // M14
    pub fn serializable(mut self) -> Self {
        self.request.linearizable = false;
        self
    }
} }

answer_with_members! {
    /// The answer to a [`MemberList`].
    MemberListResponse
}

operation!(MemberList: MemberListRequest => MemberListResponse => MemberListResponse);

/// Lets a list of members stand in for the answer to a change, which is nothing else.
macro_rules! answered_by_list {
    ($($name:ident)*) => {
        $(impl From<MemberListResponse> for $name {
            fn from(list: MemberListResponse) -> Self {
                Self { header: list.header, members: list.members }
            }
        })*
    };
}

answered_by_list!(MemberRemoveResponse MemberUpdateResponse MemberPromoteResponse);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Effect;
    use crate::request::{Limits, Operation};
    use crate::{ErrorKind, Outcome, ServerError};
    use prost::Message;

    fn decoded<T: Operation>(operation: T, answer: &impl Message) -> T::Response {
        operation.decode(answer.encode_to_vec().into(), None).unwrap()
    }

    fn listed(id: u64, name: &str, url: &str, is_learner: bool) -> pb::Member {
        let urls = vec![url.to_owned()];
        pb::Member { id, name: name.to_owned(), peer_urls: urls, client_urls: vec![], is_learner }
    }

    // M17
    #[test]
    fn changes_are_writes_and_a_list_is_a_read() {
        assert_eq!(member_add(["http://a:1"]).rpc().effect, Effect::Write);
        assert_eq!(member_remove(7).rpc().effect, Effect::Write);
        assert_eq!(member_update(7, ["http://a:1"]).rpc().effect, Effect::Write);
        assert_eq!(member_promote(7).rpc().effect, Effect::Write);
        let list = member_list().rpc();
        // Its header has no revision that could be too old (M16).
        assert_eq!((list.effect, list.is_linearizable), (Effect::Read, false));
    }

    // M10, M11, CLU-009, CLU-010, CLU-011, CLU-012
    #[test]
    fn what_is_sent_is_what_was_asked_for() {
        let limits = Limits::default();
        let mut add = member_add([" http://a:1 "]);
        let sent = add.request(&limits).unwrap();
        assert_eq!((&sent.peer_urls[..], sent.is_learner), (&["http://a:1".to_owned()][..], false));
        assert!(add.learner().request(&limits).unwrap().is_learner);
        assert!(member_list().request(&limits).unwrap().linearizable);
        assert!(!member_list().serializable().request(&limits).unwrap().linearizable);
        assert_eq!(member_remove(MemberId(7)).request(&limits).unwrap().id, 7);
        assert_eq!(member_promote(7).request(&limits).unwrap().id, 7);
        assert_eq!(member_update(7, ["unix:a"]).request(&limits).unwrap().peer_urls, ["unix:a"]);
        for urls in [&[][..], &["http://a"], &["http://a:1", "a:1"]] {
            let refused = [
                member_add(urls.iter().copied()).request(&limits).map(drop),
                member_update(0, urls.iter().copied()).request(&limits).map(drop),
            ];
            for error in refused.map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::Server(ServerError::MemberBadUrls));
                assert_eq!((error.outcome(), error.status()), (Outcome::NotSent, None), "{urls:?}");
            }
        }
    }

    #[test]
    fn answers_are_read() {
        let members = vec![listed(1, "a", "http://a:1", false), listed(2, "", "http://b:1", true)];
        let answer = pb::MemberAddResponse {
            header: Some(pb::ResponseHeader { cluster_id: 9, ..Default::default() }),
            member: members.last().cloned(),
            members: members.clone(),
        };
        let added = decoded(member_add(["http://b:1"]), &answer);
        assert_eq!((added.header.cluster_id, added.member.id), (9, MemberId(2)));
        assert!(added.member.is_learner && !added.member.has_started());
        assert_eq!(added.members.len(), 2);
        assert!(added.members[0].has_started());
        let listed = decoded(member_list(), &pb::MemberListResponse { header: None, members });
        assert_eq!(listed.members, added.members);
    }

    // Case 8's kind: a repetition says that the addresses exist, and the list tells whose.
    #[test]
    fn an_addition_is_found_by_its_addresses_and_role() {
        let add = member_add(["http://b:1", "unix:c"]);
        let with = |urls: &[&str], name: &str, is_learner| {
            let mut member = Member::from(listed(2, name, "", is_learner));
            member.peer_urls = urls.iter().map(|url| (*url).to_owned()).collect();
            vec![Member::from(listed(1, "a", "http://a:1", false)), member]
        };
        let found = |members: &[Member]| add.find_added(members).map(|member| member.id);
        let urls = ["unix:c", "http://b:1"];
        assert_eq!(found(&with(&urls, "", false)), Some(MemberId(2)), "servers sort them");
        assert_eq!(found(&with(&urls, "", true)), None, "a learner");
        assert_eq!(found(&with(&urls, "b", false)), None, "it may have been there before");
        assert_eq!(found(&with(&urls[..1], "", false)), None);
        assert_eq!(found(&with(&["unix:c", "http://d:1"], "", false)), None);
    }

    #[test]
    fn an_update_is_done_when_the_member_has_the_addresses() {
        let update = member_update(2, ["http://b:2"]);
        assert!(update.is_done_to(&Member::from(listed(2, "b", "http://b:2", false))));
        assert!(!update.is_done_to(&Member::from(listed(2, "b", "http://b:1", false))));
        assert!(!update.is_done_to(&Member::from(listed(1, "b", "http://b:2", false))));
    }
}
