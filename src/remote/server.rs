//! The side of the node that answers.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use mycelium_core::Request;
use mycelium_core::message::{AnswerHead, CallHead};
use mycelium_executor::SendFuture;
use mycelium_macros::service;
use mycelium_transports::local::{Delivery, EmitError, GapReason};

use super::{REPLIED, most_open, outcome_of};
use crate::error::Result;
use crate::request::{PendingReply, RequestError};
use crate::service::Context;

/// How long an answer waits for room once the node shuts down, or calls have ended: a process that
/// is stopped, or takes no answers, does not hold up the end of this node.
const ROOM: Duration = Duration::from_secs(1);

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
    /// The answer was sent, or cannot be.
    Sent(Result<(), EmitError<Q::Answer>>),
    /// There was no room for it in time.
    NoRoom,
}

#[service(send, reads(Q::Call as calls), emits(Q::Answer as answers), requests(Q))]
impl<Q: Request> Server<Q> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let executor = ctx.waits.executor.clone();
        let mut shutdown = pin!(ctx.shutdown_requested().fuse());
        let mut calls = ctx.subscribe_on(Self::calls)?;
        let most = most_open(self.capacity);
        let mut open = FuturesUnordered::new();
        let mut handles = HashMap::<u64, AbortHandle>::new();
        let (mut has_callers, mut ends) = (true, false);
        // A call that came when as many were open as can be.
        let mut waiting = None;
        // An answer that waits for room. The others wait behind it.
        let mut unsent = None;
        let mut room: Option<SendFuture<()>> = None;
        while has_callers || !open.is_empty() || waiting.is_some() || unsent.is_some() {
            if open.len() < most
                && let Some((head, request, trace)) = waiting.take()
            {
                let CallHead { number, time_left } = head;
                let passed = ctx.pass_trace(trace);
                let reply = ctx.request(request);
                drop(passed);
                let reply = match time_left {
                    u64::MAX => reply,
                    nanos => reply.within(Duration::from_nanos(nanos)),
                };
                let (handle, registration) = AbortHandle::new_pair();
                handles.insert(number, handle);
                open.push(Abortable::new(numbered(number, reply), registration));
            }
            let event = poll_fn(|context| {
                if let Some(answer) = unsent {
                    let sent = pin!(ctx.emit_on(Self::answers, answer)).poll(context);
                    if let Poll::Ready(result) = sent {
                        return Poll::Ready(Event::Sent(result));
                    }
                    ends |= !has_callers || shutdown.as_mut().poll(context).is_ready();
                    let timer = || executor.sleep_until(executor.now().saturating_add(ROOM));
                    if ends && room.get_or_insert_with(timer).as_mut().poll(context).is_ready() {
                        return Poll::Ready(Event::NoRoom);
                    }
                }
                while unsent.is_none()
                    && let Poll::Ready(Some(outcome)) = open.poll_next_unpin(context)
                {
                    // One that was cancelled has no answer.
                    if let Ok((number, outcome)) = outcome {
                        return Poll::Ready(Event::Outcome(number, outcome));
                    }
                }
                if waiting.is_some() {
                    if open.len() < most {
                        return Poll::Ready(Event::Room);
                    }
                    ends |= shutdown.as_mut().poll(context).is_ready();
                }
                // Also if as many are open as can be: the next one may cancel one of them.
                if has_callers
                    && (waiting.is_none() || ends)
                    && let Poll::Ready(call) = calls.poll_recv(context)
                {
                    return Poll::Ready(Event::<Q>::Call(call));
                }
                Poll::Pending
            });
            match event.await {
                Event::Call(Some(Delivery::Msg(call))) => {
                    let ((head, request), trace) = (Q::of_call(*call), calls.trace());
                    calls.done();
                    match head.time_left {
                        0 => handles.remove(&head.number).iter().for_each(AbortHandle::abort),
                        _ if waiting.is_none() => waiting = Some((head, request, trace)),
                        // More than can be open, and the node shuts down.
                        _ => {}
                    }
                }
                // It starts with the next turn.
                Event::Room => {}
                Event::Sent(result) => {
                    result?;
                    (unsent, room) = (None, None);
                }
                Event::NoRoom => break,
                // The process that called is gone, and so are its requesters.
                Event::Call(Some(Delivery::Gap(gap))) if gap.reason == GapReason::Disconnected => {
                    handles.clear();
                    open.clear();
                    (waiting, unsent) = (None, None);
                }
                Event::Call(Some(Delivery::Gap(_))) => {}
                Event::Call(None) => has_callers = false,
                Event::Outcome(number, outcome) => {
                    handles.remove(&number);
                    let (outcome, reply) = match outcome {
                        Ok(reply) => (REPLIED, Some(reply)),
                        Err(error) => (outcome_of(error.failure()), None),
                    };
                    unsent = Some(Q::to_answer(AnswerHead { number, outcome }, reply));
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
