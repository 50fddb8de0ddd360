//! The client's side of the protocol, without a socket: its input is texts, its output is requests
//! and logs. On every connection it requests the newest block (only if it has no start block), then
//! subscribes, then backfills with `eth_getLogs` from the block of its last log, inclusive. Live
//! logs are queued meanwhile, and a cursor drops duplicates. So each log is delivered once and in
//! chain order, by either way and after any number of broken connections.
//!
//! [`Session::connected`] and [`Session::handle_text`] are input; after each, drain
//! [`Session::poll_transmit`] and [`Session::poll_event`] until both are empty.

use std::collections::VecDeque;

use crate::{
    chain::{Key, RawLog, Skip},
    client::{Answer, Cursor, Incoming, parse},
    rpc::{self, Fault},
};

/// The most live logs queued during a backfill.
pub const WAITING_LIMIT: usize = 16_384;
/// The close reason of a feed after its last log.
pub const END_OF_RECORDING: &str = "end of recording";

/// An event of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The start block is known; keep the cursor.
    Started(Cursor),
    /// A new log; keep the cursor once the log is handled.
    Log(RawLog, Cursor),
    /// The chain removed a log. The cursor ignores it.
    Removed(RawLog),
    /// A text or log was skipped.
    Skipped(Skip),
    /// A log that arrived before.
    Duplicate(Key),
    /// The backfill is complete: from here on every log arrives by notification.
    Live,
}

/// The meaning of the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The recording is over and every log has arrived.
    Finished,
    /// Logs may be missing: reconnect.
    Reconnect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    AskingHead(u64),
    Subscribing(u64),
    Backfilling(u64),
    Live,
}

/// The client's side of the protocol; see the module.
#[derive(Debug)]
pub struct Session {
    addresses: Vec<[u8; 20]>,
    cursor: Cursor,
    state: State,
    subscription: String,
    next_id: u64,
    limit: usize,
    waiting: VecDeque<Result<RawLog, Skip>>,
    requests: VecDeque<String>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session for the logs of these addresses that continues at `cursor`.
    #[must_use]
    pub fn new(addresses: Vec<[u8; 20]>, cursor: Cursor) -> Self {
        Self::with_waiting_limit(addresses, cursor, WAITING_LIMIT)
    }

    /// A session with another limit of queued live logs.
    #[must_use]
    pub fn with_waiting_limit(addresses: Vec<[u8; 20]>, cursor: Cursor, limit: usize) -> Self {
        Self {
            addresses,
            cursor,
            state: State::Disconnected,
            subscription: String::new(),
            next_id: 1,
            limit,
            waiting: VecDeque::new(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// A new connection is open: resets the state of the last one and queues the first request.
    ///
    /// Events not yet polled remain, because the cursor has passed their logs.
    pub fn connected(&mut self) {
        self.waiting.clear();
        self.requests.clear();
        self.subscription.clear();
        if self.cursor.resume_from().is_some() {
            self.subscribe();
        } else {
            // Without a start block, a log lost before the first one arrived would be
            // lost for ever.
            let id = self.request(rpc::block_number_request);
            self.state = State::AskingHead(id);
        }
    }

    /// Handles a text of the node.
    ///
    /// # Errors
    /// If this connection is useless; reconnect or fail.
    pub fn handle_text(&mut self, text: &str) -> Result<(), SessionError> {
        match (parse(text), self.state) {
            (_, State::Disconnected) => Err(SessionError::NotConnected),
            (Incoming::Malformed(skip), _) => {
                self.events.push_back(Event::Skipped(skip));
                Ok(())
            }
            (Incoming::Notification { subscription, log }, state) => {
                self.notified(&subscription, log, state)
            }
            (Incoming::Answer { id, result }, State::AskingHead(asked)) if id == asked => {
                let head = answered("eth_blockNumber", result)?
                    .block_number()
                    .ok_or(SessionError::Nonsense { method: "eth_blockNumber" })?;
                self.cursor = Cursor::starting_at(head);
                self.events.push_back(Event::Started(self.cursor));
                self.subscribe();
                Ok(())
            }
            (Incoming::Answer { id, result }, State::Subscribing(asked)) if id == asked => {
                let Answer::Text(subscription) = answered("eth_subscribe", result)? else {
                    return Err(SessionError::Nonsense { method: "eth_subscribe" });
                };
                self.subscription = subscription;
                self.backfill();
                Ok(())
            }
            (Incoming::Answer { id, result }, State::Backfilling(asked)) if id == asked => {
                let Answer::Logs(logs) = answered("eth_getLogs", result)? else {
                    return Err(SessionError::Nonsense { method: "eth_getLogs" });
                };
                let live = std::mem::take(&mut self.waiting);
                for log in logs.into_iter().chain(live) {
                    self.take(log);
                }
                self.state = State::Live;
                self.events.push_back(Event::Live);
                Ok(())
            }
            // An unexpected answer.
            (Incoming::Answer { .. }, _) => {
                self.events.push_back(Event::Skipped(Skip::MalformedJson));
                Ok(())
            }
        }
    }

    /// The connection is over, with the code and reason of its close frame if there was one.
    ///
    /// The end of a recording counts only after the backfill, which a close may overtake.
    pub fn handle_end(&mut self, close: Option<(u16, &str)>) -> Ended {
        let live = self.state == State::Live;
        self.state = State::Disconnected;
        match close {
            Some((1000, END_OF_RECORDING)) if live => Ended::Finished,
            _ => Ended::Reconnect,
        }
    }

    /// The next request to send.
    pub fn poll_transmit(&mut self) -> Option<String> {
        self.requests.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The position of the session, including events not yet polled.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    fn request(&mut self, text: impl FnOnce(u64) -> String) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.requests.push_back(text(id));
        id
    }

    fn subscribe(&mut self) {
        let addresses = std::mem::take(&mut self.addresses);
        let id = self.request(|id| rpc::subscribe_request(id, &addresses));
        self.addresses = addresses;
        self.state = State::Subscribing(id);
    }

    fn backfill(&mut self) {
        // `connected` and the answer to `eth_blockNumber` ensure a start block.
        let from = self.cursor.resume_from().unwrap_or_default();
        let addresses = std::mem::take(&mut self.addresses);
        let id = self.request(|id| rpc::logs_request(id, from, &addresses));
        self.addresses = addresses;
        self.state = State::Backfilling(id);
    }

    fn notified(
        &mut self,
        subscription: &str,
        log: Result<RawLog, Skip>,
        state: State,
    ) -> Result<(), SessionError> {
        match state {
            // A node may send the first logs before it answers the subscription.
            State::Subscribing(_) | State::Backfilling(_) => {
                if self.waiting.len() >= self.limit {
                    return Err(SessionError::TooManyWaiting { limit: self.limit });
                }
                self.waiting.push_back(log);
            }
            State::Live if subscription == self.subscription => self.take(log),
            _ => self.events.push_back(Event::Skipped(Skip::MalformedJson)),
        }
        Ok(())
    }

    fn take(&mut self, log: Result<RawLog, Skip>) {
        let event = match log {
            Err(skip) => Event::Skipped(skip),
            Ok(log) if log.removed => Event::Removed(log),
            Ok(log) => {
                let key = log.key();
                if self.cursor.accept(key) {
                    Event::Log(log, self.cursor)
                } else {
                    Event::Duplicate(key)
                }
            }
        };
        self.events.push_back(event);
    }
}

fn answered(method: &'static str, result: Result<Answer, Fault>) -> Result<Answer, SessionError> {
    result.map_err(|fault| SessionError::Refused { method, fault })
}

/// A connection is useless and has to be replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// A text arrived before [`Session::connected`] or after [`Session::handle_end`].
    #[error("a text arrived while not connected")]
    NotConnected,
    /// The node refused a request.
    #[error("the node refused {method}: {} ({})", fault.message, fault.code)]
    Refused {
        /// The request's method.
        method: &'static str,
        /// The node's error.
        fault: Fault,
    },
    /// The node's answer has another shape.
    #[error("unexpected answer of the node to {method}")]
    Nonsense {
        /// The request's method.
        method: &'static str,
    },
    /// Too many live logs arrived before the backfill was answered.
    #[error("more than {limit} live logs arrived before the backfill was answered")]
    TooManyWaiting {
        /// The maximum.
        limit: usize,
    },
}

#[cfg(test)]
mod tests;
