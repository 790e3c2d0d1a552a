//! Reading a range by one call whose answer comes in pieces.

// K22–K24

use crate::call::streamed::{Attempted, StreamDriver};
use crate::call::{self, CallOptions, OperationCall};
use crate::shared::Shared;
use crate::{Client, Error, ErrorKind};
use etcd3_core::channel::EndpointId;
use etcd3_core::endpoint::Endpoint;
use etcd3_core::method::{self, Effect};
use etcd3_core::namespace::KeyPrefix;
use etcd3_core::proto::etcdserverpb::StatusRequest;
use etcd3_core::request::{GetResponse, Operation, Raw, range_stream};
use etcd3_core::rpc::Rpc;
use etcd3_core::stream::server_stream::{Options, ServerStream};
use etcd3_core::{Get, Version};
use futures_core::Stream;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A read whose answer comes piece by piece, by one call: a stream of [`GetResponse`]s that holds
/// each key once. Made by [`Client::range_stream`].
///
/// For etcd 3.7 and later, without a proxy of etcd in between. [`Client::pages`] takes any server,
/// uses this call where it can, and goes on where it was after a loss: prefer it.
///
/// All pieces show the store as it was at one revision, and their keys come in ascending order.
/// `header`, `more` and `count` are those of the answer as a whole and stand in the last piece
/// only, which is handed out when the server has said that all is well. A piece is about as large
/// as the largest request that the server takes, 1.5 MiB by default, and up to ten keys large where
/// that is more. One is held in memory at a time: the server is held back from one who is slow to
/// take them.
///
/// # Errors
///
/// Kind [`InvalidRequest`](ErrorKind::InvalidRequest) for a sort, other than by ascending key, and
/// for revision filters; [`Unsupported`](ErrorKind::Unsupported) where the server does not have the
/// call; and those of any read. A failure ends the stream. Until the first piece the call is
/// repeated as any read is; what breaks after that has to be begun again.
///
/// # Cancel safety
///
/// Dropping the future of one `next` loses nothing; dropping the stream ends the call.
#[must_use = "a stream does nothing until it is polled"]
pub struct RangeStream {
    get: Get,
    options: StreamOptions,
    state: State,
    /// Declared last so that it is dropped last.
    client: Client,
}

enum State {
    Idle,
    Reading(Box<Pieces>),
    Asking(Box<Asking>),
    Done,
}

/// How the call is made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StreamOptions {
    /// How long a piece may take.
    pub(crate) timeout: Option<Duration>,
    pub(crate) require_leader: Option<bool>,
    pub(crate) only: Option<EndpointId>,
    /// Whether the caller has another way to the pieces.
    pub(crate) is_optional: bool,
}

impl RangeStream {
    pub(crate) fn new(client: Client, get: Get) -> Self {
        Self { get, options: StreamOptions::default(), state: State::Idle, client }
    }

    /// Sets how long one piece may take from when it is waited for, in place of
    /// `Config::request_timeout`.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets whether a member that knows no leader is to refuse the call, and one that loses it to
    /// end it, in place of `Config::require_leader`.
    pub fn require_leader(mut self, is_required: bool) -> Self {
        self.options.require_leader = Some(is_required);
        self
    }

    /// Returns the next piece; `None` after the last one, or after a failure.
    ///
    /// # Errors
    ///
    /// Those of the stream; a failure ends it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<GetResponse, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn begin(&self) -> Result<State, Error> {
        let options = StreamOptions { only: self.client.only(), ..self.options };
        let pieces = Pieces::new(&self.client, self.get.clone(), options)?;
        Ok(State::Reading(Box::new(pieces)))
    }
}

impl Stream for RangeStream {
    type Item = Result<GetResponse, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Done => return Poll::Ready(None),
                State::Idle => {
                    let begun = self.begin();
                    self.state = State::Done;
                    self.state = begun?;
                }
                State::Reading(pieces) => {
                    let next = ready!(pieces.poll_next(cx));
                    let Some(Err(error)) = next else {
                        if next.is_none() {
                            self.state = State::Done;
                        }
                        return Poll::Ready(next);
                    };
                    let at = pieces.driver.at.take();
                    let Some(at) = at.filter(|_| is_of_unknown_version(&error)) else {
                        self.state = State::Done;
                        return Poll::Ready(Some(Err(error)));
                    };
                    let asking = Asking::new(self.client.shared(), at, error);
                    self.state = State::Asking(Box::new(asking));
                }
                State::Asking(asking) => {
                    let error = ready!(asking.poll(cx));
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

impl fmt::Debug for RangeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeStream").field("options", &self.options).finish_non_exhaustive()
    }
}

fn is_of_unknown_version(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unsupported { has: None, .. })
}

/// An error that lacks the version of its server, which is asked for it.
struct Asking {
    run: OperationCall<Raw<StatusRequest>>,
    at: Attempted,
    error: Error,
}

impl Asking {
    fn new(shared: &Arc<Shared>, at: Attempted, error: Error) -> Self {
        let options = CallOptions {
            timeout: Some(shared.config.connect_timeout),
            only: Some(at.endpoint),
            max_attempts: Some(1),
            ..CallOptions::default()
        };
        let run = OperationCall::new(Arc::clone(shared), Raw(StatusRequest {}), options);
        Self { run, at, error }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        let (status, _) = ready!(Pin::new(&mut self.run).poll(cx));
        let version = status.ok().and_then(|status| Version::parse(&status.version));
        if let Some(version) = version {
            self.at.connection.facts.note_version(version);
        }
        Poll::Ready(self.error.clone().with_version(version))
    }
}

/// The pieces of one answer.
pub(crate) struct Pieces {
    shared: Arc<Shared>,
    get: Get,
    /// What is before its keys, unseen by the caller.
    prefix: Option<KeyPrefix>,
    only: Option<EndpointId>,
    pub(crate) driver: StreamDriver,
    is_over: bool,
}

impl Pieces {
    /// Makes a call that has not begun.
    ///
    /// # Errors
    ///
    /// What is not to be sent.
    pub(crate) fn new(client: &Client, get: Get, options: StreamOptions) -> Result<Self, Error> {
        let (shared, prefix) = (client.shared(), client.key_prefix().cloned());
        let method = &method::RANGE_STREAM;
        get.check_stream()
            .map_err(|error| error.with_method(method.path).with_effect(Effect::Read))?;
        let config = &shared.config;
        let Rpc { is_linearizable, is_ordered, local_revision, .. } = get.rpc();
        let machine = ServerStream::new(
            method,
            Options {
                message_timeout: options.timeout.unwrap_or(config.request_timeout),
                deadline: None,
                attempt_timeout: config.attempt_timeout,
                max_attempts: config.max_attempts,
                backoff: config.retry_backoff,
                max_message_bytes: config.max_response_bytes,
                require_leader: options.require_leader.unwrap_or(config.require_leader),
                is_linearizable,
                is_ordered,
                local_revision,
                only: options.only,
                is_optional: options.is_optional,
                header: Some(range_stream::header_of_piece),
                seed: shared.next_seed(),
            },
        );
        let driver = StreamDriver::new(Arc::clone(&shared.pool), machine);
        let (shared, only) = (Arc::clone(shared), options.only);
        Ok(Self { shared, get, prefix, only, driver, is_over: false })
    }

    /// Waits for the next piece; `None` after the last one, or after an error.
    pub(crate) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<GetResponse, Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Self { shared, get, prefix, driver, .. } = self;
        let (limits, prefix) = (&shared.config.limits, prefix.as_ref());
        let next = ready!(driver.poll_next(shared.now(), cx, &mut || get.encode(limits, prefix)));
        let next = next.map(|next| {
            next.and_then(|message| range_stream::piece(message, self.prefix.as_ref()))
                .map_err(|error| self.complete(error))
        });
        self.is_over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    /// Completes an error, and remembers what the server lacks.
    fn complete(&self, error: Error) -> Error {
        if let (ErrorKind::Unsupported { .. }, Some(at)) = (error.kind(), &self.driver.at) {
            at.connection.facts.note_lack_of_range_stream();
        }
        let error = error.with_method(method::RANGE_STREAM.path).with_effect(Effect::Read);
        match error.endpoint() {
            Some(_) => error,
            None => call::explain(&self.shared, self.only, error)
                .with_endpoint(self.driver.last().map(Endpoint::text)),
        }
    }
}
