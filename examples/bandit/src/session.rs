//! The client's side of the conversation, without a socket: texts go in, requests and logs come
//! out. On every connection it asks for the newest block (only if it does not know where to begin),
//! then subscribes, then backfills by `eth_getLogs` from the block of its last log, inclusive; live
//! logs wait meanwhile, and one cursor drops whatever comes twice. So each log comes out once and in
//! chain order, whichever of its two ways it took and however often the connection broke.
//!
//! [`Session::connected`] and [`Session::handle_text`] are input; after each, drain
//! [`Session::poll_transmit`] and [`Session::poll_event`] until both are empty.

use std::{collections::VecDeque, fmt};

use crate::{
    chain::{Key, RawLog, Skip},
    client::{Answer, Cursor, Incoming, parse},
    rpc::{self, Fault},
};

/// How many live logs may wait for a backfill.
pub const WAITING_LIMIT: usize = 16_384;
/// The close reason by which a feed says that there is no more to come.
pub const END_OF_RECORDING: &str = "end of recording";

/// What comes out of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The beginning is known; keep the cursor.
    Started(Cursor),
    /// A new log; keep the cursor once the log has been dealt with.
    Log(RawLog, Cursor),
    /// The chain took a log back. The cursor knows nothing of it.
    Removed(RawLog),
    /// Something that had to be passed over.
    Skipped(Skip),
    /// A log that had come before.
    Duplicate(Key),
    /// Backfilled and live: from here on every log comes by notification.
    Live,
}

/// What the end of a connection means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The recording is over and every log of it was had.
    Finished,
    /// Something may be missing: connect again.
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

/// The client's side of the conversation; see the module.
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
    /// A session for these addresses' logs that goes on where `cursor` stands.
    #[must_use]
    pub fn new(addresses: Vec<[u8; 20]>, cursor: Cursor) -> Self {
        Self::with_waiting_limit(addresses, cursor, WAITING_LIMIT)
    }

    /// A session that lets another number of live logs wait for a backfill.
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

    /// A new connection stands: forgets what belonged to the last one and makes the first request.
    ///
    /// Events not yet taken stay: their logs came, and the cursor counts on them.
    pub fn connected(&mut self) {
        self.waiting.clear();
        self.requests.clear();
        self.subscription.clear();
        if self.cursor.resume_from().is_some() {
            self.subscribe();
        } else {
            // Without a beginning, a log lost before the first one came would be lost for good.
            let id = self.request(rpc::block_number_request);
            self.state = State::AskingHead(id);
        }
    }

    /// Takes a text from the node.
    ///
    /// # Errors
    /// When this connection can lead nowhere; connect again (or give up).
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
            // An answer that nobody waits for.
            (Incoming::Answer { .. }, _) => {
                self.events.push_back(Event::Skipped(Skip::MalformedJson));
                Ok(())
            }
        }
    }

    /// The connection is over, with the code and reason of its close frame if there was one.
    ///
    /// The end of a recording counts only when the backfill has been had: a close may overtake it.
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

    /// Where the session stands, its undrained events included.
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
        // `connected` and the answer to `eth_blockNumber` see to it that there is a beginning.
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
            // A node may tell of the first logs before it has answered the subscription.
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

/// Why a connection can lead nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// A text came before [`Session::connected`] or after [`Session::handle_end`].
    NotConnected,
    /// The node refused a request.
    Refused {
        /// The request's method.
        method: &'static str,
        /// The node's words.
        fault: Fault,
    },
    /// The node answered with something of another shape.
    Nonsense {
        /// The request's method.
        method: &'static str,
    },
    /// The backfill is so slow that too many live logs wait for it.
    TooManyWaiting {
        /// How many may wait.
        limit: usize,
    },
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected => f.write_str("a text came while not connected"),
            Self::Refused { method, fault } => {
                write!(f, "the node refused {method}: {} ({})", fault.message, fault.code)
            }
            Self::Nonsense { method } => write!(f, "the node's answer to {method} has no sense"),
            Self::TooManyWaiting { limit } => {
                write!(f, "more than {limit} live logs came before the backfill was answered")
            }
        }
    }
}

impl std::error::Error for SessionError {}

#[cfg(test)]
mod tests;
