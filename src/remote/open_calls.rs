//! The requests of a client that were sent to the other node, by the numbers of their calls.

use std::collections::HashMap;

use mycelium_core::Request;

use super::{REPLIED, failure_of};
use crate::request::{Asked, Failure};

/// Open calls, at most as many as the table was made for.
pub(super) struct OpenCalls<Q: Request> {
    calls: HashMap<u64, Call<Q>>,
    most: usize,
    /// The number of the next call.
    next: u64,
}

struct Call<Q: Request> {
    asked: Asked<Q>,
    /// How many connections with the other node there had been when it was sent.
    connection: u64,
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
    pub(super) fn add(&mut self, asked: Asked<Q>, connection: u64) -> u64 {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.calls.insert(number, Call { asked, connection });
        number
    }

    /// An answer came. Returns false if no call of its number is open: it is too late.
    pub(super) fn answer(&mut self, number: u64, outcome: u64, reply: Q::Reply) -> bool {
        let Some(Call { asked, .. }) = self.calls.remove(&number) else { return false };
        match outcome {
            REPLIED => _ = asked.reply(reply),
            outcome => asked.fail(failure_of(outcome)),
        }
        true
    }

    /// Takes out the calls that nobody waits for any more.
    pub(super) fn take_cancelled(&mut self) -> Vec<(u64, Q)> {
        let cancelled = self.calls.extract_if(|_, call| call.asked.is_cancelled());
        cancelled.map(|(number, call)| (number, *call.asked)).collect()
    }

    /// The connections up to this one are lost: whether the other node has taken the calls is
    /// unknown. Returns them.
    pub(super) fn lose(&mut self, connection: u64) -> Vec<(u64, Q)> {
        let lost = self.calls.extract_if(|_, call| call.connection <= connection);
        lost.map(|(number, Call { asked, .. })| {
            let request = *asked;
            asked.fail(Failure::Lost);
            (number, request)
        })
        .collect()
    }
}
