//! The requests of a client that were sent to the other node, by the numbers of their calls.

use std::collections::HashMap;

use mycelium_core::Request;

use super::{REPLIED, failure_of};
use crate::request::{Asked, Failure};

/// Open calls, at most as many as the table was made for.
pub(super) struct OpenCalls<Q: Request> {
    calls: HashMap<u64, Asked<Q>>,
    most: usize,
    /// The number of the next call.
    next: u64,
}

impl<Q: Request> OpenCalls<Q> {
    /// `first` is random: an answer to an earlier process of this node has the number of no call.
    pub(super) fn new(most: usize, first: u64) -> OpenCalls<Q> {
        OpenCalls { calls: HashMap::new(), most, next: first }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a call, and returns its number.
    pub(super) fn add(&mut self, asked: Asked<Q>) -> u64 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.calls.insert(number, asked);
        number
    }

    /// An answer came. Without a call of its number it is too late, and ignored.
    pub(super) fn answer(&mut self, number: u64, outcome: u64, reply: Q::Reply) {
        let Some(asked) = self.calls.remove(&number) else { return };
        match outcome {
            REPLIED => _ = asked.reply(reply),
            outcome => asked.fail(failure_of(outcome)),
        }
    }

    /// Takes out the calls that nobody waits for any more.
    pub(super) fn take_cancelled(&mut self) -> impl Iterator<Item = (u64, Q)> + use<Q> {
        let cancelled = self.calls.extract_if(|_, asked| asked.is_cancelled());
        let cancelled: Vec<_> = cancelled.map(|(number, asked)| (number, *asked)).collect();
        cancelled.into_iter()
    }

    /// The connection is lost: whether the other node has taken them is unknown.
    pub(super) fn lose_all(&mut self) {
        self.calls.drain().for_each(|(_, asked)| asked.fail(Failure::Lost));
    }
}
