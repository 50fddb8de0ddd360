//! Counters that another process can read, even while their owner is busy or hangs.
//!
//! A [`Region`] is words in whole pages: a header with the names of all values, then *segments*,
//! each of which is a table of descriptors and lines of values. A [`Line`] is sixteen words on
//! cache lines of their own. It has one writer, which stores them with plain relaxed stores and
//! never waits; some values are counted by several threads. A reader needs no lock, no help from
//! the writer and no knowledge of this program: the header holds the layout, a line's descriptor
//! its kind, and the table of kinds the names of its values. A line whose writer is gone keeps its
//! values until its place is reused; then they are added to the total of its kind and topic, and
//! the place's generation changes.
//!
//! A region begins with one segment and grows by further ones, which the header lists. A segment
//! never moves and never shrinks, so a line's writer and a reader know nothing of the growth. Words
//! are numbered through all segments. Each segment is memory of its own: on the heap
//! ([`Region::new`]), or in a sealed memfd ([`Region::shared`]), where [`Attached`] reads it from
//! another process, segment by segment as the list grows. The first one has the name
//! `mycelium-counters`, further ones `mycelium-counters-more`.
//!
//! The content of the words, all `u64`:
//!
//! | word | content |
//! | --- | --- |
//! | 0 | magic, `"mycelcnt"` |
//! | 1 | version, 6 |
//! | 2 | number of lines for which the segments have room |
//! | 3 | number of lines in use |
//! | 4 | number of lines that were requested while the region was full |
//! | 5 | number of kinds |
//! | 6 | first word of the list of segments |
//! | 7 | words of a segment in the list |
//! | 8 | number of segments |
//! | 9 | words of a descriptor |
//! | 10 | words of the values of a line |
//! | 11 | first word of the table of kinds |
//! | 12 | words of a kind |
//! | 13 | words of a name |
//! | 14 | the process that created the region, by its number in its own namespace |
//! | 15 | twice the number of lines that were replaced or became totals; odd meanwhile |
//! | (11) + (12) *k* | kind *k*: number of values, name of the kind, names of the values: (13) words for each name, NUL-padded |
//! | (6) + (7) *s* | segment *s*: its first word, lines, first word of its descriptors, of its values, inode of its memfd (0: none), its descriptor in the process |
//! | descriptors + (9) *i* | descriptor of line *i*: generation (0: unused, even: without a writer), kind, label length, label |
//! | values + (10) *i* | words of line *i* |
//!
//! A value is the sum of its first word and its second one, if there is room for that: in a line of
//! *w* words, whose kind has *n* values, the second word of value *v* is word *w* - 1 - *v*, unless
//! that is less than *n*. Only one thread stores second words: the first one that counts in the
//! line, which so needs no locked operation.
//!
//! A line's sixteen words fill two cache lines. The first values are the ones that are counted for
//! each message. Lines of two writers never share a cache line, nor a pair of cache lines that a
//! processor fetches together.
//!
//! The counters, gauges and histograms of services are lines, too; [`Metric`] is read from them. A
//! histogram has one line for its sum and more lines for its buckets, and so do the latencies of
//! topics, which [`Latency`] is read from.
//!
//! [`CountersView`] is a copy of a region of any process, made from its words alone.
//!
//! Without the feature `metrics` a region has no words, and a line counts nothing (`off.rs`).
//!
//! Files: this one (what readers and writers use), `region.rs` (the places of lines, and the
//! words), `reading.rs` (metrics and latencies from lines), `values.rs` (kinds and values). For
//! other processes: `view.rs` (reads the words of a region without trust), `attached.rs` (finds
//! regions and maps them).

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod attached;
#[cfg(not(feature = "metrics"))]
mod off;
mod reading;
#[cfg(feature = "metrics")]
mod region;
mod values;
mod view;

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
pub use attached::{AttachError, Attached, Found};
#[cfg(not(feature = "metrics"))]
pub use off::{LatencyLines, Line, Region};
pub use reading::{
    Bucket, Distribution, LONGEST_LABEL, LONGEST_LATENCY, Latency, Metric, MetricValue, Reading,
};
#[cfg(feature = "metrics")]
pub use region::{HistogramLines, LatencyLines, Line, Region};
pub use values::{
    ActorValue, BucketValue, CounterValue, EdgeValue, ExporterValue, GaugeValue, HistogramValue,
    Kind, LatencyValue, LegacyValue, LinkValue, NodeValue, PublisherValue, PusherValue,
    RequesterValue, ResponderValue, ServiceValue, Value, WatchdogValue,
};
pub use view::{CountersView, KindView, LineView, ViewError};

/// Returns a name for use in a label. Spaces and `=` separate a label's parts, so they become
/// underscores.
pub(crate) fn plain(name: &str) -> String {
    name.replace(|c: char| c.is_control() || c.is_whitespace() || c == '=', "_")
}
