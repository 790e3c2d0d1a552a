//! Alarms: listing, arming and disarming them.

// M20–M22

use crate::request::operation;
use crate::{MemberId, ResponseHeader};
use etcd3_proto::etcdserverpb as pb;
use etcd3_proto::etcdserverpb::AlarmRequest;
use pb::alarm_request::AlarmAction;
use std::fmt;

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum AlarmKind {
    /// The database of the member has reached its quota: writes are refused by all members
    /// ([`NoSpace`](crate::ServerError::NoSpace)), until there is room and the alarm is disarmed.
    NoSpace,
    /// The data of the member differ from those of the others: requests are refused
    /// ([`Corrupt`](crate::ServerError::Corrupt)).
    Corrupt,
    /// Another kind, by its number.
    Other(i32),
}

impl AlarmKind {
    const fn number(self) -> i32 {
        match self {
            Self::NoSpace => pb::AlarmType::Nospace as i32,
            Self::Corrupt => pb::AlarmType::Corrupt as i32,
            Self::Other(number) => number,
        }
    }
}

impl From<i32> for AlarmKind {
    fn from(number: i32) -> Self {
        match pb::AlarmType::try_from(number) {
            Ok(pb::AlarmType::Nospace) => Self::NoSpace,
            Ok(pb::AlarmType::Corrupt) => Self::Corrupt,
            Ok(pb::AlarmType::None) | Err(_) => Self::Other(number),
        }
    }
}

impl fmt::Display for AlarmKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace => f.write_str("NOSPACE"),
            Self::Corrupt => f.write_str("CORRUPT"),
            Self::Other(number) => write!(f, "{number}"),
        }
    }
}

/// An alarm that a member has raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Alarm {
    /// The id of the member.
    pub member_id: MemberId,
    /// What it is about.
    pub kind: AlarmKind,
}

impl Alarm {
    /// Makes the name of an alarm.
    #[must_use]
    pub fn new(member_id: impl Into<MemberId>, kind: AlarmKind) -> Self {
        Self { member_id: member_id.into(), kind }
    }
}

impl From<pb::AlarmMember> for Alarm {
    fn from(alarm: pb::AlarmMember) -> Self {
        Self { member_id: MemberId(alarm.member_id), kind: alarm.alarm.into() }
    }
}

/// A list of alarms, or a change of one: `etcdserverpb.Maintenance/Alarm`.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarms {
    request: AlarmRequest,
}

/// Lists the alarms of all members.
#[must_use]
pub fn alarms() -> Alarms {
    make(AlarmAction::Get, Alarm::new(0, AlarmKind::Other(0)))
}

/// Raises an alarm in the name of a member, which need not exist.
///
/// To arm one twice is the same as once.
#[must_use]
pub fn arm(alarm: Alarm) -> Alarms {
    make(AlarmAction::Activate, alarm)
}

/// Disarms one alarm. One that is not armed is no error: the answer lists nothing then.
///
/// To disarm one twice is the same as once, unless the member raises it anew in between.
#[must_use]
pub fn disarm(alarm: Alarm) -> Alarms {
    make(AlarmAction::Deactivate, alarm)
}

fn make(action: AlarmAction, alarm: Alarm) -> Alarms {
    let Alarm { member_id: MemberId(member_id), kind } = alarm;
    Alarms { request: AlarmRequest { action: action.into(), member_id, alarm: kind.number() } }
}

/// The answer to an [`Alarms`].
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct AlarmsResponse {
    /// Which cluster and member answered; all zero from etcd 3.4.
    pub header: ResponseHeader,
    /// The alarms that there are, or the one that was armed or disarmed.
    pub alarms: Vec<Alarm>,
}

impl From<pb::AlarmResponse> for AlarmsResponse {
    fn from(answer: pb::AlarmResponse) -> Self {
        let alarms = answer.alarms.into_iter().map(Alarm::from).collect();
        Self { header: answer.header.into(), alarms }
    }
}

operation!(Alarms: AlarmRequest => AlarmResponse => AlarmsResponse);
