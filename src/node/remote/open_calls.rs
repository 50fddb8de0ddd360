//! The open calls of a client, by number: the requests that the other node has got or will get, and
//! which of them were not sent yet.

use std::collections::{HashMap, VecDeque};

use mycelium_core::message::CallHead;
use mycelium_core::{Request, TraceContext};

use super::{REPLIED, failure_of};
use crate::inbox::request::{Asked, Failure};

/// The failures of calls whose connection is lost: of those that were sent, and of the others.
const LOST: [Failure; 2] = [Failure::Lost, Failure::Away];

/// The open calls, at most `most`.
pub(super) struct OpenCalls<Q: Request> {
    calls: HashMap<u64, Call<Q>>,
    most: usize,
    /// The number of the next call.
    next: u64,
    /// The messages to send, in order: at most one entry for each call that can be open, and one
    /// more.
    unsent: VecDeque<Unsent<Q>>,
}

enum Unsent<Q> {
    /// The call with this number, if it is still open when its turn comes.
    Call(u64),
    /// A cancel of the call with this number, with the request of that call.
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
    /// The process of the other node that got the call. `None` if the call was not sent yet, or was
    /// sent while no process was connected.
    process: Option<u64>,
}

impl<Q: Request> OpenCalls<Q> {
    /// Creates an empty table. `first` is random, so that an answer to an earlier process of this
    /// node matches no call.
    pub(super) fn new(most: usize, first: u64) -> OpenCalls<Q> {
        OpenCalls { calls: HashMap::new(), most, next: first, unsent: VecDeque::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.calls.len() >= self.most
    }

    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds a call to send.
    pub(super) fn add(&mut self, asked: Asked<Q>) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        self.calls.insert(number, Call { asked, process: None });
        self.unsent.push_back(Unsent::Call(number));
    }

    /// Returns whether all calls were sent.
    pub(super) fn are_sent(&self) -> bool {
        self.unsent.is_empty()
    }

    /// Returns the next call or cancel to send, and the trace of its request.
    /// [`sent`](OpenCalls::sent) removes it.
    pub(super) fn unsent(&mut self) -> Option<(Q::Call, Option<TraceContext>)> {
        loop {
            match self.unsent.front()? {
                Unsent::Call(number) => {
                    if let Some(Call { asked, .. }) = self.calls.get(number) {
                        // At least 1: a call without time left is a cancel.
                        let time_left = asked.time_left().max(1);
                        let head = CallHead { number: *number, time_left };
                        return Some((Q::to_call(head, (**asked).clone()), asked.trace()));
                    }
                    // The call is no longer open, so no requester waits for it.
                    self.unsent.pop_front();
                }
                // A call without time left cancels the earlier call with its number.
                Unsent::Cancel(number, request) => {
                    let head = CallHead { number: *number, time_left: 0 };
                    return Some((Q::to_call(head, request.clone()), None));
                }
            }
        }
    }

    /// Notes that the next call was sent while this process of the other node was connected.
    pub(super) fn sent(&mut self, process: Option<u64>) {
        let number = self.unsent.pop_front().as_ref().and_then(Unsent::call);
        if let Some(call) = number.and_then(|number| self.calls.get_mut(&number)) {
            call.process = process;
        }
    }

    /// Handles an answer. False if no open call has its number: the answer is too late.
    pub(super) fn answer(&mut self, number: u64, outcome: u64, reply: Option<Q::Reply>) -> bool {
        let Some(Call { asked, .. }) = self.calls.remove(&number) else { return false };
        match (outcome, reply) {
            (REPLIED, Some(reply)) => _ = asked.pass(reply),
            (REPLIED, None) => asked.fail(Failure::Dropped),
            (outcome, _) => asked.fail(failure_of(outcome)),
        }
        true
    }

    /// Ends the calls whose requesters have stopped waiting.
    pub(super) fn cancel(&mut self) {
        self.end(LOST, |call| call.asked.is_withdrawn());
    }

    /// Notes that this process of the other node is connected. It gets the calls that were sent
    /// while no process was connected. Calls to an earlier process are lost: it is unknown whether
    /// it had taken them.
    pub(super) fn connected(&mut self, process: u64) {
        let unsent = self.unsent_calls();
        for (number, call) in &mut self.calls {
            if !unsent.contains(number) {
                call.process.get_or_insert(process);
            }
        }
        self.end(LOST, |call| call.process.is_some_and(|of| of != process));
    }

    /// Ends the calls without a deadline, because the connection may never come back. Calls with a
    /// deadline wait for it.
    pub(super) fn lose_without_deadline(&mut self) {
        self.end(LOST, |call| call.asked.time_left() == u64::MAX);
    }

    /// Ends all calls, because no further answers can come.
    pub(super) fn lose_all(&mut self) {
        self.end(LOST, |_| true);
    }

    /// Ends all calls, because the layouts of the other node differ.
    pub(super) fn refuse_all(&mut self) {
        self.end([Failure::DiffersSent, Failure::Differs], |_| true);
    }

    /// Ends the calls for which `ends` is true, with one failure for those that were sent and one for
    /// the others. The other node gets a cancel for each call that it got, unless the deadline of
    /// the call has passed there, too.
    fn end(&mut self, [of_sent, of_unsent]: [Failure; 2], ends: impl Fn(&Call<Q>) -> bool) {
        let unsent = self.unsent_calls();
        for (number, Call { asked, .. }) in self.calls.extract_if(|_, call| ends(call)) {
            let was_sent = !unsent.contains(&number);
            if asked.time_left() > 0 && was_sent {
                self.unsent.push_back(Unsent::Cancel(number, asked.clone()));
            }
            asked.fail(if was_sent { of_sent } else { of_unsent });
        }
        let calls = &self.calls;
        self.unsent.retain(|it| it.call().is_none_or(|number| calls.contains_key(&number)));
    }

    fn unsent_calls(&self) -> Vec<u64> {
        self.unsent.iter().filter_map(Unsent::call).collect()
    }
}
