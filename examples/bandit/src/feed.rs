//! A recorded day, served like an Ethereum node. All connections share one position: the number of
//! logs that the chain has so far. It advances only while a client is subscribed, by one log at a
//! time, and a log exists once the position has passed it: `eth_getLogs` returns logs before the
//! position, `eth_blockNumber` the block of the last of them, and a subscription sends each log
//! that the position passes. The recording is the buffer of all connections, so a slow client
//! delays neither the day nor the other clients.
//!
//! So a client cannot miss a log. It subscribes, waits for the answer, and then calls
//! `eth_getLogs` from the block of its last log, inclusive. The answer has every log that the
//! position had passed by then; the subscription sends every later one (and some of the earlier
//! ones again). A log written to a broken connection is before the position, and so in the next
//! backfill. This holds at the end, too: a connection is closed only after it has subscribed, was
//! sent every log, and had an `eth_getLogs` answered or was silent for the grace period
//! ([`Settings::grace`]). The same applies to a connection after the end. If the grace period is
//! too short for a client, the close arrives before the answer to its backfill, and the client
//! knows that it has to reconnect.

mod connection;

use std::{
    collections::BTreeSet,
    fmt,
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use event_listener::{Event, EventListener};

use crate::{
    recording::{RecordedLog, Recording},
    rpc::{BlockTag, Filter},
};

/// The speed of the replay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Pace {
    /// As fast as the fastest subscriber reads.
    #[default]
    Unpaced,
    /// By the recorded time stamps, faster by a factor.
    Recorded {
        /// The factor: with 1440 a day takes a minute. 0 or less means real time.
        speed: f64,
    },
}

impl Pace {
    /// The time between two logs, given their time stamps since the first.
    ///
    /// Computed in whole milliseconds of the scaled clock, so that short gaps add up.
    fn gap(self, before: u64, after: u64) -> Duration {
        match self {
            Self::Unpaced => Duration::ZERO,
            Self::Recorded { speed } => {
                let speed = if speed > 0.0 { speed } else { 1.0 };
                let millis = |seconds: u64| (seconds as f64 * 1000.0 / speed) as u64;
                Duration::from_millis(millis(after).saturating_sub(millis(before)))
            }
        }
    }
}

/// When the feed drops a connection abruptly, without a close frame, as networks do.
///
/// The connection that moves the position past a point is dropped there. The last logs before the
/// point are never sent to it; only a backfill has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// At these positions.
    pub at: BTreeSet<usize>,
    /// At every multiple of this.
    pub every: Option<NonZeroUsize>,
    /// The number of logs lost before each point.
    pub lost: usize,
}

impl Drops {
    /// Whether the connection that moved the position here is dropped.
    fn due(&self, position: usize) -> bool {
        self.at.contains(&position)
            || self.every.is_some_and(|every| position.is_multiple_of(every.get()))
    }

    /// Whether the log at this position is lost by a drop soon after.
    fn loses(&self, position: usize) -> bool {
        (position..position.saturating_add(self.lost)).any(|point| self.due(point))
    }
}

/// The settings of a feed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The speed of the replay.
    pub pace: Pace,
    /// When connections drop.
    pub drops: Drops,
    /// How long a client that was sent every log may be silent before its connection is closed.
    pub grace: Duration,
    /// The timeout of the handshake and of the close.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pace: Pace::default(),
            drops: Drops::default(),
            grace: Duration::from_millis(500),
            timeout: Duration::from_secs(5),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Every log was sent, and the feed closed the connection.
    EndOfRecording,
    /// The feed dropped it on purpose.
    Dropped,
    /// The client closed the connection or disconnected.
    Left,
    /// The handshake failed.
    NoHandshake,
    /// The client broke the WebSocket protocol.
    Garbage,
    /// The client sent a message above the limit.
    Oversized,
    /// The stream failed.
    Broken,
}

impl Outcome {
    /// Every outcome, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::EndOfRecording,
        Self::Dropped,
        Self::Left,
        Self::NoHandshake,
        Self::Garbage,
        Self::Oversized,
        Self::Broken,
    ];
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfRecording => "end of recording",
            Self::Dropped => "dropped",
            Self::Left => "client left",
            Self::NoHandshake => "no handshake",
            Self::Garbage => "garbage",
            Self::Oversized => "oversized",
            Self::Broken => "broken",
        })
    }
}

/// The node, shared by all connections. Put it in an `Arc` and call [`Feed::serve`] for each.
#[derive(Debug)]
pub struct Feed {
    recording: Recording,
    settings: Settings,
    position: AtomicUsize,
    moved: Event,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    refused: AtomicU64,
    subscriptions: AtomicU64,
}

impl Feed {
    /// A feed at the start of its day.
    #[must_use]
    pub fn new(recording: Recording, settings: Settings) -> Self {
        Self {
            recording,
            settings,
            position: AtomicUsize::new(0),
            moved: Event::new(),
            outcomes: [const { AtomicU64::new(0) }; Outcome::ALL.len()],
            refused: AtomicU64::new(0),
            subscriptions: AtomicU64::new(0),
        }
    }

    /// The number of logs that the chain has so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position.load(Ordering::Acquire)
    }

    /// The number of logs of the day.
    #[must_use]
    pub fn total(&self) -> usize {
        self.recording.len()
    }

    /// The number of the newest block.
    #[must_use]
    pub fn block_number(&self) -> u64 {
        let logs = self.recording.logs();
        match self.position() {
            0 => logs[0].key.block.saturating_sub(1),
            // A removed log may be of an older block; the head of the chain does not go back.
            position => logs[..position]
                .iter()
                .rev()
                .find(|log| !log.removed)
                .map_or(0, |log| log.key.block),
        }
    }

    /// The number of connections with this outcome.
    #[must_use]
    pub fn outcomes(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize].load(Ordering::Relaxed)
    }

    /// The number of requests answered with an error.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The logs that the chain has so far in a range of blocks, as a JSON list.
    fn logs_between(&self, from: BlockTag, to: BlockTag, filter: &Filter) -> String {
        let newest = self.block_number();
        let block = |tag| match tag {
            BlockTag::Earliest => 0,
            BlockTag::Latest => newest,
            BlockTag::Number(block) => block,
        };
        let blocks = block(from)..=block(to);
        let mut list = String::from("[");
        let found = self.recording.logs()[..self.position()].iter().filter(|log| {
            !log.removed && blocks.contains(&log.key.block) && filter.matches(&log.address)
        });
        for log in found {
            if list.len() > 1 {
                list.push(',');
            }
            list.push_str(&log.json);
        }
        list.push(']');
        list
    }

    /// The log at an index of the day, if there is one.
    fn log(&self, index: usize) -> Option<&RecordedLog> {
        self.recording.logs().get(index)
    }

    /// The time before the log at an index.
    fn gap(&self, index: usize) -> Duration {
        let logs = self.recording.logs();
        let since = |index: usize| logs[index].timestamp.saturating_sub(logs[0].timestamp);
        match index {
            0 => Duration::ZERO,
            _ if index < logs.len() => self.settings.pace.gap(since(index - 1), since(index)),
            _ => Duration::ZERO,
        }
    }

    /// Moves the position past `index`, unless another connection did. Returns whether it moved.
    fn advance(&self, index: usize) -> bool {
        // Release pairs with the Acquire of `position`. The recording never changes, so only the
        // number has to become visible.
        let moved = self
            .position
            .compare_exchange(index, index + 1, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if moved {
            self.moved.notify(usize::MAX);
        }
        moved
    }

    fn listen(&self) -> EventListener {
        self.moved.listen()
    }

    fn new_subscription(&self) -> String {
        format!("{:#x}", 0x5b_0000 + self.subscriptions.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_add_up_at_any_speed() {
        for (speed, total) in [(1.0, 86_376_000), (1440.0, 59_983), (1e6, 86), (0.0, 86_376_000)] {
            let settings = Settings { pace: Pace::Recorded { speed }, ..Settings::default() };
            let feed = Feed::new(Recording::embedded().unwrap(), settings);
            let sum: Duration = (0..feed.total()).map(|index| feed.gap(index)).sum();
            assert_eq!(sum.as_millis(), total, "at {speed}");
        }
        assert_eq!(Pace::Unpaced.gap(1, 1000), Duration::ZERO);
    }

    #[test]
    fn the_chain_ends_at_the_position() {
        let feed = Feed::new(Recording::embedded().unwrap(), Settings::default());
        let logs = |from, to| {
            let list = feed.logs_between(from, to, &Filter::default());
            serde_json::from_str::<Vec<serde_json::Value>>(&list).unwrap().len()
        };
        assert_eq!(feed.block_number(), 18_937_381);
        assert_eq!(logs(BlockTag::Earliest, BlockTag::Latest), 0);
        for index in 0..10 {
            assert!(feed.advance(index) && !feed.advance(index));
        }
        assert_eq!(logs(BlockTag::Earliest, BlockTag::Latest), 10);
        assert_eq!(logs(BlockTag::Earliest, BlockTag::Number(u64::MAX)), 10);
        assert!(logs(BlockTag::Latest, BlockTag::Latest) < 10);
        assert_eq!(logs(BlockTag::Number(feed.block_number() + 1), BlockTag::Latest), 0);
    }

    #[test]
    fn a_removed_log_is_told_of_but_not_served() {
        let line = |block: u64, removed: bool| {
            format!(
                "{{\"address\":\"0x{}\",\"blockNumber\":\"{block:#x}\",\"logIndex\":\"0x0\",\
                 \"blockTimestamp\":\"0x0\",\"removed\":{removed}}}\n",
                "07".repeat(20)
            )
        };
        let day = [line(5, false), line(6, false), line(5, true)].concat();
        let day = Recording::read("day".as_ref(), day.as_bytes()).unwrap();
        let feed = Feed::new(day, Settings::default());
        (0..3).for_each(|index| assert!(feed.advance(index)));
        assert_eq!((feed.block_number(), feed.total()), (6, 3));
        let served = feed.logs_between(BlockTag::Earliest, BlockTag::Latest, &Filter::default());
        assert_eq!(served.matches("false").count(), 2);
        assert!(!served.contains("true"));
    }

    #[test]
    fn drops_lose_the_logs_before_them() {
        let drops = Drops { at: [5].into(), every: NonZeroUsize::new(10), lost: 2 };
        let lost: Vec<_> = (1..=20).filter(|position| drops.loses(*position)).collect();
        assert_eq!(lost, [4, 5, 9, 10, 19, 20]);
        let due: Vec<_> = (1..=20).filter(|position| drops.due(*position)).collect();
        assert_eq!(due, [5, 10, 20]);
    }
}
