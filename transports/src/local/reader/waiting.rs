//! How a reader waits: it spins for as long as its wait strategy says, and then parks its task.

use std::task::Context;

use mycelium_core::wait::{SpinResult, WaitStrategy};

use super::{Found, Reader};
use crate::local::ring::ready::IN_TURN;
use crate::local::state::Edge;
use crate::sync::Ordering;

impl Reader {
    /// As [`find`](Self::find), and parks the task if there is nothing.
    #[inline(never)]
    pub(in crate::local) fn find_or_park(&mut self, context: &Context<'_>) -> Found {
        // Ends the current delivery here, because `find_again` seldom calls `find`, which would.
        self.end_handling(false);
        let found = self.find_again();
        if !matches!(found, Found::Empty) {
            return found;
        }
        if self.spin_wait.strategy() != WaitStrategy::Park {
            match self.spin() {
                SpinResult::Found(found) => return found,
                SpinResult::Again => {
                    context.waker().wake_by_ref();
                    return Found::Empty;
                }
                SpinResult::Park => {}
            }
        }
        self.membership.state.bell.park(context.waker());
        // Puts only the present edges to sleep, because edges that are added below are asleep from
        // the start.
        if self.has_sleepers {
            self.edges.iter().for_each(Edge::fall_asleep);
        }
        let found = self.find_again();
        if !matches!(found, Found::Empty) {
            self.membership.state.bell.unpark();
            if self.has_sleepers {
                self.edges.iter().for_each(Edge::stay_awake);
            }
        }
        found
    }

    /// As [`find`](Self::find). Most often there is one edge, and nothing new: that is checked
    /// first.
    #[inline(always)]
    fn find_again(&mut self) -> Found {
        let last_call = self.membership.state.last_call.load(Ordering::Acquire);
        let is_fast = self.is_fast() && last_call == 0;
        if let [edge] = self.edges.as_mut_slice()
            && is_fast
            && edge.consumer.is_waiting()
            && !edge.may_miss()
        {
            return Found::Empty;
        }
        self.find()
    }

    /// Retries, up to the number of spins of the wait strategy.
    fn spin(&mut self) -> SpinResult<Found> {
        // The wait is recognized as a new one here, so that a receive that need not wait does
        // nothing for it.
        // Of a reader with many edges, the first ones are enough: a new wait that is taken for the
        // previous one only spins less.
        let places = self.edges.iter().take(IN_TURN).map(|edge| edge.consumer.cursor());
        let places = places.fold(self.edges.len(), usize::wrapping_add);
        let places = match self.edges.len() {
            ..=IN_TURN => places,
            _ => places.wrapping_add(self.turn << 8).wrapping_add(self.burst as usize),
        };
        if places != self.waits_at {
            self.waits_at = places;
            self.spin_wait.reset();
        }
        let (spins, mut spin_wait) = (self.budget.spins(), self.spin_wait);
        let spun = spin_wait.spin(spins, || match self.find_again() {
            Found::Empty => None,
            found => Some(found),
        });
        self.spin_wait = spin_wait;
        spun
    }
}
