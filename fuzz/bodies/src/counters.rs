//! Words of counters: a reader of any words gets an error, or a view of bounded size.

use std::sync::OnceLock;

use mycelium_transports::counters::{
    CountersView, Latency, Metric, MetricValue, Region, RequesterValue,
};

/// The bytes of one change to a region: 2 for its segment and word, and 8 for the new word.
const CHANGE: usize = 10;

/// Reads any words as counters. If the first byte is 0, the rest are changes to a region with two
/// segments and lines of several kinds. Otherwise the rest are the words of two segments, and the
/// first byte is the number of pages of the first segment.
pub fn counters(data: &[u8]) {
    let Some((&first, bytes)) = data.split_first() else { return };
    let segments = match first {
        0 => changed(bytes),
        pages => {
            let words: Vec<u64> = bytes.chunks(8).map(word).collect();
            let (first, further) = words.split_at(words.len().min(512 * usize::from(pages)));
            vec![first.to_vec(), further.to_vec()]
        }
    };
    let view = CountersView::of_dump(&segments);
    assert_eq!(view, CountersView::of_dump(&segments), "the same words, the same view");
    let Ok(view) = view else { return };
    let words: usize = segments.iter().map(Vec::len).sum();
    assert!(view.kinds.len() * 2 <= words && (view.lines.len() + view.torn) * 3 <= words);
    // An invalid byte becomes a character of up to three bytes.
    let names = view.kinds.iter().flat_map(|kind| kind.values.iter().chain([&kind.name]));
    let labels = view.lines.iter().map(|line| &line.label);
    for text in names.chain(labels) {
        assert!(text.len() <= 3 * 8 * words && !text.contains(char::is_control), "{text:?}");
    }
    for line in &view.lines {
        assert!(line.generation > 0 && line.values.len() <= line.kind.values.len());
    }
    let readings = view.readings();
    for Latency { nanoseconds, .. } in Latency::of(&readings) {
        let _ = nanoseconds.quantile(0.5);
    }
    for metric in Metric::of(&readings) {
        if let MetricValue::Histogram(distribution) = metric.value {
            let _ = distribution.quantile(0.99);
        }
    }
}

/// Returns the segments of a region with these changes.
fn changed(changes: &[u8]) -> Vec<Vec<u64>> {
    static REGION: OnceLock<Vec<Vec<u64>>> = OnceLock::new();
    let honest = REGION.get_or_init(|| {
        let region = Region::new(16);
        let latencies = region.latencies("swaps", "Detector.swaps");
        latencies.record(Some(1_000_000));
        let histogram = region.histogram("service=Store metric=nanoseconds");
        histogram.record(7);
        let requester = region.line("topic=prices requester=Store");
        requester.count(RequesterValue::Replied);
        let dump = region.dump();
        assert!(dump.len() > 1, "it has grown");
        dump
    });
    let mut segments = honest.clone();
    for change in changes.chunks_exact(CHANGE) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let segment = &mut segments[place >> 15];
        let length = segment.len();
        segment[(place & 0x7fff) % length] = word(&change[2..]);
    }
    segments
}

/// Returns a word from up to 8 bytes.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}
