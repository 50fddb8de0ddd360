//! The counts of a run. The services report to one [`Figures`], and a report prints a [`Snapshot`]
//! of it. Logs, swaps and signals are counted once by their position in the chain, so a restarted
//! service or a broken connection may report one twice.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use hdrhistogram::Histogram;

use crate::{
    arbitrage::{PricedSwap, Signal},
    chain::{Event, Key, Skip},
    metadata::Pool,
};

/// The number of recent signals in a report.
const RECENT: usize = 3;
/// The longest latency recorded: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// The kinds of logs, as a report names them.
pub const KINDS: [&str; 5] = ["swap", "mint", "burn", "collect", "removed"];

fn kind(event: &Event) -> usize {
    match event {
        Event::Swap(_) => 0,
        Event::Mint => 1,
        Event::Burn => 2,
        Event::Collect => 3,
        Event::Removed => 4,
    }
}

/// The counts of a pool.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolFigures {
    /// The symbols of its tokens.
    pub symbols: [String; 2],
    /// The fee of a swap, in millionths.
    pub fee_millionths: u32,
    /// The number of its swaps.
    pub swaps: u64,
    /// Its last price of token 0 in token 1.
    pub price: Option<f64>,
}

/// The distribution of a latency in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// 90 %.
    pub p90: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// The figures at a point in time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The time since the start of the run.
    pub elapsed: Duration,
    /// The total number of logs, if known.
    pub total: Option<u64>,
    /// Logs by kind, in the order of [`KINDS`].
    pub kinds: [u64; KINDS.len()],
    /// Skipped logs and texts by kind, in the order of [`Skip::ALL`].
    pub skips: [u64; Skip::ALL.len()],
    /// Logs received, including skipped ones.
    pub logs: u64,
    /// Logs received again.
    pub duplicates: u64,
    /// Connections after the first.
    pub reconnects: u64,
    /// Messages lost between services.
    pub drops: u64,
    /// Messages received by services.
    pub messages: u64,
    /// Swaps of pools without metadata.
    pub unknown_pools: u64,
    /// Swaps that the detector rejected.
    pub rejected: u64,
    /// The pools by address.
    pub pools: Vec<PoolFigures>,
    /// The number of signals.
    pub signals: u64,
    /// The last signals, the oldest first.
    pub recent: Vec<Signal>,
    /// From the adapter's emit to the detector's receive; `None` before the first swap.
    pub latency: Option<Latency>,
}

/// Collects the figures of a run.
#[derive(Clone, Debug)]
pub struct Figures {
    plain: Snapshot,
    pools: BTreeMap<[u8; 20], PoolFigures>,
    recent: VecDeque<Signal>,
    connections: u64,
    /// Never `None`, because its bounds are valid; the type does not show that.
    latency: Option<Histogram<u64>>,
    last_log: Option<Key>,
    last_swap: Option<Key>,
    last_signal: Option<Key>,
}

impl Figures {
    /// Empty figures of a run with this total number of logs, if known.
    #[must_use]
    pub fn new(total: Option<u64>) -> Self {
        Self {
            plain: Snapshot { total, ..Snapshot::default() },
            pools: BTreeMap::new(),
            recent: VecDeque::new(),
            connections: 0,
            latency: Histogram::new_with_bounds(1, LONGEST, 3).ok(),
            last_log: None,
            last_swap: None,
            last_signal: None,
        }
    }

    /// Adds a pool, so that the report has it before its first swap.
    pub fn add_pool(&mut self, pool: &Pool) {
        self.pools.entry(pool.address).or_insert_with(|| PoolFigures {
            symbols: [pool.token0.symbol.clone(), pool.token1.symbol.clone()],
            fee_millionths: pool.fee_millionths,
            swaps: 0,
            price: None,
        });
    }

    /// A log was decoded.
    pub fn count_log(&mut self, key: Key, event: &Result<Event, Skip>) {
        // A removed log has the position of the log that it removes.
        if !matches!(event, Ok(Event::Removed)) && !advance(&mut self.last_log, key) {
            return;
        }
        self.plain.logs += 1;
        match event {
            Ok(event) => self.plain.kinds[kind(event)] += 1,
            Err(skip) => self.count_skip(*skip),
        }
    }

    /// A text was skipped.
    pub fn count_skip(&mut self, skip: Skip) {
        self.plain.skips[skip as usize] += 1;
    }

    /// A log arrived again.
    pub fn count_duplicate(&mut self) {
        self.plain.duplicates += 1;
    }

    /// A connection was opened.
    pub fn count_connection(&mut self) {
        self.connections += 1;
        self.plain.reconnects = self.connections - 1;
    }

    /// Messages were lost between services.
    pub fn count_drops(&mut self, drops: u64) {
        self.plain.drops += drops;
    }

    /// The number of messages lost between services so far.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.plain.drops
    }

    /// A service received a message.
    pub fn count_message(&mut self) {
        self.plain.messages += 1;
    }

    /// A swap's pool is unknown.
    pub fn count_unknown_pool(&mut self) {
        self.plain.unknown_pools += 1;
    }

    /// The detector rejected a swap.
    pub fn count_rejected(&mut self) {
        self.plain.rejected += 1;
    }

    /// The detector handled a swap.
    pub fn count_swap(&mut self, swap: &PricedSwap) {
        if !advance(&mut self.last_swap, swap.key) {
            return;
        }
        let pool = self.pools.entry(swap.pool).or_insert_with(|| PoolFigures {
            symbols: ["?".into(), "?".into()],
            fee_millionths: swap.fee_millionths,
            swaps: 0,
            price: None,
        });
        pool.swaps += 1;
        pool.price = Some(swap.price);
    }

    /// The detector found a signal.
    pub fn count_signal(&mut self, signal: &Signal) {
        if !advance(&mut self.last_signal, signal.key) {
            return;
        }
        self.plain.signals += 1;
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(*signal);
    }

    /// The time of a swap from the adapter's emit to the detector's receive.
    pub fn record_latency(&mut self, latency: Duration) {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.latency {
            histogram.saturating_record(nanos);
        }
    }

    /// The figures now.
    #[must_use]
    pub fn snapshot(&self, elapsed: Duration) -> Snapshot {
        Snapshot {
            elapsed,
            pools: self.pools.values().cloned().collect(),
            recent: self.recent.iter().copied().collect(),
            latency: self.latency.as_ref().filter(|histogram| !histogram.is_empty()).map(latency),
            ..self.plain.clone()
        }
    }
}

fn latency(histogram: &Histogram<u64>) -> Latency {
    let at = |quantile| histogram.value_at_quantile(quantile);
    Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: histogram.max() }
}

/// Whether the key is later than all before; stores it if so.
fn advance(last: &mut Option<Key>, key: Key) -> bool {
    let new = last.is_none_or(|last| last < key);
    if new {
        *last = Some(key);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(log_index: u64) -> Key {
        Key { block: 1, log_index }
    }

    #[test]
    fn what_is_told_twice_is_counted_once() {
        let mut figures = Figures::new(Some(9));
        let swap = PricedSwap {
            pool: [1; 20],
            token0: [2; 20],
            token1: [3; 20],
            fee_millionths: 500,
            key: key(0),
            price: 2.0,
        };
        let signal =
            Signal { key: key(0), pools: [[1; 20], [4; 20]], prices: [2.0, 3.0], gap: 0.4 };
        for _ in 0..2 {
            figures.count_log(key(0), &Ok(Event::Mint));
            figures.count_log(key(1), &Err(Skip::ShortData));
            figures.count_swap(&swap);
            figures.count_signal(&signal);
        }
        figures.count_log(key(0), &Ok(Event::Removed));
        let snapshot = figures.snapshot(Duration::from_secs(1));
        assert_eq!((snapshot.logs, snapshot.kinds), (3, [0, 1, 0, 0, 1]));
        assert_eq!(snapshot.skips[Skip::ShortData as usize], 1);
        assert_eq!((snapshot.pools[0].swaps, snapshot.signals), (1, 1));
        assert_eq!((snapshot.recent, snapshot.latency), (vec![signal], None));
    }

    #[test]
    fn latencies_are_ordered_and_bounded() {
        let mut figures = Figures::new(None);
        for nanos in 0..1000 {
            figures.record_latency(Duration::from_nanos(nanos));
        }
        figures.record_latency(Duration::MAX);
        let latency = figures.snapshot(Duration::ZERO).latency.unwrap();
        assert_eq!((latency.p50, latency.p90), (500, 900));
        assert!(latency.p99 <= latency.p999 && latency.p999 < 1024 && latency.max >= LONGEST);
    }

    #[test]
    fn skips_are_numbered_as_listed() {
        for (number, skip) in Skip::ALL.into_iter().enumerate() {
            assert_eq!(skip as usize, number);
        }
    }
}
