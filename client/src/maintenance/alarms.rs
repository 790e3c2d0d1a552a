//! Disarming all alarms.

// M20

use super::at::Calls;
use crate::call::CallOptions;
use crate::request::{Execute, sealed};
use crate::runtime::BoxFuture;
use crate::{Client, Error};
use etcd3_core::request::maintenance::{AlarmsResponse, alarms, disarm};

/// The request that [`Maintenance::disarm_all`](super::Maintenance::disarm_all) makes.
#[derive(Debug, Clone, Copy)]
pub struct DisarmAll(pub(super) ());

impl sealed::Sealed for DisarmAll {}

impl Execute for DisarmAll {
    type Output = Result<AlarmsResponse, Error>;
    type Future = BoxFuture<'static, Self::Output>;

    fn execute(self, client: Client, options: CallOptions) -> Self::Future {
        Box::pin(async move {
            let calls = Calls::new(&client, options);
            let mut all = calls.run(alarms()).await?;
            for alarm in std::mem::take(&mut all.alarms) {
                let disarmed = calls.run(disarm(alarm)).await?;
                all.header = disarmed.header;
                all.alarms.extend(disarmed.alarms);
            }
            Ok(all)
        })
    }
}
