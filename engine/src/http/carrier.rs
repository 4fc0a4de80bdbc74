//! What carries a request to a node and its answer back.
//!
//! The two traits here are all that HTTP/1.1 and HTTP/2 upstream do differently: how a connection is had and given
//! back, how head and body go over, how the answer's head and body come back, and what is known of a request that
//! failed. [`crate::http::exchange`] does the rest, once. An implementation decides nothing that concerns the client.
//!
//! Implementations: [`crate::http::h1_upstream`], [`crate::http::h2_upstream`].

use std::io;
use std::rc::Rc;
use std::time::Instant;

use crate::error::Error;
use crate::http::body::BodyFraming;
use crate::http::head::{Method, ResponseHead, ResponseMeta};
use crate::net::Timer;
use crate::pool::NodePool;
use crate::relay::{Append, Sink, Source};
use crate::shard::{ServiceState, Shard};

/// What carries one exchange: a connection of HTTP/1.1, or one stream of an HTTP/2 connection.
#[allow(async_fn_in_trait)] // used in this crate alone, on one thread
pub trait Carrier: Sized {
    /// A request's head as the protocol wants it, and what of the body goes with it.
    type Request: Append;
    /// The way of the rest of the body.
    type Upload<'a>: Sink
    where
        Self: 'a;
    /// The way of the answer.
    type Answer<'a>: Answer
    where
        Self: 'a;

    /// One out of a node's pool; with `heard_after`, only one of a connection that is known to have been alive after that.
    fn take(pool: &NodePool, now: Instant, heard_after: Option<Instant>) -> Option<Self>;

    /// One of a new connection, within `timeouts.connect`.
    ///
    /// # Errors
    /// The node could not be reached, or has its most connections ([`Error::NodesBusy`]).
    async fn open(
        shard: &Rc<Shard>,
        service: &ServiceState,
        node: usize,
        header: &[u8],
        timer: &Timer,
    ) -> Result<Self, Error>;

    /// Sends what there is of the request, as far as that needs no waiting for the node. Whether nothing of it is left: if
    /// not, [`Self::split`] goes on with it.
    ///
    /// # Errors
    /// The connection failed.
    async fn send(&mut self, request: &mut Self::Request) -> io::Result<bool>;

    /// The answer alone, of a request of which nothing is left to be sent.
    fn answer(&mut self) -> Self::Answer<'_>;

    /// Both ways at the same time.
    fn split<'a>(
        &'a mut self,
        shard: &'a Shard,
        framing: BodyFraming,
    ) -> (Self::Upload<'a>, Self::Answer<'a>);

    /// After a failure before any answer: puts what was sent back into `request`, so that it can be sent again, and
    /// says what the node may have made of it. `whole`: nothing of the request came after it. `None`: it is gone, or
    /// another try would be no better.
    fn take_back(&mut self, request: &mut Self::Request, whole: bool) -> Option<Reached>;

    /// Gives it back after an exchange. `reusable`: request and answer went over whole, and the node lets it stay.
    fn release(self, shard: &Shard, service: &ServiceState, node: usize, reusable: bool);

    /// Gives it up after an exchange that failed with `error`; `untouched`: before any byte of an answer.
    fn give_up(self, shard: &Shard, service: &ServiceState, node: usize, error: &Error, untouched: bool);
}

/// What a node may have made of a request that it did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// Nothing: any request may be sent again.
    Nothing,
    /// It may have acted on it: only an idempotent one may be sent again.
    Perhaps,
}

/// The answer to a request, coming in.
#[allow(async_fn_in_trait)] // as above
pub trait Answer {
    /// The next head, if it is there: shown to `visit` with whether it is final. Interim ones come one at a time.
    ///
    /// # Errors
    /// [`Error::UpstreamMalformed`].
    fn try_head(
        &mut self,
        method: Method,
        upgrade_asked: bool,
        visit: impl FnOnce(&ResponseHead, &ResponseMeta, bool),
    ) -> Result<Head, Error>;

    /// Waits until [`Self::try_head`] may have more to say.
    ///
    /// # Errors
    /// The connection failed, or the node gave up on the request.
    async fn ready(&mut self) -> Result<(), Error>;

    /// Whether nothing of a head that is not yet whole has come.
    fn is_untouched(&self) -> bool;

    /// The body that follows the final head.
    fn body(&mut self, framing: BodyFraming) -> impl Source;
}

/// What [`Answer::try_head`] found.
#[derive(Debug)]
pub enum Head {
    /// Not all of a head yet.
    Partial,
    /// 1xx, but not 101.
    Interim,
    /// The answer's head.
    Final {
        /// Of the body that follows.
        framing: BodyFraming,
        /// The node lets what carried it carry another request.
        keep_alive: bool,
        /// 101, and it was asked for.
        upgrade: bool,
    },
}
