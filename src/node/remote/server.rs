//! The server: the service that answers requests from another node, in the answering node.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use mycelium_core::Request;
use mycelium_core::message::{AnswerHead, CallHead};
use mycelium_executor::SendFuture;
use mycelium_macros::service;
use mycelium_transports::local::{Delivery, EmitError, GapReason};

use super::{OTHER_LAYOUT, OtherNode, REPLIED, most_open, outcome_of};
use crate::error::Result;
use crate::inbox::request::{PendingReply, RequestError, Taken};
use crate::service::Context;
use crate::shared::ServiceNode;

/// How long an answer waits for room after a shutdown has begun or calls have ended. So a process
/// that is paused or takes no answers does not delay the end of this node.
const ROOM: Duration = Duration::from_secs(1);

/// Makes the requests that another node calls for, and sends the answers back.
pub(crate) struct Server<Q> {
    /// The requesting node.
    other: OtherNode,
    request: PhantomData<fn(Q)>,
}

impl<Q: Request> Server<Q> {
    pub(crate) fn new(other: OtherNode) -> Server<Q> {
        Server { other, request: PhantomData }
    }
}

/// The id of a call: the epoch of its client, which identifies the client's process, and the number
/// that the client has assigned.
type Id = (u64, u64);

enum Event<Q: Request> {
    Call(Option<Delivery<Q::Call>>),
    Outcome(Id, Result<Q::Reply, RequestError<Q>>),
    /// There is room to open the waiting call.
    Room,
    /// The answer was sent, or cannot be sent.
    Sent(Result<(), EmitError<()>>),
    /// There was no room for the answer in time.
    NoRoom,
    /// The requesting node must learn that this one cannot read its calls.
    Differs,
}

#[service(send, reads(Q::Call as calls), emits(Q::Answer as answers), requests(Q))]
impl<Q: Request> Server<Q> {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let (node, executor) = (ctx.waits.node.clone(), ctx.waits.executor.clone());
        let mut shutdown = pin!(ctx.shutdown_requested().fuse());
        let mut calls = ctx.subscribe_on(Self::calls)?;
        let most = most_open(self.other.capacity);
        let mut open = FuturesUnordered::new();
        let mut handles = HashMap::<Id, AbortHandle>::new();
        let (mut has_callers, mut ends) = (true, false);
        // A call that arrived when the maximum of calls was open.
        let mut waiting = None;
        // An answer that waits for room in its ring. Further answers wait behind it.
        let mut unsent = None;
        let mut room: Option<SendFuture<()>> = None;
        let mut differing = differing(&self.other, None);
        while has_callers || !open.is_empty() || waiting.is_some() || unsent.is_some() {
            if open.len() < most
                && let Some((id, time_left, request, trace)) = waiting.take()
            {
                let passed = ctx.pass_trace(trace);
                let reply = ctx.pass_request(&request);
                drop(passed);
                let (reply, lost) = match time_left {
                    u64::MAX => (reply, Some(lost(&self.other, &node))),
                    nanos => (reply.within(Duration::from_nanos(nanos)), None),
                };
                let (handle, registration) = AbortHandle::new_pair();
                handles.insert(id, handle);
                open.push(Abortable::new(numbered(id, reply, lost), registration));
            }
            let event = poll_fn(|context| {
                if let Some((_, answer)) = &unsent {
                    let sent = pin!(ctx.on(Self::answers).emit_ref(answer)).poll(context);
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
                    // A cancelled call has no answer.
                    if let Ok((id, outcome)) = outcome {
                        return Poll::Ready(Event::Outcome(id, outcome));
                    }
                }
                if unsent.is_none() && differing.as_mut().poll(context).is_ready() {
                    return Poll::Ready(Event::Differs);
                }
                if waiting.is_some() {
                    if open.len() < most {
                        return Poll::Ready(Event::Room);
                    }
                    ends |= shutdown.as_mut().poll(context).is_ready();
                }
                // Continues to read even if the maximum of calls is open: the next message may
                // cancel one.
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
                    let (CallHead { number, time_left }, request) = Q::of_call(call.into_inner());
                    let trace = calls.trace();
                    let epoch = calls.epoch_in_flight().unwrap_or_default();
                    calls.done();
                    let id = (epoch, number);
                    match time_left {
                        0 => handles.remove(&id).iter().for_each(AbortHandle::abort),
                        _ if waiting.is_none() => waiting = Some((id, time_left, request, trace)),
                        // The node shuts down, and this call exceeds the maximum, so it gets no
                        // answer.
                        _ => {}
                    }
                }
                // The waiting call is opened at the start of the loop.
                Event::Room => {}
                Event::Sent(result) => {
                    result?;
                    (unsent, room) = (None, None);
                }
                Event::NoRoom => break,
                Event::Differs => {
                    let pair = self.other.peers.pair(&self.other.name);
                    differing = self::differing(&self.other, pair);
                    let to_answer = |number| {
                        let head = AnswerHead { number, outcome: OTHER_LAYOUT };
                        ((0, number), Q::to_answer(head, None))
                    };
                    unsent = pair.map(to_answer);
                }
                // The calling process is gone, so no requester waits for its calls.
                Event::Call(Some(Delivery::Gap(gap))) if gap.reason == GapReason::Disconnected => {
                    let of_it = handles.extract_if(|(epoch, _), _| *epoch == gap.epoch);
                    of_it.for_each(|(_, handle)| handle.abort());
                    waiting = waiting.filter(|((epoch, _), ..)| *epoch != gap.epoch);
                    if unsent.as_ref().is_some_and(|((epoch, _), _)| *epoch == gap.epoch) {
                        (unsent, room) = (None, None);
                    }
                }
                Event::Call(Some(Delivery::Gap(_))) => {}
                Event::Call(None) => has_callers = false,
                Event::Outcome(id, outcome) => {
                    handles.remove(&id);
                    let (outcome, reply) = match outcome {
                        Ok(reply) => (REPLIED, Some(reply)),
                        Err(error) => (outcome_of(error.failure()), None),
                    };
                    let head = AnswerHead { number: id.1, outcome };
                    unsent = Some((id, Q::to_answer(head, reply)));
                }
            }
        }
        Ok(())
    }
}

/// Returns the outcome of a call, with the id of the call. A call without a deadline also ends when
/// `lost` completes: its client then ends the call, too.
async fn numbered<Q: Request>(
    id: Id,
    reply: PendingReply<Q>,
    lost: Option<SendFuture<()>>,
) -> (Id, Result<Q::Reply, RequestError<Q>>) {
    let Some(lost) = lost else { return (id, reply.await) };
    match select(reply, lost).await {
        Either::Left((outcome, _)) => (id, outcome),
        Either::Right(_) => {
            (id, Err(RequestError::Unreachable { taken: Taken::Unknown, actor: None }))
        }
    }
}

/// Waits until the requesting node has been disconnected for too long. Never completes during a
/// shutdown: this node then reads no calls any more, and finishes the open ones.
fn lost(other: &OtherNode, node: &ServiceNode) -> SendFuture<()> {
    let OtherNode { peers, name: peer, .. } = other.clone();
    let (executor, lifecycle) = (node.executor.clone(), node.lifecycle.clone());
    Box::pin(async move {
        peers.until_lost(&peer, &*executor).await;
        if lifecycle.shutdown.is_set() {
            pending::<()>().await;
        }
    })
}

/// Waits until the layouts of a process of the requesting node differ that does not make the pair
/// `known` with this process.
fn differing(other: &OtherNode, known: Option<u64>) -> SendFuture<()> {
    let other = other.clone();
    Box::pin(async move {
        let is_new = || other.differs() && other.peers.pair(&other.name) != known;
        other.peers.until(is_new).await;
    })
}

#[cfg(all(test, feature = "topology"))]
mod tests {
    use mycelium_core::Fixed;
    use mycelium_core::message;
    use mycelium_tokio::Tokio;
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::inbox::request::Asked;
    use crate::{Node, Topology};

    #[message(topic = "doubles", id = 1, reply = Double)]
    struct Ask {
        value: u64,
    }

    #[message(topic = "doubled", id = 2)]
    struct Double {
        value: u64,
    }

    struct Caller;

    #[service(requests(Ask))]
    impl Caller {
        async fn run(&mut self, _ctx: &mut Context<Self>) -> Result<()> {
            unreachable!("it is placed elsewhere")
        }
    }

    struct Holder(UnboundedSender<Asked<Ask>>);

    #[service(answers(Ask))]
    impl Holder {
        async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
            let mut requests = ctx.requests::<Ask>();
            while let Some(asked) = requests.recv().await {
                self.0.send(asked)?;
            }
            Ok(())
        }
    }

    /// The requesting node runs two processes, one after the other. The death of the first one is
    /// detected after the second one has called.
    #[tokio::test]
    async fn the_death_of_a_requester_ends_no_call_of_another_one() {
        let (sent, mut asked) = unbounded_channel();
        let text = "[node.desk]\nservices = [\"Caller\"]\n[node.oracle]\nservices = [\"Holder\"]\n";
        let directory =
            std::env::temp_dir().join(format!("mycelium-server-{}", std::process::id()));
        let topology = Topology::parse("t.toml", text).unwrap().in_directory(&directory);
        let node = Node::builder("oracle").topology(topology);
        let node = node.service(|| Caller).service(move || Holder(sent.clone()));
        let running = node.build().unwrap().start(Tokio::current().unwrap()).unwrap();
        let topics = running.node().topics.all();
        let topic = topics.iter().find(|topic| topic.name() == "doubles@desk.calls").unwrap();
        let call = |epoch| {
            let publisher = topic.feed("calls:doubles@desk", epoch, 0);
            let mut publisher = publisher.unwrap();
            // Both processes use the same number. This can happen: each process chooses its first
            // number at random.
            let head = CallHead { number: 1, time_left: u64::MAX - 1 };
            publisher.push(Ask::to_call(head, Ask { value: epoch }).encoded(), false).unwrap();
            publisher.flush();
            publisher
        };
        let dead = call(1);
        let of_dead = asked.recv().await.unwrap();
        let _living = call(2);
        let of_living = asked.recv().await.unwrap();
        assert_eq!((of_dead.value, of_living.value), (1, 2));
        dead.lose();
        while !of_dead.is_cancelled() {
            tokio::task::yield_now().await;
        }
        assert!(!of_living.is_cancelled(), "its requester lives");
        drop((of_dead, of_living));
        running.shutdown();
        running.join().await.unwrap();
        _ = std::fs::remove_dir_all(&directory);
    }
}
