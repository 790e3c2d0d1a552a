//! The requests that change the members.

use super::change::{self, Certainty, Change, Settled};
use crate::call::CallOptions;
use crate::request::{Execute, Request, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::ServerError;
use etcd3_core::request::Operation;
use etcd3_core::request::cluster::{self, MemberListResponse};
use std::time::Duration;

/// Makes the request of a change: the operation of its name, and how long a refusal that may pass
/// is waited out.
macro_rules! request {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            pub(super) operation: cluster::$name,
            pub(super) budget: Duration,
        }

        impl $name {
            pub(super) const fn new(operation: cluster::$name) -> Self {
                Self { operation, budget: Duration::ZERO }
            }
        }

        impl sealed::Sealed for $name {}

        impl Execute for $name {
            type Output = Result<<cluster::$name as Operation>::Response, Error>;
            type Future = BoxFuture<'static, Self::Output>;

            fn execute(self, client: Client, options: CallOptions) -> Self::Future {
                let Self { operation, budget } = self;
                Box::pin(async move { change::make(&client, operation, options, budget).await })
            }
        }
    };
}

request! {
    /// The request that [`Cluster::member_add`](crate::Cluster::member_add) makes: a member that is
    /// to be added.
    ///
    /// More than the [operation](etcd3_core::request::cluster::MemberAdd) of its name: it finds out
    /// what became of the addition when its answer is lost, and may wait until it is accepted.
    MemberAdd
}

request! {
    /// The request that [`Cluster::member_remove`](crate::Cluster::member_remove) makes: a member
    /// that is to be removed.
    ///
    /// More than the [operation](etcd3_core::request::cluster::MemberRemove) of its name, as
    /// [`MemberAdd`] is.
    MemberRemove
}

request! {
    /// The request that [`Cluster::member_update`](crate::Cluster::member_update) makes: a member
    /// whose addresses are to be changed.
    ///
    /// More than the [operation](etcd3_core::request::cluster::MemberUpdate) of its name: it finds
    /// out what became of the change when its answer is lost.
    MemberUpdate
}

request! {
    /// The request that [`Cluster::member_promote`](crate::Cluster::member_promote) makes: a learner
    /// that is to become a voter.
    ///
    /// More than the [operation](etcd3_core::request::cluster::MemberPromote) of its name: it finds
    /// out what became of the promotion when its answer is lost, and may wait until the learner is
    /// in sync.
    MemberPromote
}

/// Gives the request of an addition the options of the operation.
macro_rules! options_of_member_add {
    ($operation:ident {
        $($(#[$meta:meta])* $name:ident($($arg:ident: $type:ty),*);)*
    }) => {
        impl Request<MemberAdd> {
            $(
                $(#[$meta])*
                pub fn $name(self, $($arg: $type),*) -> Self {
                    self.map(|add| MemberAdd { operation: add.operation.$name($($arg),*), ..add })
                }
            )*
        }
    };
}

etcd3_core::member_add_options!(options_of_member_add);

/// Gives a request the option to wait until servers accept it.
macro_rules! wait_until_accepted {
    ($name:ident) => {
        impl Request<$name> {
            /// Waits until servers accept the change, for this long at most, and makes it once.
            ///
            /// They refuse it with [`Unhealthy`](crate::ServerError::Unhealthy) until their members
            /// have been connected for five seconds, and with
            /// [`MemberNotEnoughStarted`](crate::ServerError::MemberNotEnoughStarted) until those
            /// that were added before are started; the cluster is not changed by that. What they
            /// refuse for other reasons ends the wait, and so does the last refusal when the time
            /// is over. [`timeout`](Request::timeout) is that of each try.
            // M14, CLU-024
            pub fn wait_until_accepted(self, budget: Duration) -> Self {
                self.map(|change| $name { budget, ..change })
            }
        }
    };
}

wait_until_accepted!(MemberAdd);
wait_until_accepted!(MemberRemove);

impl Request<MemberPromote> {
    /// Waits until the learner is in sync with the leader, for this long at most, and promotes it
    /// once.
    ///
    /// Servers refuse the promotion with [`LearnerNotReady`](crate::ServerError::LearnerNotReady)
    /// until then, also of a learner that is not started. What they refuse for other reasons ends
    /// the wait, and so does the last refusal when the time is over. [`timeout`](Request::timeout)
    /// is that of each try.
    // M13
    pub fn wait_until_in_sync(self, budget: Duration) -> Self {
        self.map(|promote| MemberPromote { budget, ..promote })
    }
}

impl Change for cluster::MemberAdd {
    fn settle(&self, list: &MemberListResponse, _: Certainty) -> Settled<Self::Response> {
        let Some(added) = self.find_added(&list.members) else { return Settled::Open };
        let mut response = Self::Response::default();
        response.header = list.header;
        response.member = added.clone();
        response.members.clone_from(&list.members);
        Settled::Applied(response)
    }
}

impl Change for cluster::MemberRemove {
    // A member that lags behind may not know yet that there was one of this id.
    fn settle(&self, list: &MemberListResponse, certainty: Certainty) -> Settled<Self::Response> {
        let is_there = list.members.iter().any(|member| member.id == self.id());
        if is_there || certainty == Certainty::Local {
            return Settled::Open;
        }
        Settled::Applied(list.clone().into())
    }
}

impl Change for cluster::MemberUpdate {
    // A member that lags behind may show addresses that it had before.
    fn settle(&self, list: &MemberListResponse, certainty: Certainty) -> Settled<Self::Response> {
        if certainty == Certainty::Local {
            return Settled::Open;
        }
        match list.members.iter().find(|member| member.id == self.id()) {
            None => Settled::Impossible(ServerError::MemberNotFound),
            Some(member) if self.is_done_to(member) => Settled::Applied(list.clone().into()),
            Some(_) => Settled::Open,
        }
    }
}

impl Change for cluster::MemberPromote {
    // Case 8: a voter never becomes a learner, so even an old list proves a promotion.
    fn settle(&self, list: &MemberListResponse, certainty: Certainty) -> Settled<Self::Response> {
        match list.members.iter().find(|member| member.id == self.id()) {
            None if certainty == Certainty::Confirmed => {
                Settled::Impossible(ServerError::MemberNotFound)
            }
            Some(member) if !member.is_learner => Settled::Applied(list.clone().into()),
            _ => Settled::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etcd3_core::MemberId;
    use etcd3_core::request::cluster::{
        Member, member_add, member_promote, member_remove, member_update,
    };

    /// A list of one member, or of none.
    fn list(member: Option<(u64, &str, bool)>) -> MemberListResponse {
        let members = member.into_iter().map(|(id, url, is_learner)| {
            let mut member = Member::default();
            (member.id, member.is_learner) = (MemberId(id), is_learner);
            member.peer_urls = vec![url.to_owned()];
            member
        });
        let mut list = MemberListResponse::default();
        (list.header.cluster_id, list.members) = (9, members.collect());
        list
    }

    fn is_applied<T>(settled: &Settled<T>) -> bool {
        matches!(settled, Settled::Applied(_))
    }

    const URL: &str = "http://a:1";
    const LEARNER: Option<(u64, &str, bool)> = Some((7, URL, true));
    const VOTER: Option<(u64, &str, bool)> = Some((7, URL, false));

    // A member that lags behind may not know of what was there before, but knows nothing that was
    // not agreed on.
    #[test]
    fn what_one_member_knows_proves_additions_and_promotions_alone() {
        let local = Certainty::Local;
        assert!(is_applied(&member_add([URL]).settle(&list(VOTER), local)));
        assert!(is_applied(&member_promote(7).settle(&list(VOTER), local)));
        assert_eq!(member_promote(7).settle(&list(None), local), Settled::Open);
        assert_eq!(member_remove(7).settle(&list(None), local), Settled::Open);
        assert_eq!(member_update(7, [URL]).settle(&list(VOTER), local), Settled::Open);
    }

    #[test]
    fn what_a_majority_confirms_settles_every_change() {
        let confirmed = Certainty::Confirmed;
        let not_found = ServerError::MemberNotFound;
        assert!(is_applied(&member_add([URL]).learner().settle(&list(LEARNER), confirmed)));
        assert_eq!(member_add([URL]).settle(&list(LEARNER), confirmed), Settled::Open);
        assert!(is_applied(&member_remove(7).settle(&list(None), confirmed)));
        assert_eq!(member_remove(7).settle(&list(VOTER), confirmed), Settled::Open);
        assert!(is_applied(&member_update(7, [URL]).settle(&list(VOTER), confirmed)));
        let other = member_update(7, ["http://b:1"]);
        assert_eq!(other.settle(&list(VOTER), confirmed), Settled::Open);
        assert_eq!(other.settle(&list(None), confirmed), Settled::Impossible(not_found));
        assert_eq!(member_promote(7).settle(&list(LEARNER), confirmed), Settled::Open);
        let promotion = member_promote(7).settle(&list(None), confirmed);
        assert_eq!(promotion, Settled::Impossible(not_found));
        let Settled::Applied(answer) = member_promote(7).settle(&list(VOTER), confirmed) else {
            panic!("it is a voter")
        };
        assert_eq!((answer.header.cluster_id, answer.members.len()), (9, 1));
    }
}
