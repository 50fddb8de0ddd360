//! Requests that an actor makes through its context: the future of the reply, and a log line if
//! actors wait for each other in a cycle.

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use mycelium_core::Request;

use super::set::Set;
use super::set::core::AnyCell;
use crate::inbox::request::{PendingReply, RequestError};
use crate::support::log;

/// The future of a reply to [`ActorContext::ask`](super::ActorContext::ask).
#[must_use = "dropping it cancels the request"]
pub struct Asking<R: Request> {
    pub(super) reply: PendingReply<R>,
    pub(super) asks: Asks,
}

impl<R: Request> Asking<R> {
    /// Sets a deadline: see [`PendingReply::within`].
    pub fn within(self, duration: Duration) -> Asking<R> {
        let Asking { reply, asks } = self;
        Asking { reply: reply.within(duration), asks }
    }
}

/// Removes, when dropped, the mark that one actor waits for the reply of another one.
pub(super) struct Asks {
    pub(super) cell: Arc<dyn AnyCell>,
    pub(super) set: Arc<Set>,
    pub(super) asked: u64,
}

impl Drop for Asks {
    fn drop(&mut self) {
        // If the actor has made a further request since, the mark of that request stays.
        let _ = self.cell.core().asks.compare_exchange(
            self.asked,
            0,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }
}

impl<R: Request> Future for Asking<R> {
    type Output = Result<R::Reply, RequestError<R>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let reply = Pin::new(&mut this.reply).poll(context);
        if let Poll::Ready(Err(RequestError::Deadline { .. })) = &reply {
            report_circle(&this.asks);
        }
        reply
    }
}

impl<R: Request> Debug for Asking<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("topic", &R::TOPIC).finish_non_exhaustive()
    }
}

/// Logs the names of the actors in a cycle of requests, if there is one. The cycle may have changed
/// since it was detected.
fn report_circle(Asks { cell, set, asked }: &Asks) {
    /// The longest cycle that is found, in actors.
    const LONGEST: usize = 32;

    let core = cell.core();
    let (mut names, mut next) = (vec![core.label()], *asked);
    while names.len() < LONGEST {
        if next == core.id {
            names.push(core.label());
            let circle = names.join(" -> ");
            log::warn!(actor = %core.label(), circle, "actors ask each other in a circle");
            return;
        }
        let Some(other) = set.by_id(next) else { return };
        names.push(other.core().label());
        next = other.core().asks.load(Ordering::Relaxed);
    }
}
