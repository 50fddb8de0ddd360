//! The side of the node that requests.

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use mycelium_core::Request;
use mycelium_executor::SendFuture;
use mycelium_macros::service;
use mycelium_transports::local::{Delivery, EmitError};

use super::most_open;
use super::open_calls::OpenCalls;
use crate::error::Result;
use crate::request::{Asked, Failure};
use crate::service::Context;
use crate::shared::{Connections, RECONNECT, Shared};

/// Answers requests by calls of another node.
pub(crate) struct Client<Q> {
    /// The node that answers.
    peer: String,
    /// That of the topic.
    capacity: usize,
    request: PhantomData<fn(Q)>,
}

impl<Q: Request> Client<Q> {
    pub(crate) fn new(peer: &str, capacity: usize) -> Client<Q> {
        Client { peer: peer.to_owned(), capacity, request: PhantomData }
    }
}

enum Event<Q: Request> {
    /// A call was sent, or cannot be.
    Sent(Result<(), EmitError<Q::Call>>),
    Answer(Option<Delivery<Q::Answer>>),
    Asked(Option<Asked<Q>>),
    /// Requesters no longer wait.
    Cancelled,
    /// The connection was lost, or there is a new one.
    Connection,
    /// It has not come back in time.
    Overdue,
}

#[service(send, reads(Q::Answer as answers), emits(Q::Call as calls), answers(Q))]
impl<Q: Request> Client<Q> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (shared, executor) = (ctx.waits.shared.clone(), ctx.waits.executor.clone());
        let mut answers = ctx.subscribe_on(Self::answers)?;
        let (mut requests, mailbox) = (ctx.requests::<Q>(), ctx.mailbox::<Q>());
        let mut open = OpenCalls::<Q>::new(most_open(self.capacity), ctx.random());
        let mut has_requesters = true;
        let mut connections = shared.peers.get(&self.peer);
        mailbox.set_remote(connections.is_connected);
        let mut change = changed(&shared, &self.peer, connections);
        let mut overdue: Option<SendFuture<()>> = None;
        // A process that answered is gone, perhaps that of this connection.
        let mut suspect = None;
        while has_requesters || !open.is_empty() {
            // While a call waits for room, none is added to it.
            let takes =
                has_requesters && connections.is_connected && !open.is_full() && open.are_sent();
            // Otherwise they hold up nothing.
            let cancels = !has_requesters || open.is_full();
            let event = poll_fn(|context| {
                // A process that is stopped leaves no room. Answers, deadlines and the end of the
                // connection do not wait for it.
                if connections.is_connected
                    && let Some((call, trace)) = open.unsent()
                    && let Poll::Ready(result) = {
                        let _trace = ctx.pass_trace(trace);
                        pin!(ctx.emit_on(Self::calls, call)).poll(context)
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
                if cancels && mailbox.has_cancelled(context.waker()) {
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
                    open.sent();
                }
                Event::Answer(Some(Delivery::Msg(answer))) => {
                    let (head, reply) = Q::of_answer(*answer);
                    if !open.answer(head.number, head.outcome, reply) {
                        requests.count_late();
                    }
                    answers.done();
                }
                // A process of the node is gone: that of an earlier connection, or of this one,
                // whose end is not known yet.
                Event::Answer(Some(Delivery::Gap(_))) => {
                    open.lose(connections.lost());
                    suspect = Some(connections.count);
                }
                // Nobody answers any more.
                Event::Answer(None) => break,
                Event::Asked(Some(asked)) if asked.time_left() == 0 => asked.fail(Failure::Late),
                Event::Asked(Some(asked)) => open.add(asked, shared.peers.get(&self.peer).count),
                Event::Asked(None) => has_requesters = false,
                Event::Cancelled => {
                    mailbox.forget_cancelled();
                    open.cancel();
                }
                Event::Connection => {
                    connections = shared.peers.get(&self.peer);
                    mailbox.set_remote(connections.is_connected);
                    change = changed(&shared, &self.peer, connections);
                    if let Some(gone) = suspect.take() {
                        open.lose(gone.min(connections.lost()));
                    }
                    let end = executor.now().saturating_add(RECONNECT);
                    overdue = (!connections.is_connected).then(|| executor.sleep_until(end));
                }
                Event::Overdue => {
                    open.lose_all();
                    overdue = None;
                }
            }
        }
        open.lose(u64::MAX);
        // Cancels, if there is room: they hold up no end.
        while let Some((call, _)) = open.unsent()
            && connections.is_connected
            && ctx.try_emit_on(Self::calls, call).is_ok()
        {
            open.sent();
        }
        Ok(())
    }
}

/// Ready when the connections with the node are not these any more.
fn changed(shared: &Arc<Shared>, peer: &str, seen: Connections) -> SendFuture<()> {
    let (shared, peer) = (shared.clone(), peer.to_owned());
    Box::pin(async move { shared.peers.until_not(&peer, seen).await })
}
