//! Requests between nodes to actors; they are sent like the requests of services.
//! `docs/wire-format.md` has their bytes.
//!
//! # Panics
//!
//! No bytes of a peer cause a panic. Counts and texts of a call or a reply were validated when it
//! was decoded as a message; the request or the reply inside it is decoded here.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use mycelium_core::{Digest, FixedStr, Message, Request, decode, to_bytes};
use mycelium_executor::SendFuture;
use mycelium_macros::message;

use crate::actor::values::LONGEST_NAME;
use crate::inbox::request::{Failure, Mismatch};

/// The largest request, and the largest reply, of an actor in another node, in bytes: the limit of
/// a message type that sets none.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// A request to an actor of another node.
#[message(topic = "mycelium.actor-calls", id = 0xFFFE, reply = ActorReply, max = "65 KiB", hidden)]
pub(crate) struct ActorCall {
    /// The hash of the request's topic.
    topic: u64,
    /// The digests of the layouts of the request, and of its reply.
    request: [u8; 16],
    reply: [u8; 16],
    actor: FixedStr<LONGEST_NAME>,
    /// The bytes of the request.
    bytes: Vec<u8>,
}

/// The reply of an actor to another node, or why it cannot answer.
#[message(topic = "mycelium.actor-replies", id = 0xFFFD, max = "65 KiB", hidden)]
pub(crate) struct ActorReply {
    outcome: u64,
    /// The bytes of the reply; empty if there is none.
    bytes: Vec<u8>,
}

/// Returns the topic of requests to the actors of a node.
pub(crate) fn calls_topic(node: &str) -> String {
    format!("actors@{node}")
}

/// The values of `outcome` in [`ActorReply`].
const REPLIED: u64 = 0;

fn outcome_of(mismatch: Mismatch) -> u64 {
    match mismatch {
        Mismatch::Request => 1,
        Mismatch::Layout => 2,
        Mismatch::OneSender => 3,
    }
}

/// The outcome of a call.
pub(crate) type Answer = SendFuture<Result<ActorReply, Failure>>;

/// Asks the actor of a cell, within this time if one is given. Each cell has a pointer to such a
/// function, so that an actor of any type can be asked.
pub(crate) type AnswerCall = fn(Arc<dyn Any + Send + Sync>, &ActorCall, Option<Duration>) -> Answer;

/// The reply of an actor of another node, decoded.
#[derive(Debug)]
pub(crate) enum Replied<T> {
    Reply(T),
    Mismatch(Mismatch),
    /// The other node has sent invalid bytes.
    Invalid,
}

impl ActorCall {
    /// Creates the call that asks this actor. It has no bytes if the request has more than its type
    /// allows.
    pub(crate) fn new<R: Request>(actor: &str, request: &R) -> ActorCall {
        const {
            assert!(
                R::MAX <= MOST_BYTES && R::Reply::MAX <= MOST_BYTES,
                "requests to actors of other nodes, and their replies, have at most 64 KiB"
            );
        }
        ActorCall {
            topic: hash(R::TOPIC),
            request: R::DIGEST.0,
            reply: R::Reply::DIGEST.0,
            actor: FixedStr::truncated(actor),
            bytes: to_bytes(request).unwrap_or_default(),
        }
    }

    /// Returns the name of the actor.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Returns the request if it is an `R`; `None` if it has another topic.
    pub(crate) fn request<R: Request>(&self) -> Option<Result<R, Mismatch>> {
        if self.topic != hash(R::TOPIC) {
            return None;
        }
        let layouts = (Digest(self.request), Digest(self.reply));
        let fits = layouts == (R::DIGEST, R::Reply::DIGEST) && R::Reply::MAX <= MOST_BYTES;
        let request = fits.then(|| decode(&self.bytes).ok()).flatten();
        Some(request.ok_or(Mismatch::Layout))
    }
}

impl ActorReply {
    pub(crate) fn new<M: Message>(reply: &M) -> ActorReply {
        // Cannot fail: the caller has refused a reply with more bytes than its type allows.
        let bytes = to_bytes(reply).unwrap_or_default();
        ActorReply { outcome: REPLIED, bytes }
    }

    pub(crate) fn refused(mismatch: Mismatch) -> ActorReply {
        ActorReply { outcome: outcome_of(mismatch), bytes: Vec::new() }
    }

    /// Returns the reply, if it is an `M`.
    pub(crate) fn reply<M: Message>(&self) -> Replied<M> {
        if self.outcome == REPLIED {
            return decode(&self.bytes).map_or(Replied::Invalid, Replied::Reply);
        }
        let known = [Mismatch::Request, Mismatch::Layout, Mismatch::OneSender];
        let mismatch = known.into_iter().find(|mismatch| outcome_of(*mismatch) == self.outcome);
        mismatch.map_or(Replied::Invalid, Replied::Mismatch)
    }
}

/// Returns the 64-bit FNV-1a hash of a text.
fn hash(text: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, hash)
}

#[cfg(test)]
mod tests;
