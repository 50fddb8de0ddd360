//! The requests of a client that the other node has or will get, by the numbers of their calls, and
//! the calls that were not sent yet.

use std::collections::{HashMap, VecDeque};

use mycelium_core::message::CallHead;
use mycelium_core::{Request, TraceContext};

use super::{REPLIED, failure_of};
use crate::request::{Asked, Failure};

/// Open calls, at most as many as the table was made for.
pub(super) struct OpenCalls<Q: Request> {
    calls: HashMap<u64, Call<Q>>,
    most: usize,
    /// The number of the next call.
    next: u64,
    /// In their order: at most one for each call that can be open, and one more.
    unsent: VecDeque<Unsent<Q>>,
}

enum Unsent<Q> {
    /// The call with this number, if it is still open then.
    Call(u64),
    /// Cancels the call with this number. It has the request of that one.
    Cancel(u64, Q),
}

impl<Q> Unsent<Q> {
    fn call(&self) -> Option<u64> {
        match self {
            Unsent::Call(number) => Some(*number),
            Unsent::Cancel(..) => None,
        }
    }
}

struct Call<Q: Request> {
    asked: Asked<Q>,
    /// How many connections with the other node there had been when it was sent.
    connection: u64,
}

impl<Q: Request> OpenCalls<Q> {
    /// `first` is random: an answer to an earlier process of this node has the number of no call.
    pub(super) fn new(most: usize, first: u64) -> OpenCalls<Q> {
        OpenCalls { calls: HashMap::new(), most, next: first, unsent: VecDeque::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a call, which is to be sent.
    pub(super) fn add(&mut self, asked: Asked<Q>, connection: u64) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.calls.insert(number, Call { asked, connection });
        self.unsent.push_back(Unsent::Call(number));
    }

    /// Whether all calls were sent.
    pub(super) fn are_sent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// The next call to send, and the trace of its request. It stays the next one until
    /// [`sent`](OpenCalls::sent).
    pub(super) fn unsent(&mut self) -> Option<(Q::Call, Option<TraceContext>)> {
        loop {
            match self.unsent.front()? {
                Unsent::Call(number) => {
                    if let Some(Call { asked, .. }) = self.calls.get(number) {
                        // A call without time left would be one that cancels.
                        let time_left = asked.time_left().max(1);
                        let head = CallHead { number: *number, time_left };
                        return Some((Q::to_call(head, **asked), asked.trace()));
                    }
                    // Nobody waits for it any more.
                    self.unsent.pop_front();
                }
                // A call without time left cancels the one with its number.
                Unsent::Cancel(number, request) => {
                    let head = CallHead { number: *number, time_left: 0 };
                    return Some((Q::to_call(head, *request), None));
                }
            }
        }
    }

    /// The next call was sent.
    pub(super) fn sent(&mut self) {
        self.unsent.pop_front();
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

    /// Takes out the calls that nobody waits for any more. The other node gets a cancel for each.
    pub(super) fn cancel(&mut self) {
        self.end(|call| call.asked.is_cancelled());
    }

    /// The connections up to this one are lost: whether the other node has taken the calls is
    /// unknown.
    pub(super) fn lose(&mut self, connection: u64) {
        let lost = self.calls.extract_if(|_, call| call.connection <= connection);
        lost.for_each(|(_, call)| call.asked.fail(Failure::Lost));
    }

    /// All connections are lost, perhaps for ever. Should there be another one, the other node gets
    /// a cancel for each.
    pub(super) fn lose_all(&mut self) {
        self.end(|_| true);
    }

    fn end(&mut self, ends: impl Fn(&Call<Q>) -> bool) {
        let unsent: Vec<u64> = self.unsent.iter().filter_map(Unsent::call).collect();
        for (number, Call { asked, .. }) in self.calls.extract_if(|_, call| ends(call)) {
            if !unsent.contains(&number) {
                self.unsent.push_back(Unsent::Cancel(number, *asked));
            }
            asked.fail(Failure::Lost);
        }
    }
}
