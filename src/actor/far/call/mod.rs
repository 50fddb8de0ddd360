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
use mycelium_transports::link::Growth;
use mycelium_transports::local::Schema;

use crate::actor::values::LONGEST_NAME;
use crate::inbox::request::{Failure, Mismatch};

/// The largest request, and the largest reply, of an actor in another node, in bytes: the limit of
/// a message type that sets none.
pub(crate) const MOST_BYTES: usize = 64 << 10;

/// The longest layout of a request or a reply that has grown, in bytes of its canonical form.
const MOST_FORM_BYTES: usize = 60 << 10;

/// A request to an actor of another node.
#[message(topic = "mycelium.actor-calls", id = 0xFFFE, reply = ActorReply, max = "127 KiB", hidden)]
pub(crate) struct ActorCall {
    /// The hash of the request's topic.
    topic: u64,
    /// The digests of the layouts of the request, and of its reply.
    request: [u8; 16],
    reply: [u8; 16],
    actor: FixedStr<LONGEST_NAME>,
    /// The bytes of the request.
    bytes: Vec<u8>,
    /// The canonical form of the layout of the request, if the actor's node has asked for it.
    layout: Vec<u8>,
}

/// The reply of an actor to another node, or why it cannot answer.
#[message(topic = "mycelium.actor-replies", id = 0xFFFD, max = "127 KiB", hidden)]
#[derive(Debug)]
pub(crate) struct ActorReply {
    outcome: u64,
    /// The bytes of the reply; empty if there is none.
    bytes: Vec<u8>,
    /// The canonical form of the layout of the reply, if it differs from that of the call.
    layout: Vec<u8>,
}

/// Returns the topic of requests to the actors of a node.
pub(crate) fn calls_topic(node: &str) -> String {
    format!("actors@{node}")
}

/// The values of `outcome` in [`ActorReply`].
const REPLIED: u64 = 0;
const ASKS_LAYOUT: u64 = 4;

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
    /// The other node has another version of the request or of its reply. It has not asked the
    /// actor, and converts the request if a call [with its layout](ActorCall::with_layout) follows.
    AsksLayout,
    /// The reply has grown, and is longer than its type allows.
    TooLong,
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
            layout: Vec::new(),
        }
    }

    /// Creates the call with the layout of the request; `None` if the layout is too long.
    pub(crate) fn with_layout<R: Request>(actor: &str, request: &R) -> Option<ActorCall> {
        let fits = form_bytes::<R>() <= MOST_FORM_BYTES;
        fits.then(|| ActorCall { layout: form_of::<R>(), ..ActorCall::new(actor, request) })
    }

    /// Returns the name of the actor.
    pub(crate) fn actor(&self) -> &str {
        &self.actor
    }

    /// Returns the request if it is an `R`, or has grown to one; `None` if it has another topic. An
    /// error is the reply that says why there is no request.
    pub(crate) fn request<R: Request>(&self) -> Option<Result<R, ActorReply>> {
        if self.topic != hash(R::TOPIC) {
            return None;
        }
        let is_known = Digest(self.request) == R::DIGEST;
        if self.layout.is_empty() && !(is_known && Digest(self.reply) == R::Reply::DIGEST) {
            let longest = form_bytes::<R>().max(form_bytes::<R::Reply>());
            return Some(Err(match longest <= MOST_FORM_BYTES {
                true => ActorReply { outcome: ASKS_LAYOUT, ..self.replied::<R::Reply>() },
                false => ActorReply::refused(Mismatch::Layout),
            }));
        }
        let request = match is_known {
            true => decode(&self.bytes).ok(),
            false => converted::<R>(&self.layout, &self.bytes).and_then(|it| decode(&it).ok()),
        };
        let request = request.filter(|_| R::Reply::MAX <= MOST_BYTES);
        Some(request.ok_or(ActorReply::refused(Mismatch::Layout)))
    }

    /// Returns the reply to this call without its bytes, with the layout of `M` if the caller has
    /// another one.
    pub(crate) fn replied<M: Message>(&self) -> ActorReply {
        let is_known = Digest(self.reply) == M::DIGEST;
        let layout = if is_known { Vec::new() } else { form_of::<M>() };
        ActorReply { outcome: REPLIED, bytes: Vec::new(), layout }
    }
}

impl ActorReply {
    /// Adds the bytes of the reply.
    pub(crate) fn with<M: Message>(self, reply: &M) -> ActorReply {
        // Cannot fail: the caller has refused a reply with more bytes than its type allows.
        ActorReply { bytes: to_bytes(reply).unwrap_or_default(), ..self }
    }

    pub(crate) fn refused(mismatch: Mismatch) -> ActorReply {
        ActorReply { outcome: outcome_of(mismatch), bytes: Vec::new(), layout: Vec::new() }
    }

    /// Returns the reply, if it is an `M`, or has grown to one.
    pub(crate) fn reply<M: Message>(&self) -> Replied<M> {
        let of_bytes = |bytes: &[u8]| decode(bytes).map_or(Replied::Invalid, Replied::Reply);
        match self.outcome {
            REPLIED if self.layout.is_empty() => of_bytes(&self.bytes),
            REPLIED => match converted::<M>(&self.layout, &self.bytes) {
                Some(bytes) if bytes.len() > M::MAX => Replied::TooLong,
                Some(bytes) => of_bytes(&bytes),
                None => Replied::Invalid,
            },
            ASKS_LAYOUT if self.layout.is_empty() || growth::<M>(&self.layout).is_some() => {
                Replied::AsksLayout
            }
            ASKS_LAYOUT => Replied::Mismatch(Mismatch::Layout),
            outcome => {
                let mut known =
                    [Mismatch::Request, Mismatch::Layout, Mismatch::OneSender].into_iter();
                let mismatch = known.find(|mismatch| outcome_of(*mismatch) == outcome);
                mismatch.map_or(Replied::Invalid, Replied::Mismatch)
            }
        }
    }
}

/// Returns how a message whose layout has this canonical form becomes an `M`; `None` if it cannot.
fn growth<M: Message>(form: &[u8]) -> Option<Growth> {
    Growth::of_form(&Schema::of::<M>(), form)
}

/// Returns the bytes of an `M`, from those of a message whose layout has this canonical form.
fn converted<M: Message>(form: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    growth::<M>(form)?.convert(bytes)
}

/// Returns the length of the canonical form of the layout of `M`.
fn form_bytes<M: Message>() -> usize {
    M::DESCRIPTOR.canonical(0, &mut []).1
}

/// Returns the canonical form of the layout of `M`.
fn form_of<M: Message>() -> Vec<u8> {
    let mut form = vec![0; form_bytes::<M>()];
    _ = M::DESCRIPTOR.canonical(0, &mut form);
    form
}

/// Returns the 64-bit FNV-1a hash of a text.
fn hash(text: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, hash)
}

#[cfg(test)]
mod tests;
