//! What a recorder of the crate `metrics` receives.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use mycelium_tokio::Tokio;

use super::services::{builder, until};
use crate::running::{end, start};

/// Keeps the last value of each metric.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<BTreeMap<String, f64>>>);

impl Last {
    fn values(&self) -> MutexGuard<'_, BTreeMap<String, f64>> {
        self.0.lock().unwrap()
    }
}

struct One(Last, String);

impl CounterFn for One {
    fn increment(&self, _: u64) {
        panic!("the node sets counters");
    }

    fn absolute(&self, value: u64) {
        self.0.values().insert(self.1.clone(), value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        panic!("the node sets gauges");
    }

    fn decrement(&self, _: f64) {
        panic!("the node sets gauges");
    }

    fn set(&self, value: f64) {
        self.0.values().insert(self.1.clone(), value);
    }
}

impl Recorder for Last {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.clone(), words(key))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(One(self.clone(), words(key))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        panic!("single values are not known")
    }
}

fn words(key: &Key) -> String {
    let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
    format!("{} {}", key.name(), labels.collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_gets_the_metrics_at_the_interval_and_at_the_end() {
    let (builder, heard) = builder();
    let executor = Tokio::current().unwrap();
    let running = start(builder.metrics_facade(Duration::from_millis(10)));
    // The recorder is installed after the start; the next interval finds it.
    let last = Last::default();
    metrics::set_global_recorder(last.clone()).ok().unwrap();
    let sent = "mycelium_messages_sent_total node=hall topic=tones publisher=Organ";
    until(&executor, "a first value", || last.values().contains_key(sent)).await;
    let first = last.values()[sent];
    until(&executor, "a later value", || last.values()[sent] > first).await;
    let report = end(running).await;
    // The recorder's last values are the values at the end of the node.
    let heard = heard.load(Ordering::SeqCst) as f64;
    let values = last.values();
    assert_eq!(values["tones_heard_total node=hall service=Listener"], heard);
    assert_eq!(values["numbers_count node=hall service=Listener"], heard);
    let total: u64 = report.counters.iter().map(|line| line.value("sent")).sum();
    assert_eq!(values[sent], total as f64);
    let median = values["numbers node=hall service=Listener quantile=0.5"];
    assert!(median > 0.0 && median <= 2.0 * heard, "{median} of {heard}");
    assert_eq!(values["mycelium_health node=hall state=stopped"], 1.0);
}
