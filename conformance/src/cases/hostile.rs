//! How scripts of a hostile peer are run, and what is expected of the client.
//!
//! | expectation | write | read |
//! |---|---|---|
//! | [`Answered`](Expect::Answered) | the answer | the answer |
//! | [`Repeated`](Expect::Repeated): provably unprocessed | the answer, of another try | the same |
//! | [`Broken`](Expect::Broken) | *unknown*, sent once | the answer, of another try |
//! | [`Refused`](Expect::Refused) | *rejected*, sent once | the same |
//! | [`Failed`](Expect::Failed): no use in repeating it | *unknown*, sent once | the same |
//! | [`Mute`](Expect::Mute) | times out, *unknown* | times out |

use crate::peer::{Peer, Request, Wire};
use crate::{CaseResult, Ctx};
use etcd3::{Client, Config, Error, ErrorKind, Outcome, Phase};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The time that a call may overrun its deadline on a busy machine.
const SLACK: Duration = Duration::from_secs(20);
/// Enough for any script that answers.
const ENOUGH: Duration = Duration::from_secs(10);
/// What a client waits for a peer that never answers.
const SHORT: Duration = Duration::from_millis(300);

/// How a call ends against a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    Answered,
    Repeated,
    Broken,
    Refused,
    Failed,
    Mute,
}

type Play = dyn Fn(&mut Wire) -> io::Result<()> + Send + Sync;

/// What a peer does on its first connection. Afterwards, and on all others, it behaves.
#[derive(Clone)]
pub(super) struct Script {
    name: String,
    expect: Expect,
    play: Arc<Play>,
}

pub(super) fn script(
    name: impl Into<String>,
    expect: Expect,
    play: impl Fn(&mut Wire) -> io::Result<()> + Send + Sync + 'static,
) -> Script {
    Script { name: name.into(), expect, play: Arc::new(play) }
}

/// A script that begins as a good server does, up to the first request.
pub(super) fn on_request(
    name: impl Into<String>,
    expect: Expect,
    play: impl Fn(&mut Wire, &Request) -> io::Result<()> + Send + Sync + 'static,
) -> Script {
    script(name, expect, move |wire| {
        wire.greet(&[])?;
        let request = wire.whole_request()?;
        play(wire, &request)
    })
}

/// Ends a script and its connection.
pub(super) fn hang_up() -> io::Result<()> {
    Err(io::Error::other("the end of the script"))
}

/// Lets the client give up, and ends the connection then.
pub(super) fn stay_mute(wire: &mut Wire) -> io::Result<()> {
    wire.wait_reset()?;
    hang_up()
}

/// Runs each script twice: against a read and against a write.
pub(super) async fn run(ctx: &Ctx, scripts: impl IntoIterator<Item = Script>) -> CaseResult {
    for script in scripts {
        for is_write in [false, true] {
            one(ctx, &script, is_write)
                .await
                .map_err(|error| format!("{}, write: {is_write}: {error}", script.name))?;
        }
    }
    Ok(())
}

/// I-X1, I-X3, I-R1, I-R2: the call ends in time and as expected, no write is processed twice, and
/// the client works afterwards.
async fn one(ctx: &Ctx, script: &Script, is_write: bool) -> CaseResult {
    let play = Arc::clone(&script.play);
    let peer = Peer::start(move |number, mut wire| {
        if number == 0 {
            play(&mut wire)?;
        } else {
            wire.greet(&[])?;
        }
        wire.serve()
    })?;
    let config = Config::new([peer.url()])
        .connect_timeout(ENOUGH)
        .reconnect_backoff_min(Duration::from_millis(1))
        .reconnect_backoff_max(Duration::from_millis(20))
        .max_response_bytes(1 << 20);
    let client = Client::connect_lazy_on(Arc::clone(&ctx.rt), config)?;
    let timeout = if script.expect == Expect::Mute { SHORT } else { ENOUGH };
    let result = call(ctx, &client, is_write, timeout).await?;
    judge(script.expect, is_write, result)?;

    call(ctx, &client, false, ENOUGH).await?.map_err(|e| format!("a read after it: {e}"))?;
    call(ctx, &client, true, ENOUGH).await?.map_err(|e| format!("a write after it: {e}"))?;
    let most = usize::from(is_write) * (1 + usize::from(script.expect == Expect::Repeated)) + 1;
    let puts = peer.tally().puts();
    if puts > most {
        return Err(format!("the peer saw {puts} writes of {most}").into());
    }
    ctx.within(SLACK, client.close()).await.ok_or("close hung")?;
    Ok(())
}

/// Makes one call, in a task of its own, so that nothing but the client can wake it.
async fn call(
    ctx: &Ctx,
    client: &Client,
    is_write: bool,
    timeout: Duration,
) -> Result<Result<(), Error>, String> {
    let client = client.clone();
    let call = ctx.spawn(async move {
        if is_write {
            let answer = client.put("k", "v").timeout(timeout).await?;
            assert_eq!(answer.header.revision, 2);
        } else {
            let answer = client.get("k").timeout(timeout).await?;
            assert_eq!(answer.kvs[0].value, "v");
        }
        Ok(())
    });
    ctx.within(timeout + SLACK, call).await.ok_or_else(|| "it hangs".to_owned())
}

fn judge(expect: Expect, is_write: bool, result: Result<(), Error>) -> Result<(), String> {
    let outcome = match expect {
        Expect::Answered | Expect::Repeated => None,
        Expect::Broken => is_write.then_some(Outcome::Unknown),
        Expect::Refused => Some(Outcome::Rejected),
        Expect::Failed | Expect::Mute => Some(Outcome::Unknown),
    };
    let error = match (outcome, result) {
        (None, Ok(())) => return Ok(()),
        (None, Err(error)) => return Err(error.report().to_string()),
        (Some(outcome), Ok(())) => return Err(format!("answered, but it must be {outcome}")),
        (Some(_), Err(error)) => error,
    };
    let timed_out = error.kind() == ErrorKind::TimedOut(Phase::Answer);
    let is_right = Some(error.outcome()) == outcome
        && error.attempts() == 1
        && timed_out == (expect == Expect::Mute);
    if is_right { Ok(()) } else { Err(format!("not {expect:?}: {error}")) }
}
