//! The latencies of topics, put together from lines.

use std::collections::HashMap;

use super::buckets::Distribution;
use super::plain;
use super::reading::{LONGEST_LABEL, Reading};
use super::values::Kind;

/// The longest latency in nanoseconds: an hour. A longer one counts as this one, so that a clock
/// that is wrong, or a peer that lies, cannot make the sum of all latencies useless.
pub const LONGEST_LATENCY: u64 = 3_600_000_000_000;

/// The longest end that a line of buckets adds to the label: the number of its first bucket.
const FIRST: usize = " first=240".len();

/// How long the messages of a topic took from their emit to their receive by one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latency {
    /// The topic.
    pub topic: String,
    /// The subscription; empty for the total of lines whose places were reused.
    pub reader: String,
    /// The latencies of the measured messages, in nanoseconds.
    pub nanoseconds: Distribution,
    /// How many messages were sent later than they were received, by the clocks of the two sides.
    /// They count as 0.
    pub ahead: u64,
}

impl Latency {
    /// Returns the latencies among the lines of a region, in the order of their first lines. Lines
    /// of the same reader and topic are added up.
    #[must_use]
    pub fn of(readings: &[Reading]) -> Vec<Latency> {
        let mut latencies: Vec<Latency> = Vec::new();
        let mut places: HashMap<(&str, &str), usize> = HashMap::new();
        for reading in readings {
            let Some((nanoseconds, ahead)) = values_of(reading) else { continue };
            let (topic, reader) = (reading.label("topic"), reading.label("reader"));
            let place = *places.entry((topic, reader)).or_insert_with(|| {
                let (topic, reader) = (topic.to_owned(), reader.to_owned());
                let nanoseconds = Distribution::default();
                latencies.push(Latency { topic, reader, nanoseconds, ahead: 0 });
                latencies.len() - 1
            });
            latencies[place].nanoseconds.merge(&nanoseconds);
            latencies[place].ahead = latencies[place].ahead.wrapping_add(ahead);
        }
        latencies
    }
}

/// Returns the latencies in a line, if it is a line of latencies, and how many were ahead.
fn values_of(reading: &Reading) -> Option<(Distribution, u64)> {
    match reading.kind {
        Kind::Latency => Some((Distribution::of(reading)?, reading.value("ahead"))),
        Kind::Buckets if reading.is_of_latency() => Some((Distribution::of(reading)?, 0)),
        Kind::Buckets
        | Kind::Publisher
        | Kind::Edge
        | Kind::Service
        | Kind::Link
        | Kind::Watchdog
        | Kind::Counter
        | Kind::Gauge
        | Kind::Histogram
        | Kind::Requester
        | Kind::Responder
        | Kind::Legacy
        | Kind::Exporter
        | Kind::Pusher
        | Kind::Actor
        | Kind::Node => None,
    }
}

/// Returns the label of a topic's reader, cut so that the end that a line of buckets adds has room.
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "there are no lines"))]
pub(super) fn label(topic: &str, reader: &str) -> String {
    let mut label = format!("topic={} reader={}", plain(topic), plain(reader));
    label.truncate(label.floor_char_boundary(LONGEST_LABEL - FIRST));
    label
}
