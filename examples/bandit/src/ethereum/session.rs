//! The client's side of the protocol, without a socket: its input is texts, its output is requests
//! and logs. On every connection it requests the newest block (only if it has no start block), then
//! subscribes, then backfills with `eth_getLogs` from the block of its last log, inclusive. Live
//! logs are queued meanwhile, and a cursor drops duplicates. So each log is delivered once and in
//! chain order, by either way and after any number of broken connections.
//!
//! A log that the chain removes takes back all logs after the last one before it, and the cursor
//! with them. They are requested again, because the node may have sent new ones before it said what
//! is removed. If the log before it is not known, as after a start, the logs of the last [`DEPTH`]
//! blocks are taken back, and requested again; so they are when a log comes at a position that was
//! passed, or when the backfill of a new connection lacks the last log.
//!
//! [`Session::connected`] and [`Session::handle_text`] are input; after each, drain
//! [`Session::poll_transmit`] and [`Session::poll_event`] until both are empty. No text panics, and
//! a malformed log affects no other one.

use std::collections::VecDeque;

use alloy_primitives::{Address, B256, U64};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    ethereum::chain::RawLog,
    ethereum::rpc::{Call, Fault, Filter, Incoming, Logs, Range, Request},
    messages::Key,
};

/// The most live logs queued during a backfill.
const MOST_WAITING: usize = 16_384;
/// The most bytes of a log as JSON; those of pools have less than a thousand.
const LARGEST_LOG: usize = 64 << 10;
/// The most logs that are remembered, in case the chain removes them.
const MOST_ACCEPTED: usize = 16_384;
/// The most blocks that a reorganisation replaces. Ethereum never replaces more.
pub const DEPTH: u64 = 64;
/// The close reason of a feed after its last log.
pub const END_OF_RECORDING: &str = "end of recording";

/// The position of a client: its start block and the last log that it accepted.
///
/// A client that resumes at a saved cursor misses no log and accepts none twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    start: Option<u64>,
    last: Option<Key>,
    /// The hash of the block of the last log, unless it is unknown.
    hash: Option<B256>,
}

impl Cursor {
    /// The block from which logs may be missing, inclusive; `None` if the start block is unknown.
    fn resume_from(&self) -> Option<u64> {
        self.last.map(|last| last.block).or(self.start)
    }
}

/// An event of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The start block is known; keep the cursor.
    Started(Cursor),
    /// A new log; keep the cursor once the log is handled.
    Log(RawLog, Cursor),
    /// The chain removed the logs from this position on; keep the cursor once they are taken back.
    Retracted(Key, Cursor),
    /// The chain removed a log that was taken back before, has not arrived, or is too old.
    Removed,
    /// A text or log was malformed or unexpected, and is skipped.
    Skipped,
    /// A log that arrived before.
    Duplicate,
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

/// What the session waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Disconnected,
    Head,
    Subscription,
    Backfill,
    Live,
}

/// The client's side of the protocol; see the module.
#[derive(Debug, Default)]
pub struct Session {
    addresses: Vec<Address>,
    cursor: Cursor,
    state: State,
    subscription: String,
    /// The number of the last request.
    id: u64,
    /// The last accepted logs, each with the hash of its block unless it is unknown. No log between
    /// them is missing.
    accepted: VecDeque<(Key, Option<B256>)>,
    /// The block of the highest log so far. Readers know what they have changed from [`DEPTH`]
    /// blocks before it on.
    highest: u64,
    waiting: VecDeque<Option<RawLog>>,
    requests: VecDeque<String>,
    events: VecDeque<Event>,
}

impl Session {
    /// A session for the logs of these addresses that continues at `cursor`.
    pub fn new(addresses: Vec<Address>, cursor: Cursor) -> Self {
        Self { addresses, cursor, ..Self::default() }
    }

    /// A new connection is open: resets the state of the last one and queues the first request.
    ///
    /// Events not yet polled remain, because the cursor has passed their logs.
    pub fn connected(&mut self) {
        self.waiting.clear();
        self.requests.clear();
        if self.cursor.resume_from().is_some() {
            self.subscribe();
        } else {
            // Without a start block, a log lost before the first one arrived would be
            // lost for ever.
            self.request(State::Head, Call::BlockNumber([]));
        }
    }

    /// A text of the node.
    ///
    /// # Errors
    /// If the connection is useless and has to be replaced.
    pub fn handle_text(&mut self, text: &str) -> Result<(), SessionError> {
        let Ok(incoming) = serde_json::from_str::<Incoming<'_>>(text) else {
            self.events.push_back(Event::Skipped);
            return Ok(());
        };
        if let Some(notification) = incoming.params {
            return self.notified(notification.subscription, parse(notification.result));
        }
        if incoming.id != Some(self.id) {
            self.events.push_back(Event::Skipped);
            return Ok(());
        }
        if let Some(fault) = incoming.error {
            return Err(fault.into());
        }
        let result = incoming.result.map_or("null", RawValue::get);
        match self.state {
            State::Head => {
                let head: U64 = serde_json::from_str(result)?;
                self.cursor = Cursor { start: Some(head.to()), last: None, hash: None };
                self.events.push_back(Event::Started(self.cursor));
                self.subscribe();
            }
            State::Subscription => {
                self.subscription = serde_json::from_str(result)?;
                self.backfill();
            }
            State::Backfill => {
                let Logs(logs) = serde_json::from_str(result)?;
                let logs: Vec<_> = logs.into_iter().map(parse).collect();
                if let Some(last) = self.cursor.last
                    && !self.has_last(&logs)
                {
                    self.begin_again(last);
                    return Ok(());
                }
                self.state = State::Live;
                for log in logs.into_iter().chain(std::mem::take(&mut self.waiting)) {
                    self.take(log);
                    if self.state != State::Live {
                        // The next backfill has the others.
                        return Ok(());
                    }
                }
                self.events.push_back(Event::Live);
            }
            State::Disconnected | State::Live => self.events.push_back(Event::Skipped),
        }
        Ok(())
    }

    /// The connection is over, with the code and reason of its close frame if there was one.
    ///
    /// The end of a recording counts only after the backfill, which a close may overtake.
    pub fn handle_end(&mut self, close: Option<(u16, &str)>) -> Ended {
        match (std::mem::take(&mut self.state), close) {
            (State::Live, Some((1000, END_OF_RECORDING))) => Ended::Finished,
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

    /// The number of the request that the node has not answered.
    pub fn unanswered(&self) -> Option<u64> {
        (!matches!(self.state, State::Disconnected | State::Live)).then_some(self.id)
    }

    fn request(&mut self, state: State, call: Call) {
        self.id += 1;
        self.state = state;
        self.requests.push_back(Request::text(self.id, call));
    }

    fn subscribe(&mut self) {
        let filter = Filter { address: self.addresses.clone() };
        self.request(State::Subscription, Call::Subscribe("logs".to_owned(), filter));
    }

    fn backfill(&mut self) {
        // The start block is known.
        let from_block = U64::from(self.cursor.resume_from().unwrap_or_default());
        let filter = Filter { address: self.addresses.clone() };
        self.request(State::Backfill, Call::Logs([Range { from_block, filter }]));
    }

    /// Whether the block of the last log is one of these, as far as its hash is known.
    fn has_last(&self, logs: &[Option<RawLog>]) -> bool {
        let Cursor { last, hash, .. } = self.cursor;
        let is_last = |log: &RawLog| Some(log.key()) == last && log.block_hash == hash;
        hash.is_none() || logs.iter().flatten().any(is_last)
    }

    /// Takes back the logs of the last blocks, and requests them again.
    fn begin_again(&mut self, last: Key) {
        let first = self.highest.max(last.block).saturating_sub(DEPTH);
        let block = first.max(self.cursor.start.unwrap_or(0)).min(last.block);
        let key = Key { block, log_index: 0 };
        self.accepted.clear();
        self.cursor = Cursor { last: Some(key.before()), hash: None, ..self.cursor };
        self.events.push_back(Event::Retracted(key, self.cursor));
        self.backfill();
    }

    /// The chain removed a log that is not after the last one.
    fn removed(&mut self, log: &RawLog, last: Key) {
        let place = self.accepted.partition_point(|(accepted, _)| *accepted < log.key());
        match place.checked_sub(1).and_then(|before| self.accepted.get(before).copied()) {
            _ if self.is_new(log) => self.events.push_back(Event::Removed),
            Some((before, hash)) => {
                self.accepted.truncate(place);
                self.cursor = Cursor { last: Some(before), hash, ..self.cursor };
                self.events.push_back(Event::Retracted(before.after(), self.cursor));
                self.backfill();
            }
            None => self.begin_again(last),
        }
    }

    /// Whether a log, at a position that was passed, is none of those that were accepted there.
    fn is_new(&self, log: &RawLog) -> bool {
        let (key, hash) = (log.key(), log.block_hash);
        let is_it = |&(accepted, its): &(Key, Option<B256>)| {
            accepted == key && (its == hash || its.is_none() || hash.is_none())
        };
        // Those before the first accepted one are not known.
        let is_known = self.accepted.front().is_some_and(|(first, _)| *first <= key);
        let place = self.accepted.partition_point(|(accepted, _)| *accepted < key);
        is_known && !self.accepted.get(place).is_some_and(is_it)
    }

    fn notified(&mut self, subscription: &str, log: Option<RawLog>) -> Result<(), SessionError> {
        match self.state {
            // A node may send the first logs before it answers the subscription.
            State::Subscription | State::Backfill if self.waiting.len() >= MOST_WAITING => {
                return Err(SessionError::TooManyWaiting);
            }
            State::Subscription | State::Backfill => self.waiting.push_back(log),
            State::Live if subscription == self.subscription => self.take(log),
            _ => self.events.push_back(Event::Skipped),
        }
        Ok(())
    }

    fn take(&mut self, log: Option<RawLog>) {
        let Some(log) = log else { return self.events.push_back(Event::Skipped) };
        let key = log.key();
        if self.cursor.start.is_some_and(|start| key.block < start) {
            return self.events.push_back(Event::Skipped);
        }
        self.events.push_back(match self.cursor.last {
            Some(last) if key <= last && log.removed => {
                if key.block.saturating_add(DEPTH) >= last.block {
                    return self.removed(&log, last);
                }
                Event::Removed
            }
            _ if log.removed => Event::Removed,
            Some(last) if key <= last => {
                if self.is_new(&log) {
                    return self.begin_again(last);
                }
                Event::Duplicate
            }
            _ => {
                self.accepted.push_back((key, log.block_hash));
                self.highest = self.highest.max(key.block);
                let is_final =
                    |(accepted, _): &mut (Key, _)| accepted.block.saturating_add(DEPTH) < key.block;
                while self.accepted.pop_front_if(is_final).is_some() {}
                if self.accepted.len() > MOST_ACCEPTED {
                    self.accepted.pop_front();
                }
                self.cursor = Cursor { last: Some(key), hash: log.block_hash, ..self.cursor };
                Event::Log(log, self.cursor)
            }
        });
    }
}

/// A log, unless it is malformed or too large.
fn parse(json: &RawValue) -> Option<RawLog> {
    let json = json.get();
    // serde would accept an array for a struct.
    let is_log = json.starts_with('{') && json.len() <= LARGEST_LOG;
    is_log.then(|| serde_json::from_str(json).ok()).flatten()
}

/// A connection is useless and has to be replaced.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The node refused a request.
    #[error("the node refused a request: {0}")]
    Refused(#[from] Fault),
    /// The node's answer has another shape.
    #[error("unexpected answer of the node: {0}")]
    Unexpected(#[from] serde_json::Error),
    /// Too many live logs arrived before the backfill was answered.
    #[error("more than {MOST_WAITING} live logs arrived before the backfill was answered")]
    TooManyWaiting,
}

#[cfg(test)]
mod tests;
