//! The *desk*: the service that answers requests of other nodes to actors of this node. Each
//! request is its own future, so a slow actor does not delay others.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, Either, join, select};
use futures_util::stream::FuturesUnordered;
use mycelium_core::Request;
use mycelium_executor::SendFuture;
use mycelium_macros::service;

use crate::actor::{ActorCall, WatchCall};
use crate::error::Result;
use crate::inbox::request::{Asked, Failure, MailboxState, Requests};
use crate::service::Context;

/// Answers requests to actors of this node, and reports the ends of these actors to other nodes.
#[derive(Default)]
pub(crate) struct ActorDesk {}

#[service(send, answers(ActorCall, WatchCall))]
impl ActorDesk {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let actors = ctx.actors();
        let asks = Calls::new(ctx.requests::<ActorCall>(), ctx.mailbox::<ActorCall>());
        let asks = asks.answer_all(|call| {
            let within = match call.time_left() {
                u64::MAX => None,
                nanos => Some(Duration::from_nanos(nanos)),
            };
            actors.answer(call, within)
        });
        let watches = Calls::new(ctx.requests::<WatchCall>(), ctx.mailbox::<WatchCall>());
        let lifecycle = ctx.waits.node.lifecycle.clone();
        let watches = watches.answer_all(|call| {
            // Also waits for the shutdown, because the actors end after this service.
            let (end, lifecycle) = (actors.answer_watch(call), lifecycle.clone());
            Box::pin(async move {
                match select(end, pin!(lifecycle.shutdown.wait())).await {
                    Either::Left((end, _)) => Ok(end),
                    Either::Right(_) => Err(Failure::ShuttingDown),
                }
            })
        });
        join(asks, watches).await;
        Ok(())
    }
}

type Outcome<Q> = Result<<Q as Request>::Reply, Failure>;

/// A running call. Its output includes the number of the call.
type Running<Q> = Abortable<SendFuture<(u64, Outcome<Q>)>>;

/// The calls of one type.
struct Calls<Q: Request> {
    requests: Requests<Q>,
    mailbox: Arc<MailboxState>,
    /// The open calls, by number.
    open: HashMap<u64, (Asked<Q>, AbortHandle)>,
    running: FuturesUnordered<Running<Q>>,
    next: u64,
}

impl<Q: Request> Calls<Q> {
    fn new(requests: Requests<Q>, mailbox: Arc<MailboxState>) -> Calls<Q> {
        // Marks the mailbox as remote, so that it reports which taken calls are cancelled.
        mailbox.set_remote(true);
        let (open, running) = (HashMap::new(), FuturesUnordered::new());
        Calls { requests, mailbox, open, running, next: 0 }
    }

    /// Answers calls until no more can come.
    async fn answer_all(mut self, start: impl Fn(&Asked<Q>) -> SendFuture<Outcome<Q>>) {
        poll_fn(|task| self.poll(task, &start)).await;
    }

    fn poll(
        &mut self,
        task: &mut TaskContext<'_>,
        start: &impl Fn(&Asked<Q>) -> SendFuture<Outcome<Q>>,
    ) -> Poll<()> {
        if self.mailbox.has_cancelled(task.waker()) {
            self.mailbox.forget_cancelled();
            let cancelled = self.open.extract_if(|_, (call, _)| call.is_withdrawn());
            cancelled.for_each(|(_, (_, running))| running.abort());
        }
        let has_callers = loop {
            match self.requests.poll_recv(task) {
                Poll::Ready(Some(call)) => self.add(call, start),
                Poll::Ready(None) => break false,
                Poll::Pending => break true,
            }
        };
        while let Poll::Ready(Some(ended)) = self.running.poll_next_unpin(task) {
            // A cancelled call has no outcome.
            let Ok((number, outcome)) = ended else { continue };
            let Some((call, _)) = self.open.remove(&number) else { continue };
            match outcome {
                Ok(reply) => _ = call.reply(reply),
                Err(failure) => call.fail(failure),
            }
        }
        if has_callers || !self.running.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    fn add(&mut self, call: Asked<Q>, start: &impl Fn(&Asked<Q>) -> SendFuture<Outcome<Q>>) {
        let number = self.next;
        self.next += 1;
        let (answer, (handle, registration)) = (start(&call), AbortHandle::new_pair());
        let numbered: SendFuture<_> = Box::pin(async move { (number, answer.await) });
        self.open.insert(number, (call, handle));
        self.running.push(Abortable::new(numbered, registration));
    }
}
