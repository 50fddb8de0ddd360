//! Families of metrics: sums, limits on label values, counters that never go back, metrics of
//! services, hostile names, and both text formats.
#![cfg(feature = "prometheus")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mycelium_telemetry::metrics::text::Format;
use mycelium_telemetry::metrics::{Collector, Family, OTHER, SampleValue, described};
use mycelium_telemetry::{HealthOf, HealthReading, Ring, Snapshot};
use mycelium_transports::counters::{
    CounterValue, EdgeValue, GaugeValue, LinkValue, PublisherValue, Region, ServiceValue,
};
use proptest::prelude::*;

use crate::snapshot;

fn family<'f>(families: &'f [Family], name: &str) -> &'f Family {
    families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn counts<'f>(families: &'f [Family], name: &str, label: &str) -> Vec<(&'f str, u64)> {
    let samples = family(families, name).samples.iter().map(|sample| match sample.value {
        SampleValue::Counter(count) => (sample.label(label).unwrap_or_default(), count),
        _ => panic!("{name} is not a counter"),
    });
    samples.collect()
}

/// Returns each counter, by its name and labels, and checks that none has vanished or gone back
/// since `before`.
fn counters(families: &[Family], before: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut now = BTreeMap::new();
    for family in families {
        for sample in &family.samples {
            let SampleValue::Counter(count) = sample.value else { continue };
            let key = format!("{} {:?}", family.name, sample.labels().collect::<Vec<_>>());
            assert_eq!(now.insert(key, count), None, "each counter is shown once");
        }
    }
    for (key, last) in before {
        assert!(now.get(key) >= Some(last), "{key} from {last} to {:?}", now.get(key));
    }
    now
}

#[test]
fn lines_with_the_same_labels_are_one_series() {
    let region = Region::new(64);
    region.line("topic=swaps publisher=Feed epoch=1").set(PublisherValue::Sent, 5);
    region.line("topic=swaps publisher=Feed epoch=2").set(PublisherValue::Sent, 7);
    let service = region.line("service=Feed");
    service.set(ServiceValue::Starts, 3);
    service.set(ServiceValue::Panics, 2);
    let link = region.line("link=keeper role=reader");
    link.set(LinkValue::Connections, 4);
    link.set(LinkValue::BytesSent, 900);
    let families = Collector::new().collect(&snapshot(&region));
    assert_eq!(counts(&families, "mycelium_messages_sent", "publisher"), [("Feed", 12)]);
    assert_eq!(counts(&families, "mycelium_service_restarts", "service"), [("Feed", 2)]);
    let failures = counts(&families, "mycelium_service_failures", "kind");
    assert_eq!(failures, [("error", 0), ("panic", 2)]);
    assert_eq!(counts(&families, "mycelium_link_reconnects", "peer"), [("keeper", 3)]);
    assert_eq!(family(&families, "mycelium_link_sent_bytes").unit, Some("bytes"));
}

#[test]
fn the_depth_of_a_subscription_is_what_its_reader_has_not_taken() {
    let region = Region::new(64);
    let of_publisher = "topic=swaps publisher=Feed epoch=1f";
    region.line(of_publisher).set(PublisherValue::Sent, 100);
    for (reader, joined_at, taken, dropped) in [("Fast", 0, 100, 0), ("Slow", 10, 40, 30)] {
        let line = region.line(&format!("{of_publisher} reader={reader}"));
        line.set(EdgeValue::JoinedAt, joined_at);
        line.set(EdgeValue::Taken, taken);
        line.set(EdgeValue::Overwritten, dropped);
    }
    // It has left, and is not behind for ever.
    region.line(&format!("{of_publisher} reader=Gone")).set(EdgeValue::Taken, 3);
    let ring = Ring {
        topic: "swaps".to_owned(),
        publisher: "Feed".to_owned(),
        depth: 20,
        high_water: 60,
        capacity: 64,
        arena_bytes: 1024,
        arena_high_water: 800,
        label: of_publisher.to_owned(),
        readers: vec!["Fast".to_owned(), "Slow".to_owned()],
    };
    let families = Collector::new().collect(&Snapshot { rings: vec![ring], ..snapshot(&region) });
    let depths = family(&families, "mycelium_subscription_depth").samples.iter();
    let depths: Vec<_> = depths.map(|it| (it.label("reader").unwrap(), it.value.clone())).collect();
    assert_eq!(depths, [("Fast", SampleValue::Gauge(0)), ("Slow", SampleValue::Gauge(20))]);
    for (name, value) in [
        ("depth", 20),
        ("high_water", 60),
        ("capacity", 64),
        ("arena_bytes", 1024),
        ("arena_high_water_bytes", 800),
    ] {
        let family = family(&families, &format!("mycelium_ring_{name}"));
        assert_eq!(family.samples[0].value, SampleValue::Gauge(value));
    }
}

#[test]
fn label_sets_over_the_limit_are_one_and_lose_nothing() {
    let publish = |region: &Arc<Region>, number: u64, sent| {
        let label = format!("topic=swaps publisher=p{number} epoch={number:x}");
        region.line(&label).set(PublisherValue::Sent, sent);
    };
    let region = Region::new(64);
    (0..10).for_each(|number| publish(&region, number, 1 + number));
    let mut collector = Collector::with_most(3);
    let families = collector.collect(&snapshot(&region));
    let sent = counts(&families, "mycelium_messages_sent", "publisher");
    let names: Vec<&str> = sent.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["p0", "p1", "p2", OTHER]);
    assert_eq!(sent.iter().map(|(_, count)| count).sum::<u64>(), 55);
    let over = &family(&families, "mycelium_label_sets_over_limit").samples;
    assert_eq!(over[0].label("group"), Some("publisher"));
    assert_eq!(over[0].value, SampleValue::Gauge(7));
    // The first ones keep their series, in any order of the lines, and new ones get none.
    let other = Region::new(64);
    (0..20).rev().for_each(|it| publish(&other, it, 2 + it));
    let families = collector.collect(&snapshot(&other));
    let sent = counts(&families, "mycelium_messages_sent", "publisher");
    let names: BTreeSet<&str> = sent.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, BTreeSet::from(["p0", "p1", "p2", OTHER]));
}

/// Publishers and readers that come and go: a line that is replaced keeps its share of each sum,
/// and no series goes back.
#[test]
fn sums_survive_the_lines_of_thousands_of_short_lived_members() {
    for most in [3, 1_000] {
        let region = Region::new(64);
        let mut collector = Collector::with_most(most);
        let mut before = BTreeMap::new();
        let mut sent = BTreeMap::<&str, u64>::new();
        for number in 0..4_000_u64 {
            let topic = ["swaps", "blocks", "swaps"][number as usize % 3];
            // Some start several times.
            let name = number - number % 5 % 2;
            let label = format!("topic={topic} publisher=p{name} epoch={number:x}");
            let publisher = region.line(&label);
            let edge = region.line(&format!("{label} reader=r{}", number % 2_000));
            let peer = region.line(&format!("link=n{number} role=publisher"));
            peer.set(LinkValue::Connections, 1);
            let count = 2 + number % 7;
            for (share, is_last) in [(1, false), (count, true)] {
                publisher.set(PublisherValue::Sent, share);
                edge.set(EdgeValue::Taken, share - share / 3);
                edge.set(EdgeValue::Overwritten, share / 3);
                edge.set(EdgeValue::JoinedAt, 1);
                // A scrape meets some lines before their last messages.
                if number % 397 > 1 && !(is_last && number == 3_999) {
                    continue;
                }
                let mut expected = sent.clone();
                *expected.entry(topic).or_default() += share;
                let families = collector.collect(&snapshot(&region));
                let shown = |name: &str, key| {
                    let mut sums = BTreeMap::<&str, u64>::new();
                    for (topic, count) in counts(&families, name, key) {
                        *sums.entry(topic).or_default() += count;
                    }
                    sums
                };
                let of_topics = shown("mycelium_messages_sent", "topic");
                assert_eq!(of_topics, expected, "{number}");
                let mut taken = shown("mycelium_messages_received", "topic");
                for (topic, count) in shown("mycelium_messages_dropped", "topic") {
                    *taken.entry(topic).or_default() += count;
                }
                assert_eq!(of_topics, taken, "{number}");
                let of_links = ["mycelium_link_connections", "mycelium_link_reconnects"]
                    .map(|name| shown(name, "role")["publisher"]);
                assert_eq!(of_links, [number + 1, 0], "{number}");
                before = counters(&families, &before);
            }
            *sent.entry(topic).or_default() += count;
        }
    }
}

proptest! {
    /// Lines come and go, and their values grow: no counter ever goes back or vanishes.
    #[test]
    fn counters_never_go_back(
        steps in prop::collection::vec((0..4_usize, 0..50_u64, any::<bool>()), 1..60),
        most in 1..4_usize,
    ) {
        let mut collector = Collector::with_most(most);
        let mut lines: Vec<Vec<u64>> = vec![Vec::new(); 4];
        let mut before = BTreeMap::new();
        for (publisher, count, forgets) in steps {
            if forgets {
                lines[publisher].pop();
            } else {
                lines[publisher].push(count);
            }
            let region = Region::new(64);
            for (number, values) in lines.iter().enumerate() {
                for (epoch, value) in values.iter().enumerate() {
                    let label = format!("topic=t publisher=p{number} epoch={epoch:x}");
                    region.line(&label).set(PublisherValue::Sent, *value);
                }
            }
            before = counters(&collector.collect(&snapshot(&region)), &before);
        }
    }
}

#[test]
fn metrics_of_services_have_names_of_their_own_and_cumulative_buckets() {
    let region = Region::new(1024);
    let counter = |label: &str, count| region.line(label).set(CounterValue::Count, count);
    counter("service=Store metric=orders.stored side=buy", 4);
    counter("service=Store metric=orders_stored_total side=sell", 5);
    let gauge = |label: &str, value| region.line(label).set(GaugeValue::Value, value);
    gauge("service=Store metric=open node=x le=1", (-7_i64).cast_unsigned());
    // Names that others have: a gauge like a counter's sample, and one of the project.
    gauge("service=Other metric=orders_stored_total", 1);
    counter("service=Other metric=mycelium_messages_sent", 9);
    let sizes = region.histogram("service=Store metric=sizes");
    [0, 1, 2, 3, 4, 1000, u64::MAX].into_iter().for_each(|value| sizes.record(value));
    let families = Collector::new().collect(&snapshot(&region));
    assert_eq!(counts(&families, "orders_stored", "side"), [("buy", 4), ("sell", 5)]);
    let open = &family(&families, "open").samples[0];
    let labels: Vec<_> = open.labels().collect();
    let expected = [("node", "main"), ("service", "Store"), ("own_node", "x"), ("own_le", "1")];
    assert_eq!((labels, open.value.clone()), (expected.to_vec(), SampleValue::Gauge(-7)));
    assert_eq!(family(&families, "orders_stored_total_gauge").samples.len(), 1);
    let service = counts(&families, "service_mycelium_messages_sent", "service");
    assert_eq!(service, [("Other", 9)]);
    let SampleValue::Histogram(buckets) = &family(&families, "sizes").samples[0].value else {
        panic!("a histogram")
    };
    let cumulative: Vec<_> = buckets.cumulative().collect();
    assert_eq!(cumulative.len(), 65);
    assert_eq!(cumulative[..4], [(0, 1), (1, 2), (3, 4), (7, 5)]);
    assert_eq!(cumulative[10], (1023, 6));
    assert_eq!(cumulative[64], (u64::MAX, 7));
    assert_eq!(buckets.count, 7);
    assert_eq!(family(&families, "sizes_min").samples[0].value, SampleValue::Gauge(0));
    let text = Format::OpenMetrics.write(&families);
    for (end, count) in [("1023.0", 6), ("+Inf", 7)] {
        let labels = format!("node=\"main\",service=\"Store\",le=\"{end}\"");
        let line = format!("sizes_bucket{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[test]
fn latencies_are_a_histogram_in_seconds() {
    let region = Region::new(1024);
    // A reader before and after its restart, and another one.
    let detector = [0; 2].map(|_| region.latencies("swaps", "Detector"));
    let screen = region.latencies("swaps", "Screen");
    for nanoseconds in [Some(900), Some(5_000_000), Some(500_000_000)] {
        detector[0].record(nanoseconds);
    }
    detector[1].record(None);
    let families = Collector::new().collect(&snapshot(&region));
    let latency = family(&families, "mycelium_message_latency_seconds");
    assert_eq!((latency.unit, latency.samples.len()), (Some("seconds"), 2));
    let labels = [("node", "main"), ("topic", "swaps"), ("reader", "Detector")];
    assert_eq!(latency.samples[0].labels().collect::<Vec<_>>(), labels);
    let SampleValue::Histogram(buckets) = &latency.samples[0].value else { panic!("a histogram") };
    assert_eq!((buckets.count, buckets.sum), (4, 505_000_900));
    assert!((buckets.in_unit(buckets.sum) - 0.505_000_9).abs() < 1e-12);
    let negative = counts(&families, "mycelium_message_latency_negative", "reader");
    assert_eq!(negative, [("Detector", 1), ("Screen", 0)]);
    assert!(families.iter().all(|family| family.name != "mycelium_message_latency_seconds_min"));
    for format in [Format::OpenMetrics, Format::Plain] {
        let text = format.write(&families);
        let labels = "node=\"main\",topic=\"swaps\",reader=\"Detector\"";
        for line in [
            // 2^10 and 2^23 nanoseconds.
            format!("mycelium_message_latency_seconds_bucket{{{labels},le=\"1.023e-6\"}} 2\n"),
            format!("mycelium_message_latency_seconds_bucket{{{labels},le=\"0.008388607\"}} 3\n"),
            format!("mycelium_message_latency_seconds_bucket{{{labels},le=\"+Inf\"}} 4\n"),
            format!("mycelium_message_latency_seconds_sum{{{labels}}} 0.5050009\n"),
            format!("mycelium_message_latency_negative_total{{{labels}}} 1\n"),
        ] {
            assert!(text.contains(&line), "{line} in {text}");
        }
    }
    // Above the limit, the rest is one set.
    let families = Collector::with_most(1).collect(&snapshot(&region));
    screen.record(Some(1));
    let latency = family(&families, "mycelium_message_latency_seconds");
    let readers = latency.samples.iter().map(|sample| sample.label("reader"));
    assert_eq!(readers.collect::<Vec<_>>(), [Some("Detector"), Some(OTHER)]);
}

#[test]
fn the_states_of_a_health_are_one_and_zeros() {
    let region = Region::new(64);
    let health = vec![
        HealthReading { of: HealthOf::Node, state: "degraded" },
        HealthReading { of: HealthOf::Service("Feed".to_owned()), state: "backing-off" },
        HealthReading { of: HealthOf::Supervisor("pricing".to_owned()), state: "starting" },
    ];
    let families = Collector::new().collect(&Snapshot { health, ..snapshot(&region) });
    let state = |family: &Family, name: &str| {
        let mut samples = family.samples.iter();
        let found = samples.find(|sample| sample.label("state") == Some(name)).unwrap();
        found.value.clone()
    };
    let node = family(&families, "mycelium_health");
    assert_eq!(state(node, "degraded"), SampleValue::Gauge(1));
    assert_eq!(state(node, "ready"), SampleValue::Gauge(0));
    let service = family(&families, "mycelium_service_health");
    assert_eq!((service.samples.len(), state(service, "backing-off")), (5, SampleValue::Gauge(1)));
    let supervisor = family(&families, "mycelium_supervisor_health");
    assert_eq!(state(supervisor, "starting"), SampleValue::Gauge(1));
    assert_eq!(supervisor.samples[0].label("supervisor"), Some("pricing"));
    for Family { name, .. } in &families {
        assert!(described().iter().any(|it| it.name == *name), "{name} is in the document");
    }
}

proptest! {
    /// A peer may have any name: each line of the text stays one, and begins as it should.
    #[test]
    fn hostile_names_are_no_lines_of_their_own(name in "[\"\\\\\n,a-z={}]{1,10}|.{1,40}", node in "\\PC{1,10}|.{1,10}") {
        let region = Region::new(64);
        region.line(&format!("topic=t publisher={name} epoch=1")).set(PublisherValue::Sent, 1);
        let snapshot = Snapshot { node, ..snapshot(&region) };
        let families = Collector::new().collect(&snapshot);
        for format in [Format::Plain, Format::OpenMetrics] {
            let text = format.write(&families);
            prop_assert!(text.ends_with('\n'));
            for line in text.split('\n').filter(|line| !line.is_empty()) {
                let is_comment = ["# HELP ", "# TYPE ", "# UNIT "].iter().any(|it| line.starts_with(it));
                let is_end = line == "# EOF";
                let is_sample = line.starts_with("mycelium_") && {
                    let value = line.rsplit(' ').next().unwrap_or_default();
                    value.parse::<f64>().is_ok() && line.contains("{node=\"")
                };
                prop_assert!(is_comment || is_end || is_sample, "{line:?}");
                if is_sample {
                    prop_assert!(are_labels(line), "{line:?}");
                }
                prop_assert!(!line.chars().any(|letter| letter.is_control()), "{line:?}");
            }
        }
    }
}

/// Whether a line has its labels, and only these: a key, and a text between quotes.
fn are_labels(line: &str) -> bool {
    let Some((_, mut rest)) = line.split_once('{') else { return false };
    let keys = ["node", "topic", "publisher", "state", "group", "le"];
    loop {
        let Some((key, value)) = rest.split_once("=\"") else { return false };
        let mut letters = value.char_indices();
        let end = loop {
            match letters.next() {
                Some((_, '\\')) => _ = letters.next(),
                Some((end, '"')) => break end,
                Some(_) => {}
                None => return false,
            }
        };
        rest = &value[end + 1..];
        if !keys.contains(&key) {
            return false;
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => return rest.strip_prefix("} ").is_some_and(|it| it.parse::<f64>().is_ok()),
        }
    }
}
