//! The task that makes the logins of a client, one at a time.

use super::source::{Credentials, HookResult, TokenHook};
use super::{Tokens, is_header};
use crate::call::{CallOptions, OperationCall};
use crate::control::Ending;
use crate::either::either;
use crate::pool::notify_all;
use crate::shared::Shared;
use crate::trace;
use etcd3_core::auth::{Input, Login, Output, TokenReason};
use etcd3_core::error::{Cause, Error, ErrorKind, Phase};
use etcd3_core::{Instant, Next, Secret, ServerError};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// The least time that a login is given: servers take their time to check a password, and calls
/// that are given less need not wait for that.
const MIN_LOGIN: Duration = Duration::from_secs(5);

/// Runs until the client closes.
pub(crate) async fn run(shared: Arc<Shared>, tokens: Arc<Tokens>) {
    let pool = &shared.pool;
    let _end = Ending(&shared);
    while !pool.is_over() {
        let wanted = tokens.wanted.listen();
        match tokens.poll(pool.rt.now()) {
            Next::Do(Output::Changed) => notify_all(&tokens.changed),
            Next::Do(Output::Ask(reason)) => {
                let obtained = obtain(&shared, reason).await;
                tokens.tell(pool.rt.now(), input(&shared, reason, obtained));
            }
            Next::Wait(until) => {
                either(either(wanted, sleep(&shared, until)), pool.over()).await;
            }
        }
    }
}

async fn sleep(shared: &Shared, until: Option<Instant>) {
    match until {
        Some(until) => shared.pool.rt.sleep_until(until).await,
        None => pending().await,
    }
}

/// Asks for a token.
async fn obtain(shared: &Arc<Shared>, reason: TokenReason) -> Result<Secret, Error> {
    match &shared.config.credentials {
        Some(Credentials::Password { name, password }) => {
            let login = Login::new(name.clone(), password.clone());
            let timeout = Some(shared.config.request_timeout.max(MIN_LOGIN));
            let options = CallOptions { timeout, is_cleanup: true, ..CallOptions::default() };
            OperationCall::new(Arc::clone(shared), login, options).await.0
        }
        Some(Credentials::Hook(hook)) => ask(shared, hook, reason).await,
        // There is only one, and it was never asked for.
        Some(Credentials::Token(_)) | None => Err(Error::new(ErrorKind::NoToken)),
    }
}

/// Asks whoever makes the tokens of this client, for as long as a call may take.
async fn ask(shared: &Shared, hook: &TokenHook, reason: TokenReason) -> Result<Secret, Error> {
    let pool = &shared.pool;
    let token = async {
        let token = caught(hook, reason).await;
        token.map_err(|error| Error::new(ErrorKind::NoToken).with_cause(Cause::new(error)))
    };
    let late = async {
        pool.rt.sleep_until(pool.rt.now() + shared.config.request_timeout).await;
        Err(Error::new(ErrorKind::TimedOut(Phase::Token)))
    };
    let closed = async {
        pool.over().await;
        Err(Error::new(pool.closed_kind().unwrap_or(ErrorKind::Closed)))
    };
    either(token, either(late, closed)).await
}

/// Calls the function of the user, and waits for what it makes. A panic of it is an error: it would
/// end the task, and with that the client.
async fn caught(hook: &TokenHook, reason: TokenReason) -> HookResult {
    let mut token = None;
    poll_fn(|cx| {
        let mut poll = || token.get_or_insert_with(|| hook(reason)).as_mut().poll(cx);
        catch_unwind(AssertUnwindSafe(&mut poll))
            .unwrap_or_else(|_| Poll::Ready(Err("the source of tokens panicked".into())))
    })
    .await
}

/// Says what the machine is to be told.
fn input(shared: &Shared, reason: TokenReason, obtained: Result<Secret, Error>) -> Input {
    match obtained {
        Ok(token) if is_header(&token) => {
            trace::token_obtained(reason);
            Input::Obtained { token, unix_time: shared.pool.rt.unix_time() }
        }
        Ok(_) => {
            failed(reason, Error::protocol("a token that is empty, or that no header can hold"))
        }
        Err(error) if error.server_error() == Some(ServerError::AuthNotEnabled) => {
            trace::no_token_needed(reason);
            Input::NotEnabled
        }
        Err(error) => failed(reason, error),
    }
}

fn failed(reason: TokenReason, error: Error) -> Input {
    if !error.is_closed() {
        trace::no_token(reason, &error);
    }
    Input::Failed(error)
}
