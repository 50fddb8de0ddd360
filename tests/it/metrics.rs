//! The counters, gauges and histograms of services, as readers see them: while a service runs,
//! after restarts and after its end; and the errors of invalid ones.
#![cfg(all(feature = "metrics", feature = "signals", feature = "topology"))]

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mycelium::counters::{Bucket, Kind, Metric, MetricValue};
use mycelium::error::Problem;
use mycelium::error::StartError;
use mycelium::metrics::Counter;
use mycelium::testing::ServiceTest;
use mycelium::{Context, Delivery, Node, Result, service};

use crate::node::services::Number;
use crate::running::{Says, start};

/// Returns the value of the metric with this name and, if not empty, this first label.
fn value(metrics: &[Metric], name: &str, label: &str) -> MetricValue {
    let has = |metric: &&Metric| {
        let first = metric.labels.first().map(|(key, value)| format!("{key}={value}"));
        metric.name == name && first.unwrap_or_default() == label
    };
    let found: Vec<&Metric> = metrics.iter().filter(has).collect();
    let [metric] = &*found else { panic!("{} metrics `{name}` in {metrics:#?}", found.len()) };
    metric.value.clone()
}

fn count(metrics: &[Metric], name: &str, label: &str) -> u64 {
    let MetricValue::Counter(count) = value(metrics, name, label) else { panic!("a counter") };
    count
}

/// Counts numbers; fails at 13, panics at 14.
struct Statistician {
    /// Kept when a run fails, and used by the next run.
    errors: Option<Counter>,
}

#[service(reads(Number))]
impl Statistician {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut metrics = ctx.metrics();
        let (mut all, mut last) = (metrics.counter("all")?, metrics.gauge("last")?);
        let mut odd = metrics.counter_with("by_parity", &[("parity", "odd"), ("x", "1")])?;
        let mut even = metrics.counter_with("by_parity", &[("parity", "even"), ("x", "1")])?;
        let mut sizes = metrics.histogram("sizes")?;
        let errors = match &mut self.errors {
            Some(errors) => errors,
            none => none.insert(metrics.counter("errors")?),
        };
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Delivery::Msg(number) = delivery else {
                panic!("a block subscription has no gaps")
            };
            all.increment();
            last.set(-(number.value as i64));
            if number.value % 2 == 0 {
                even.add(1)
            } else {
                odd.add(1)
            }
            sizes.record(number.value);
            // The second delivery succeeds.
            if number.value == 13 && !number.redelivered() {
                errors.increment();
                return Err(std::io::Error::other("no luck").into());
            }
            assert!(number.value != 14 || number.redelivered(), "cannot count");
        }
        last.add(1000);
        Ok(())
    }
}

#[test]
fn metrics_are_read_while_a_service_runs_and_survive_its_restarts() {
    let mut test = ServiceTest::new(|| Statistician { errors: None }).supervised();
    for value in 1..=12 {
        test.send(Number { value });
    }
    let metrics = test.metrics();
    assert!(metrics.iter().all(|metric| metric.service == "Statistician"));
    assert_eq!(count(&metrics, "all", ""), 12);
    assert_eq!(count(&metrics, "by_parity", "parity=odd"), 6);
    assert_eq!(count(&metrics, "by_parity", "parity=even"), 6);
    assert_eq!(value(&metrics, "last", ""), MetricValue::Gauge(-12));
    let MetricValue::Histogram(sizes) = value(&metrics, "sizes", "") else { panic!("a histogram") };
    assert_eq!((sizes.count(), sizes.sum()), (12, 78));
    assert_eq!((sizes.least(), sizes.most()), (Some(1), Some(12)));
    let bucket = |least, most, count| Bucket { least, most, count };
    let above_7: Vec<Bucket> = sizes.buckets().filter(|bucket| bucket.least > 7).collect();
    assert_eq!(above_7, [bucket(8, 9, 2), bucket(10, 11, 2), bucket(12, 13, 1)]);
    assert_eq!((sizes.quantile(0.25), sizes.quantile(0.5)), (Some(3), Some(6)));
    assert_eq!((sizes.quantile(0.9), sizes.quantile(1.0)), (Some(11), Some(12)));

    for value in [13, 14] {
        test.send(Number { value });
        test.advance(Duration::from_secs(10));
    }
    let metrics = test.metrics();
    assert_eq!(count(&metrics, "all", ""), 16, "each delivery counts");
    assert_eq!(count(&metrics, "errors", ""), 1);
    assert_eq!(count(&metrics, "by_parity", "parity=odd"), 8);
    assert_eq!(value(&metrics, "last", ""), MetricValue::Gauge(-14));
    assert_eq!(metrics.len(), 6, "a restart adds none");
}

/// Passes a handle to each of its tasks, one after another, and to a thread.
struct Parent(Sender<()>);

#[service]
impl Parent {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut handles = Vec::new();
        for _ in 0..4 {
            let mut metrics = ctx.metrics();
            let (mut done, mut open) = (metrics.counter("done")?, metrics.gauge("open")?);
            let mut sizes = metrics.histogram("sizes")?;
            handles.push(ctx.spawn(async move {
                for size in 0..1000 {
                    done.increment();
                    open.add(1);
                    sizes.record(size);
                    if size % 100 == 0 {
                        mycelium_executor::yield_now().await;
                    }
                }
            }));
        }
        let mut own = ctx.metrics().counter("done")?;
        let thread = ctx.blocking(move || (0..1000).for_each(|_| own.increment()));
        for handle in handles {
            handle.await?;
        }
        thread.await?;
        // All handles are dropped, so their words in the region are free.
        ctx.metrics().counter("done")?.add(1);
        self.0.send(())?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_handles_of_tasks_and_threads_add_up_and_the_report_has_them() {
    let (sender, done) = channel();
    let running = start(Node::builder("main").service(move || Parent(sender.clone())));
    let report = running.join().await.unwrap();
    done.try_recv().unwrap();
    let metrics = Metric::of(&report.counters);
    assert_eq!(count(&metrics, "done", ""), 5001);
    assert_eq!(value(&metrics, "open", ""), MetricValue::Gauge(4000));
    let MetricValue::Histogram(sizes) = value(&metrics, "sizes", "") else { panic!("a histogram") };
    assert_eq!((sizes.count(), sizes.sum()), (4000, 4 * 499_500));
    assert_eq!(sizes.buckets().map(|bucket| bucket.count).sum::<u64>(), 4000);
    // At most five handles exist at once, as a task may end before the next one begins.
    let lines = report.counters.iter().filter(|line| line.kind == Kind::Counter).count();
    assert!((1..=5).contains(&lines), "the last handle took words that were free: {lines}");
}

/// The length of a name that is too long for a histogram, and not for a counter.
const LONG: usize = 330;

/// Requests invalid metrics, and sends the problems to the test.
struct Requester(Sender<Problem>);

#[service]
impl Requester {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut metrics = ctx.metrics();
        let _sizes = metrics.histogram("sizes")?;
        let _labelled = metrics.counter_with("orders", &[("side", "buy")])?;
        let long = "x".repeat(LONG);
        let errors = [
            metrics.counter("").unwrap_err(),
            metrics.counter("orders side=buy").unwrap_err(),
            metrics.gauge("1st").unwrap_err(),
            metrics.gauge("sizes").unwrap_err(),
            metrics.histogram("orders").unwrap_err(),
            metrics.counter_with("orders", &[("service", "x")]).unwrap_err(),
            metrics.counter_with("orders", &[("side", "buy"), ("side", "sell")]).unwrap_err(),
            metrics.counter_with("orders", &[("side", "b=y")]).unwrap_err(),
            metrics.histogram(&long).unwrap_err(),
        ];
        for error in errors {
            self.0.send(error)?;
        }
        // The name is too long for a histogram, but not for a counter.
        let mut handles = vec![metrics.counter(&long)?];
        let too_many = loop {
            match metrics.counter("many") {
                Ok(handle) => handles.push(handle),
                Err(error) => break error,
            }
        };
        assert_eq!(handles.len(), 254, "and the first two");
        self.0.send(too_many.clone())?;
        Err(too_many.into())
    }
}

#[tokio::test]
async fn a_service_is_told_what_is_wrong_with_a_metric() {
    let (sender, errors) = channel();
    let running = start(Node::builder("main").service(move || Requester(sender.clone())));
    let error = running.join().await.unwrap_err();
    error.mentions("service `Requester` has 256 handles of metrics");
    assert!(matches!(error, StartError::ServiceFailed { restarts: 0, .. }), "{error}");
    let texts: Vec<String> = errors.try_iter().map(|error| error.to_string()).collect();
    let invalid = |what| {
        format!(
            "invalid name of a metric `{what}`: expected a letter or `_`, and then letters, \
             digits, `_`, `.` and `:` [M0240]"
        )
    };
    let key = |key| {
        format!(
            "metric `orders`: invalid key of a label `{key}`: expected a letter or `_`, and then \
             letters, digits and `_`, once, and not `service`, `metric` or `first` [M0241]"
        )
    };
    assert_eq!(
        texts,
        [
            invalid(""),
            invalid("orders side=buy"),
            invalid("1st"),
            "metric `sizes` is a histogram, and cannot also be a gauge: use another name [M0244]".into(),
            "metric `orders` is a counter, and cannot also be a histogram: use another name [M0244]".into(),
            key("service"),
            key("side"),
            "metric `orders`: invalid value of the label `side`, `b=y`: expected a text without \
             white space, `=` and control characters [M0242]"
                .into(),
            format!(
                "`service=Requester metric={}` has 355 bytes: expected at most 350; use shorter names [M0243]",
                "x".repeat(LONG)
            ),
            "service `Requester` has 256 handles of metrics: keep a handle instead of making it again, \
             and use fewer labels [M0245]"
                .into(),
        ]
    );
}
