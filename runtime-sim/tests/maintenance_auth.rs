//! What is built on `Status`, for users who may not ask for it.
#![allow(clippy::unwrap_used)]

mod auth_support;

use auth_support::{PASSWORD, cluster, config, guard};
use etcd3::runtime::Instant;
use etcd3::{Client, EndpointState, ErrorKind};
use etcd3_sim::{World, run};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Tells its status to root alone.
const SECRETIVE: (u16, u16, u16) = (3, 5, 30);

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What a load did until now.
#[derive(Default)]
struct Load {
    calls: AtomicUsize,
    errors: Mutex<Vec<String>>,
}

impl Load {
    /// Makes 50 gets and 10 puts a second, for so long.
    fn begin(self: &Arc<Self>, world: &World, client: &Client, until: Instant) {
        for (interval, writes) in [(20, false), (100, true)] {
            let (world, client, load) = (world.clone(), client.clone(), Arc::clone(self));
            world.host().spawn(async move {
                while world.now() < until {
                    let (client, load) = (client.clone(), Arc::clone(&load));
                    world.host().spawn(async move {
                        let done = if writes {
                            client.put("app", "v").await.map(drop)
                        } else {
                            client.get("app").await.map(drop)
                        };
                        load.calls.fetch_add(1, Ordering::Relaxed);
                        // What was under way at the member that froze is lost, and says so.
                        let is_lost = |error: &etcd3::Error| {
                            writes && error.outcome() == etcd3::Outcome::Unknown
                        };
                        if let Err(error) = done
                            && !is_lost(&error)
                        {
                            load.errors.lock().unwrap().push(error.report().to_string());
                        }
                    });
                    world.sleep(Duration::from_millis(interval)).await;
                }
            });
        }
    }
}

fn state(client: &Client, endpoint: &str) -> EndpointState {
    let health = client.health();
    health.endpoints.iter().find(|it| &*it.endpoint == endpoint).unwrap().state
}

// Case 3
#[test]
fn failover_works_for_users_who_may_not_ask_for_the_status() {
    for seed in 0..2 {
        run(seed, |world| async move {
            let etcd = cluster(&world, SECRETIVE, seconds(300));
            guard(&world, &etcd).await.put("app", "v").await.unwrap();
            world.sleep(seconds(1)).await;
            let config = config(&etcd, "app", PASSWORD).min_server_version((3, 5));
            let runtime = Arc::new(world.host().runtime());
            let client = Client::connect_on(runtime, config).await.unwrap();
            let told = client.maintenance().statuses().await;
            for member in &told {
                let error = member.status.as_ref().unwrap_err();
                assert!(error.is_permission_denied(), "{error}");
            }

            let load = Arc::new(Load::default());
            load.begin(&world, &client, world.now() + seconds(40));
            world.sleep(seconds(5)).await;
            etcd.pause(1);
            world.sleep(seconds(20)).await;
            let frozen = &etcd.endpoints()[1];
            assert_ne!(state(&client, frozen), EndpointState::Ready, "passed over");
            etcd.revive(1);
            world.sleep(seconds(5)).await;
            assert_eq!(state(&client, frozen), EndpointState::Ready, "used again");
            world.sleep(seconds(15)).await;
            assert_eq!(*load.errors.lock().unwrap(), Vec::<String>::new());
            assert!(load.calls.load(Ordering::Relaxed) > 2_000);

            // Features are gated by what is refused, not by a version that is not known.
            let error = client.range_stream(etcd3::get("app")).next().await.unwrap().unwrap_err();
            let kind = ErrorKind::Unsupported { needs: (3, 7).into(), has: None };
            assert_eq!(error.kind(), kind, "{error}");
            assert!(client.pages("app").next().await.unwrap().is_ok());
        })
        .unwrap();
    }
}
