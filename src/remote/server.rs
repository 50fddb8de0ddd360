//! The side of the node that answers.

use std::collections::HashMap;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use mycelium_core::Request;
use mycelium_core::message::{AnswerHead, CallHead};
use mycelium_macros::service;
use mycelium_transports::local::{Delivery, GapReason};

use super::{REPLIED, most_open, outcome_of};
use crate::error::Result;
use crate::request::{Failure, PendingReply, RequestError, Taken};
use crate::service::Context;

/// Requests what another node calls for, and sends the answers back.
pub(crate) struct Server<Q> {
    /// That of the topic.
    capacity: usize,
    request: PhantomData<fn(Q)>,
}

impl<Q: Request> Server<Q> {
    pub(crate) fn new(capacity: usize) -> Server<Q> {
        Server { capacity, request: PhantomData }
    }
}

enum Event<Q: Request> {
    Call(Option<Delivery<Q::Call>>),
    Outcome(u64, Result<Q::Reply, RequestError<Q>>),
    /// The call that waits has room.
    Room,
}

#[service(send, reads(Q::Call as calls), emits(Q::Answer as answers), requests(Q))]
impl<Q: Request> Server<Q> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut calls = ctx.subscribe_on(Self::calls)?;
        let most = most_open(self.capacity);
        let mut open = FuturesUnordered::new();
        let mut handles = HashMap::<u64, AbortHandle>::new();
        let mut has_callers = true;
        // A call that came when as many were open as can be.
        let mut waiting = None;
        while has_callers || !open.is_empty() || waiting.is_some() {
            if open.len() < most
                && let Some((head, request)) = waiting.take()
            {
                let CallHead { number, time_left } = head;
                let reply = ctx.request(request);
                let reply = match time_left {
                    u64::MAX => reply,
                    nanos => reply.within(Duration::from_nanos(nanos)),
                };
                let (handle, registration) = AbortHandle::new_pair();
                handles.insert(number, handle);
                open.push(Abortable::new(numbered(number, reply), registration));
            }
            // Also if as many are open as can be: the next one may cancel one of them.
            let takes = has_callers && waiting.is_none();
            let event = poll_fn(|context| {
                while let Poll::Ready(Some(outcome)) = open.poll_next_unpin(context) {
                    // One that was cancelled has no answer.
                    if let Ok((number, outcome)) = outcome {
                        return Poll::Ready(Event::Outcome(number, outcome));
                    }
                }
                if waiting.is_some() && open.len() < most {
                    return Poll::Ready(Event::Room);
                }
                if takes && let Poll::Ready(call) = calls.poll_recv(context) {
                    return Poll::Ready(Event::<Q>::Call(call));
                }
                Poll::Pending
            });
            match event.await {
                Event::Call(Some(Delivery::Msg(call))) => {
                    let (head, request) = Q::of_call(*call);
                    calls.done();
                    match head.time_left {
                        0 => handles.remove(&head.number).iter().for_each(AbortHandle::abort),
                        _ => waiting = Some((head, request)),
                    }
                }
                // It starts with the next turn.
                Event::Room => {}
                // The process that called is gone, and so are its requesters.
                Event::Call(Some(Delivery::Gap(gap))) if gap.reason == GapReason::Disconnected => {
                    handles.clear();
                    open.clear();
                    waiting = None;
                }
                Event::Call(Some(Delivery::Gap(_))) => {}
                Event::Call(None) => has_callers = false,
                Event::Outcome(number, outcome) => {
                    handles.remove(&number);
                    let (outcome, reply) = match outcome {
                        Ok(reply) => (REPLIED, Some(reply)),
                        Err(error) => (outcome_of(failure(&error)), None),
                    };
                    let answer = Q::to_answer(AnswerHead { number, outcome }, reply);
                    ctx.emit_on(Self::answers, answer).await?;
                }
            }
        }
        Ok(())
    }
}

async fn numbered<Q: Request>(
    number: u64,
    reply: PendingReply<Q>,
) -> (u64, Result<Q::Reply, RequestError<Q>>) {
    (number, reply.await)
}

fn failure<Q: Request>(error: &RequestError<Q>) -> Failure {
    match error {
        RequestError::Gone => Failure::Gone,
        RequestError::Refused(_) => Failure::Refused,
        RequestError::Deadline { taken: Taken::No, .. } => Failure::Late,
        RequestError::Deadline { .. } => Failure::LateHeld,
        RequestError::HandlerFailed => Failure::Dropped,
        RequestError::Unreachable { .. } => Failure::Lost,
        RequestError::ShuttingDown => Failure::ShuttingDown,
    }
}
