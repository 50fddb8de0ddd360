//! A scraper of a node's counters: what the endpoint for Prometheus does at each request, without
//! the connection.

use std::sync::Arc;

use mycelium_telemetry::metrics::Collector;
use mycelium_telemetry::metrics::text::Format;
use mycelium_telemetry::{Ring, Snapshot};
use mycelium_transports::counters::Region;
use mycelium_transports::local::Topic;

/// Reads the counters and the rings of topics, and writes them as text. All sets of labels have
/// series of their own.
pub(crate) struct Scraper {
    topics: Vec<Arc<Topic>>,
    counters: Arc<Region>,
    collector: Collector,
}

impl Scraper {
    pub(crate) fn new(topics: Vec<Arc<Topic>>, counters: Arc<Region>) -> Scraper {
        Scraper { topics, counters, collector: Collector::with_most(usize::MAX) }
    }

    pub(crate) fn scrape(&mut self) -> String {
        let rings = self.topics.iter().flat_map(|topic| {
            topic.rings().into_iter().map(|ring| Ring {
                topic: topic.name().to_owned(),
                publisher: ring.publisher.to_string(),
                depth: ring.depth,
                high_water: ring.high_water,
                capacity: ring.capacity,
                label: ring.label,
                readers: ring.readers,
            })
        });
        let rings = rings.collect();
        let node = "main".to_owned();
        let readings = self.counters.read();
        let snapshot = Snapshot { node, readings, rings, ..Snapshot::default() };
        Format::OpenMetrics.write(&self.collector.collect(&snapshot))
    }
}
