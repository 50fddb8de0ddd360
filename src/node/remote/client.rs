//! The client: the service that sends requests to another node, in the requesting node.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;

use mycelium_core::Request;
use mycelium_executor::SendFuture;
use mycelium_macros::service;
use mycelium_transports::local::{Delivery, EmitError};

use super::open_calls::OpenCalls;
use super::{OTHER_LAYOUT, OtherNode, is_watch, most_open};
use crate::error::Result;
use crate::inbox::request::{Asked, Failure};
use crate::links::RECONNECT;
use crate::service::Context;

/// Answers the requests of this node by calls to another node.
pub(crate) struct Client<Q> {
    /// The answering node.
    other: OtherNode,
    request: PhantomData<fn(Q)>,
}

impl<Q: Request> Client<Q> {
    pub(crate) fn new(other: OtherNode) -> Client<Q> {
        Client { other, request: PhantomData }
    }
}

enum Event<Q: Request> {
    /// A call was sent, or cannot be sent.
    Sent(Result<(), EmitError<()>>),
    Answer(Option<Delivery<Q::Answer>>),
    Asked(Option<Asked<Q>>),
    /// Some requesters have stopped waiting.
    Cancelled,
    /// The connection was lost, another process has connected, or its layouts differ.
    Connection,
    /// The connection did not come back in time.
    Overdue,
}

#[service(send, reads(Q::Answer as answers), emits(Q::Call as calls), answers(Q))]
impl<Q: Request> Client<Q> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (other, executor) = (self.other.clone(), ctx.waits.executor.clone());
        let mut answers = ctx.subscribe_on(Self::answers)?;
        let (mut requests, mailbox) = (ctx.requests::<Q>(), ctx.mailbox::<Q>());
        let mut open = OpenCalls::<Q>::new(most_open(other.capacity), ctx.random());
        let mut has_requesters = true;
        let (mut connected, mut differs) = (other.process(), other.differs());
        mailbox.set_remote(connected.is_some());
        let mut change = changed(&other, connected, differs);
        let mut overdue: Option<SendFuture<()>> = None;
        while has_requesters || !open.is_empty() {
            // While a call waits for room, no call is added. A watch could wait for room forever,
            // because the other watches end only with their actors, so it is refused.
            let refuses = open.is_full() && is_watch(Q::TOPIC);
            let has_room = connected.is_some() && !open.is_full() && open.are_sent();
            let takes = has_requesters && (has_room || refuses || differs);
            let event = poll_fn(|context| {
                // If the other process is paused, there is no room for calls. Answers, deadlines
                // and the end of the connection do not wait for room.
                if connected.is_some()
                    && let Some((call, trace)) = open.unsent()
                    && let Poll::Ready(result) = {
                        let _trace = ctx.pass_trace(trace);
                        pin!(ctx.on(Self::calls).emit_ref(&call)).poll(context)
                    }
                {
                    return Poll::Ready(Event::Sent(result));
                }
                if let Poll::Ready(answer) = answers.poll_recv(context) {
                    return Poll::Ready(Event::Answer(answer));
                }
                if change.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Connection);
                }
                if let Some(timer) = &mut overdue
                    && timer.as_mut().poll(context).is_ready()
                {
                    return Poll::Ready(Event::Overdue);
                }
                if mailbox.has_cancelled(context.waker()) {
                    return Poll::Ready(Event::Cancelled);
                }
                if takes && let Poll::Ready(asked) = requests.poll_recv(context) {
                    return Poll::Ready(Event::Asked(asked));
                }
                Poll::Pending
            });
            match event.await {
                Event::Sent(result) => {
                    result?;
                    open.sent(connected);
                }
                Event::Answer(Some(Delivery::Msg(answer))) => {
                    let (head, reply) = Q::of_answer(answer.into_inner());
                    if head.outcome == OTHER_LAYOUT {
                        // A number of another pair comes from an earlier connection.
                        if other.peers.pair(&other.name) == Some(head.number) {
                            other.peers.set_unreadable(&other.name, &other.topic);
                        }
                    } else if !open.answer(head.number, head.outcome, reply) {
                        requests.count_late();
                    }
                    answers.done();
                }
                // A process of the other node is gone. The calls that it got are lost when the next
                // process connects.
                Event::Answer(Some(Delivery::Gap(_))) => {}
                // Ends, because no further answers can come.
                Event::Answer(None) => break,
                Event::Asked(Some(asked)) if differs => asked.fail(Failure::Differs),
                Event::Asked(Some(asked)) if refuses => asked.fail(Failure::Refused),
                Event::Asked(Some(asked)) if asked.time_left() == 0 => asked.fail(Failure::Late),
                Event::Asked(Some(asked)) => open.add(asked),
                Event::Asked(None) => has_requesters = false,
                Event::Cancelled => {
                    mailbox.forget_cancelled();
                    open.cancel();
                }
                Event::Connection => {
                    (connected, differs) = (other.process(), other.differs());
                    mailbox.set_remote(connected.is_some());
                    change = changed(&other, connected, differs);
                    overdue = match connected {
                        Some(process) => {
                            open.connected(process);
                            None
                        }
                        None => {
                            Some(executor.sleep_until(executor.now().saturating_add(RECONNECT)))
                        }
                    };
                    if differs {
                        open.refuse_all();
                    }
                }
                Event::Overdue => {
                    open.lose_without_deadline();
                    overdue = None;
                }
            }
        }
        open.lose_all();
        // Sends only cancels for which there is room: the end does not wait for room.
        while let Some((call, _)) = open.unsent()
            && ctx.on(Self::calls).try_emit(call).is_ok()
        {
            open.sent(None);
        }
        Ok(())
    }
}

/// Waits until another process of the other node is connected, or none, or its layouts `differ`.
fn changed(other: &OtherNode, process: Option<u64>, differ: bool) -> SendFuture<()> {
    let other = other.clone();
    Box::pin(async move {
        let is_new = || other.process() != process || other.differs() != differ;
        other.peers.until(is_new).await;
    })
}
