//! Requests that an actor makes through its context: the future of the reply, and a log line if
//! actors wait for each other in a cycle.

use std::fmt::{self, Debug};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::set::cell::SetCell;
use crate::inbox::request::{Call, Failure, PendingReply};
use crate::support::log;

/// The future of a reply to [`ActorContext::ask`](super::ActorContext::ask).
#[must_use = "dropping it cancels the request"]
pub struct Asking<C: Call> {
    pub(super) reply: PendingReply<C>,
    /// `None` if no actor is asked.
    pub(super) asks: Option<Asks>,
}

/// Removes, when dropped, the mark that one actor waits for the reply of another one.
pub(super) struct Asks {
    pub(super) cell: Arc<dyn SetCell>,
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

impl<C: Call> Future for Asking<C> {
    type Output = Result<C::Reply, C::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let outcome = ready!(this.reply.poll_outcome(context));
        if let Err(Failure::Late | Failure::LateHeld) = outcome
            && let Some(asks) = &this.asks
        {
            report_circle(asks);
        }
        Poll::Ready(this.reply.finish(outcome))
    }
}

impl<C: Call> Debug for Asking<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("call", &C::NAME).finish_non_exhaustive()
    }
}

/// Logs the names of the actors in a cycle of requests, if there is one. The cycle may have changed
/// since it was detected.
fn report_circle(Asks { cell, asked }: &Asks) {
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
        let Some(other) = cell.set().by_id(next) else { return };
        names.push(other.core().label());
        next = other.core().asks.load(Ordering::Relaxed);
    }
}
