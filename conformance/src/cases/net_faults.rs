//! A network that fails while a connection is in use, before a real etcd (N1 to N14).
//!
//! Whatever happens, a call ends in time and says of a write no more than is known; what it says is
//! compared with what a client on a good network reads. After the network has healed all works.

use crate::BoxError;
use crate::{Case, CaseResult, Ctx, Server, case};
use etcd3::{Client, Config, Error, ErrorKind, Outcome, Phase};
use etcd3_lab::Direction::{Down, Up};
use etcd3_lab::{Bridge, Cut, Direction, Fault, Relays};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(super) const CASES: &[Case] = &[
    case!(bytes_that_disappear, []).real("a bridge").any_version(),
    case!(connections_that_end, []).real("a bridge").any_version(),
    case!(bytes_that_come_late_or_in_pieces, []).real("a bridge").any_version(),
    case!(no_new_connections, []).real("a bridge").any_version(),
    case!(connections_that_are_forgotten, []).real("a bridge").any_version(),
    case!(connections_that_end_again_and_again, []).real("a bridge").any_version(),
    case!(one_way_of_two_is_a_black_hole, []).real("a bridge").any_version(),
];

const SHORT: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_secs(20);

/// An etcd, a client behind a bridge, and one that is not.
pub(super) struct Rig {
    pub(super) ctx: Ctx,
    pub(super) bridge: Bridge,
    pub(super) client: Client,
    pub(super) direct: Client,
    _server: Server,
}

impl Rig {
    pub(super) async fn new(ctx: &Ctx) -> Result<Self, BoxError> {
        let server = ctx.server().await?;
        let bridge = Bridge::new(server.addr())?;
        let client = connect(ctx, &bridge).await?;
        let direct = ctx.connect([server.client_url()]).await?;
        Ok(Self { ctx: ctx.clone(), bridge, client, direct, _server: server })
    }

    /// Takes another client, which knows nothing of what the one before has seen.
    pub(super) async fn renew(&mut self) -> Result<(), Error> {
        self.client = connect(&self.ctx, &self.bridge).await?;
        Ok(())
    }

    /// Returns how often a key was written.
    pub(super) async fn version(&self, key: &str) -> Result<i64, Error> {
        Ok(self.direct.get(key).await?.kvs.first().map_or(0, |kv| kv.version))
    }

    /// Writes a key that is not there, and compares what the client says with what has happened.
    pub(super) async fn put(&self, key: &str, timeout: Duration) -> Result<WriteResult, String> {
        let (client, name) = (self.client.clone(), key.to_owned());
        let put = self.ctx.spawn(async move { client.put(name, "v").timeout(timeout).await });
        let result = self.ctx.within(timeout + SOON, put).await.ok_or("the write hangs")?;
        let version = self.version(key).await.map_err(|e| e.to_string())?;
        let possible = match result.as_ref().map_err(Error::outcome) {
            Ok(_) => 1..=1,
            Err(Outcome::Unknown) => 0..=1,
            Err(Outcome::NotSent | Outcome::Rejected) => 0..=0,
        };
        if possible.contains(&version) {
            return Ok(WriteResult { error: result.err(), version });
        }
        Err(format!("{key} has version {version} after {result:?}"))
    }

    pub(super) async fn get(&self, timeout: Duration) -> Result<Option<Error>, String> {
        let client = self.client.clone();
        let get = self.ctx.spawn(async move { client.get("k").timeout(timeout).await });
        let result = self.ctx.within(timeout + SOON, get).await.ok_or("the read hangs")?;
        Ok(result.err())
    }

    /// Ends all faults and waits until the client works.
    pub(super) async fn heal(&self) -> CaseResult {
        self.bridge.heal();
        self.bridge.resume_accept()?;
        let last = Mutex::new(None);
        let works = || async {
            let error = self.client.get("k").timeout(SHORT).await.err();
            let works = error.is_none();
            *last.lock().unwrap() = error;
            works
        };
        let healed = self.ctx.until("the client to work again", SOON, works).await;
        healed.map_err(|waited| format!("{waited}: {:?}", last.lock().unwrap()))?;
        self.client.put("k", "v").await?;
        Ok(())
    }
}

async fn connect(ctx: &Ctx, bridge: &Bridge) -> Result<Client, Error> {
    let config = Config::new([bridge.url()])
        .connect_timeout(SHORT)
        .reconnect_backoff_min(Duration::from_millis(5))
        .reconnect_backoff_max(Duration::from_millis(50));
    ctx.connect_with(config).await
}

/// What came of a write.
pub(super) struct WriteResult {
    pub(super) error: Option<Error>,
    pub(super) version: i64,
}

fn expect(what: &str, error: Option<&Error>, kind: ErrorKind, outcome: Outcome) -> CaseResult {
    let error = error.ok_or_else(|| format!("{what}: it succeeds"))?;
    // Once dead connections are noticed the call may have gone on to wait for another one.
    let kinds = [kind, ErrorKind::TimedOut(Phase::Connection), ErrorKind::ConnectionLost];
    if kinds.contains(&error.kind()) && error.outcome() == outcome {
        return Ok(());
    }
    Err(format!("{what}: {error}").into())
}

/// N1, N2, R42, B15: silence in both directions or in one.
async fn bytes_that_disappear(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let silence = Fault::new().silence();
    for (name, ways) in [("both", &Direction::BOTH[..]), ("up", &[Up]), ("down", &[Down])] {
        rig.heal().await?;
        rig.bridge.set_fault(Relays::All, ways.iter().copied(), silence);
        let put = rig.put(name, SHORT).await?;
        let answer = ErrorKind::TimedOut(Phase::Answer);
        expect(name, put.error.as_ref(), answer, Outcome::Unknown)?;
        assert_eq!(put.version, i64::from(name == "down"), "applied where only the answer is lost");
        let error = rig.get(SHORT).await?.ok_or("the read succeeds")?;
        assert!(matches!(error.kind(), ErrorKind::TimedOut(_)), "{error}");
    }
    rig.heal().await
}

/// N3, N4, B12: the connection ends before the call, or in its middle. A read never fails for it.
async fn connections_that_end(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    for end in [Cut::Reset, Cut::Close, Cut::Fin] {
        for way in Direction::BOTH {
            for after in [0, 5, 30] {
                let name = format!("{end:?} {way:?} {after}");
                let cut = Fault::new().cut(after, end);
                rig.heal().await?;
                let before = rig.bridge.connections().accepted;
                rig.bridge.set_fault(Relays::One(last(&rig.bridge)?), [way], cut);
                if let Some(error) = rig.get(SOON).await? {
                    return Err(format!("{name}: {error}").into());
                }
                rig.heal().await?;
                rig.bridge.set_fault(Relays::One(last(&rig.bridge)?), [way], cut);
                rig.put(&name, SOON).await?;
                rig.heal().await?;
                let ended = rig.bridge.connections().accepted - before;
                assert_eq!(ended, 2, "{name}: each call met the end of its connection");
            }
        }
    }
    rig.heal().await
}

pub(super) fn last(bridge: &Bridge) -> Result<u64, &'static str> {
    bridge.relays().last().copied().ok_or("there is no connection")
}

/// N5, N6, N7: slow is not broken.
async fn bytes_that_come_late_or_in_pieces(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    let ms = Duration::from_millis;
    for (name, fault) in [
        ("latency", Fault::new().delay(ms(50), ms(100)).seed(ctx.rt.seed())),
        ("throttle", Fault::new().throttle(1000)),
        ("drip", Fault::new().pieces(1)),
        ("all of it", Fault::new().delay(ms(5), ms(10)).throttle(3000).pieces(1)),
    ] {
        rig.heal().await?;
        rig.bridge.set_fault(Relays::All, Direction::BOTH, fault);
        for number in 0..3 {
            let put = rig.put(&format!("{name} {number}"), SOON).await?;
            assert_eq!(put.error, None, "{name}");
            assert_eq!(rig.get(SOON).await?, None, "{name}");
        }
        // The handshake, too.
        rig.bridge.drop_all();
        assert_eq!(rig.get(SOON).await?, None, "{name}");
    }
    rig.heal().await
}

/// N10, N11, N14, I-C11: there is no connection, and none can be made; nothing was sent.
async fn no_new_connections(ctx: Ctx) -> CaseResult {
    type Close = fn(&Bridge) -> Result<(), etcd3_lab::Error>;
    let rig = Rig::new(&ctx).await?;
    let ways: [(&str, Close); 4] = [
        ("accepted, then silence", |bridge| {
            bridge.set_fault(Relays::Next, Direction::BOTH, Fault::new().silence());
            Ok(())
        }),
        ("not even accepted", |bridge| {
            bridge.pause_accept();
            Ok(())
        }),
        ("no answer to a SYN", Bridge::ignore),
        ("refused", |bridge| {
            bridge.refuse();
            Ok(())
        }),
    ];
    for (name, close) in ways {
        rig.heal().await?;
        close(&rig.bridge)?;
        rig.bridge.drop_all();
        // Whether the first call still meets the old connection is a matter of luck.
        rig.get(SHORT).await?.ok_or("the read succeeds")?;
        let put = rig.put(name, SHORT).await?;
        let waiting = ErrorKind::TimedOut(Phase::Connection);
        expect(name, put.error.as_ref(), waiting, Outcome::NotSent)?;
        // A call that waits is served as soon as there is a way again.
        let (client, key) = (rig.client.clone(), format!("{name}, then healed"));
        let waits = ctx.spawn(async move { client.put(key, "v").timeout(SOON).await });
        rig.heal().await?;
        ctx.within(SOON, waits).await.ok_or("the waiting write hangs")??;
    }
    Ok(())
}

/// N12, C-09: a firewall forgets an idle connection, and tells nobody.
async fn connections_that_are_forgotten(ctx: Ctx) -> CaseResult {
    let idle = Duration::from_millis(300);
    let rig = Rig::new(&ctx).await?;
    rig.heal().await?;
    let relay = last(&rig.bridge)?;
    rig.bridge.set_fault(Relays::One(relay), [Up], Fault::new().forget_after(idle));
    // Longer than that: the client may have had something to say to the answer before.
    ctx.pause(idle * 3).await;
    let put = rig.put("idle", SHORT).await?;
    expect("idle", put.error.as_ref(), ErrorKind::TimedOut(Phase::Answer), Outcome::Unknown)?;
    assert_eq!(put.version, 0);
    rig.heal().await
}

/// N13, N3: every connection ends after some calls. Reads never fail; a write fails only with the
/// truth.
async fn connections_that_end_again_and_again(ctx: Ctx) -> CaseResult {
    let rig = Rig::new(&ctx).await?;
    for end in [Cut::Close, Cut::Reset] {
        rig.bridge.set_fault(Relays::All, [Down], Fault::new().cut(700, end));
        let before = rig.bridge.connections().accepted;
        for number in 0..40 {
            assert_eq!(rig.get(SOON).await?, None);
            rig.put(&format!("{end:?} {number}"), SOON).await?;
        }
        assert!(rig.bridge.connections().accepted - before > 5, "{:?}", rig.bridge.connections());
        rig.heal().await?;
    }
    Ok(())
}

/// N1, C-01, I-C7: with another endpoint, calls get through while one is a black hole.
async fn one_way_of_two_is_a_black_hole(ctx: Ctx) -> CaseResult {
    let server = ctx.server().await?;
    let bridge = Bridge::new(server.addr())?;
    let config = Config::new([bridge.url(), server.client_url()]).connect_timeout(SHORT);
    let client = Client::connect_lazy_on(Arc::clone(&ctx.rt), config)?;
    client.get("k").await?;
    ctx.until_connected(&client).await?;
    bridge.blackhole();
    let (mut reads, mut writes) = (0, 0);
    for _ in 0..10 {
        reads += i64::from(client.get("k").timeout(SHORT).await.is_ok());
    }
    for _ in 0..10 {
        match client.put("k", "v").timeout(SHORT).await {
            Ok(_) => writes += 1,
            Err(error) => assert_eq!(error.outcome(), Outcome::Unknown, "{error}"),
        }
    }
    assert!(reads >= 3 && writes >= 3, "{reads} reads and {writes} writes of 10");
    assert!(bridge.swallowed(Up) > 0, "no call went into the hole");
    bridge.unblackhole();
    ctx.until("the bridge in use", SOON, || async {
        client.get("k").timeout(SHORT).await.is_ok() && bridge.connections().live == 1
    })
    .await?;
    assert_eq!(client.get("k").await?.kvs[0].version, writes, "what was swallowed came nowhere");
    Ok(())
}
