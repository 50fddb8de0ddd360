//! What the stages exchange. Times are in nanoseconds since 1970.

use mycelium::message;
use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;

/// A log of a pool, as recorded: its data are not decoded.
#[message(topic = "events", id = 1, pad)]
pub struct Event {
    /// The number of the event in the whole run, from 0. If it is sent again, it has the same one.
    pub number: u64,
    pub at: u64,
    pub data: [u8; 160],
    pub pool: [u8; 20],
}

/// A decoded event, with its number and time.
#[message(topic = "trades", id = 2, pad)]
pub struct Trade {
    pub number: u64,
    pub at: u64,
    /// The price of an ether in dollars, after the trade.
    pub price: f64,
    /// The dollars that changed hands, in millionths.
    pub volume: u64,
    pub pool: [u8; 20],
}

/// The trades of a pool in one second of event time.
#[message(topic = "windows", id = 3, pad)]
#[derive(Debug, Serialize, Deserialize)]
pub struct Window {
    /// The second, since 1970.
    pub start: u64,
    pub count: u64,
    pub volume: u64,
    pub open: f64,
    pub high: f64,
    pub low: f64,
    pub close: f64,
    /// The numbers of the trades that have the prices `open` and `close`.
    pub first: u64,
    pub last: u64,
    pub pool: [u8; 20],
}

impl Window {
    /// Adds a trade of the same pool and second.
    pub fn add(&mut self, trade: &Trade) {
        self.count += 1;
        self.volume = self.volume.saturating_add(trade.volume);
        self.high = self.high.max(trade.price);
        self.low = self.low.min(trade.price);
        if trade.number < self.first {
            (self.first, self.open) = (trade.number, trade.price);
        }
        if trade.number > self.last {
            (self.last, self.close) = (trade.number, trade.price);
        }
    }
}

/// What a stage has counted since its first process.
#[message]
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// The number after the greatest one that it has seen.
    pub next: u64,
    /// Events, each counted once.
    pub taken: u64,
    /// Events that have not come, and will not.
    pub missed: u64,
    /// Events that came again, by their numbers. They changed nothing.
    pub repeated: u64,
    /// Events that the runtime has marked as possibly delivered before.
    pub redelivered: u64,
    /// Gaps that the runtime has reported.
    pub gaps: u64,
    /// Messages that it has sent; for `Outliers`, trades of unusual size.
    pub emitted: u64,
    /// Events that do not decode.
    pub refused: u64,
    /// Runs of the stage.
    pub runs: u64,
}

/// The state of a stage, once a second.
#[message(topic = "reports", id = 4)]
#[derive(Clone, Default, Serialize)]
pub struct Report {
    pub stage: String,
    pub pid: u32,
    /// The time of the report, in milliseconds.
    pub at: u64,
    pub counts: Counts,
    /// Messages that wait for it; for `Ingest`, those that its slowest reader needs.
    pub depth: u64,
    /// Of `Windows`: the times from an event to its window in microseconds, as the median, that of
    /// 99 in 100, and the greatest, first of the last second and then of all of its process.
    pub latency: [[u64; 3]; 2],
}
