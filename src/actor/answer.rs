//! Answers requests from other nodes to actors of this node: finds the actor by its name, finds the
//! request type by its topic, and asks the actor through a reference.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::ready;
use mycelium_core::Request;
use mycelium_core::channel::Queue;
use mycelium_executor::SendFuture;

use super::far::{ActorCall, ActorReply, Answer, WatchCall, WatchReply};
use super::life::{Actor, AskVisitor, Replies};
use super::reference::ActorRef;
use super::set::Set;
use super::set::cell::Cell;
use super::values::ActorEnd;
use crate::inbox::request::{Failure, Mismatch, is_too_long};
use crate::supervise::caught;

impl Set {
    /// Asks the actor that a call names. If the future is dropped, the request is cancelled.
    pub(crate) fn answer(&self, call: &ActorCall, within: Option<Duration>) -> Answer {
        let Some(cell) = self.named(call.actor()) else {
            let was_there = self.has_ended(call.actor());
            let failure = if was_there { Failure::Gone } else { Failure::NotFound };
            return ready(Err(failure)).boxed();
        };
        let answer = cell.core().answer;
        answer(cell, call, within)
    }

    /// Waits for the end of the actor that a call names.
    pub(crate) fn answer_watch(&self, call: &WatchCall) -> SendFuture<WatchReply> {
        match self.named(call.actor()) {
            Some(cell) => async move { WatchReply::new(&cell.core().ended().await) }.boxed(),
            None => ready(WatchReply::new(&ActorEnd::NotFound)).boxed(),
        }
    }
}

/// Implements [`AnswerCall`](crate::actor::far::AnswerCall) for an actor type and a queue.
pub(crate) fn answer<A: Actor, Q: Queue>(
    cell: Arc<dyn Any + Send + Sync>,
    call: &ActorCall,
    within: Option<Duration>,
) -> Answer {
    let refused = |mismatch| ready(Ok(ActorReply::refused(mismatch))).boxed();
    // Refused: a reference would take the only sender, and dropping it would close the mailbox.
    if !Q::SHARED {
        return refused(Mismatch::OneSender);
    }
    let reference = cell.downcast::<Cell<A::Mail, Q>>().ok().map(|cell| ActorRef::of(&cell));
    let Some(Ok(mut reference)) = reference else {
        return ready(Err(Failure::Gone)).boxed();
    };
    let mut dispatch = Dispatch { reference: &mut reference, call, within, answer: None };
    A::each_request(&mut dispatch);
    dispatch.answer.unwrap_or_else(|| refused(Mismatch::Request))
}

/// Finds the actor's handler for a call.
struct Dispatch<'a, A: Actor, Q: Queue> {
    reference: &'a mut ActorRef<A, Q>,
    call: &'a ActorCall,
    within: Option<Duration>,
    answer: Option<Answer>,
}

impl<A: Actor, Q: Queue> AskVisitor<A> for Dispatch<'_, A, Q> {
    fn visit<R: Request>(&mut self)
    where
        A: Replies<R>,
    {
        let answer = match self.call.request::<R>() {
            None => return,
            Some(Err(refused)) => ready(Ok(refused)).boxed(),
            Some(Ok(request)) => {
                let answer = self.call.replied::<R::Reply>();
                let reply = self.reference.ask(request);
                let reply = match self.within {
                    Some(within) => reply.within(within),
                    None => reply,
                };
                let answer = async move {
                    let reply = reply.await.map_err(|error| error.failure())?;
                    // A `Serialize` of the user that panics ends this request alone.
                    let mut encoded = Err(Failure::Dropped);
                    let encode = &mut || {
                        encoded = match is_too_long(&reply) {
                            true => Err(Failure::ReplyTooLong),
                            false => Ok(answer.clone().with(&reply)),
                        };
                    };
                    _ = caught(encode);
                    encoded
                };
                answer.boxed()
            }
        };
        self.answer = Some(answer);
    }
}
