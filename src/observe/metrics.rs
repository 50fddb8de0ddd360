//! The metrics that services create: counters, gauges and histograms, in the memory region that
//! also has the node's other counters.
//!
//! A handle has words (atomic `u64`s of the region) with no other writer, so an update is a load
//! and a store. [`Registered`] keeps the words of each metric from the first use of its name to the
//! end of the service: the words of a dropped handle are reused by the next handle of the same
//! metric. Without the feature `metrics`, `metrics/none.rs` replaces this file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mycelium_core::Code;
use mycelium_transports::counters::{
    CounterValue, GaugeValue, HistogramLines, Kind, LONGEST_LABEL, Line, Region,
};

use crate::support::problem::Problem;

/// The maximum number of handles of a service, including words that dropped handles left behind.
const MOST: usize = 256;
/// The length of the longest suffix of a histogram's label, which names the first bucket of a line.
const FIRST: usize = " first=240".len();
/// Keys of labels that the node sets.
const RESERVED: [&str; 3] = ["service", "metric", "first"];

/// The metrics of one service.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    /// The metrics by name and labels, in the format of a line's label.
    metrics: BTreeMap<String, Metric>,
    words: usize,
}

/// One metric, with the words of each of its handles.
#[derive(Debug)]
enum Metric {
    Counter(Vec<Arc<Words<Line<CounterValue>>>>),
    Gauge(Vec<Arc<Words<Line<GaugeValue>>>>),
    Histogram(Vec<Arc<Words<HistogramLines>>>),
}

impl Metric {
    fn kind(&self) -> Kind {
        match self {
            Metric::Counter(_) => Kind::Counter,
            Metric::Gauge(_) => Kind::Gauge,
            Metric::Histogram(_) => Kind::Histogram,
        }
    }
}

/// Words with one writer: the handle that has claimed them.
#[derive(Debug)]
struct Words<L> {
    lines: L,
    is_taken: AtomicBool,
}

/// When dropped, frees the words for the next handle of the metric. Until then, no other handle
/// writes them.
struct Taken<L>(Arc<Words<L>>);

impl<L> Drop for Taken<L> {
    fn drop(&mut self) {
        // Release: the next handle sees all updates of this one.
        self.0.is_taken.store(false, Ordering::Release);
    }
}

impl<L> Taken<L> {
    fn lines(&self) -> &L {
        &self.0.lines
    }
}

/// The lines that handles of one kind write.
trait Lines: Sized {
    const KIND: Kind;

    fn make(region: &Region, label: &str) -> Self;

    /// Creates a metric of this kind without words.
    fn metric() -> Metric;

    /// Returns the words of a metric, if it is of this kind.
    fn of(metric: &mut Metric) -> Option<&mut Vec<Arc<Words<Self>>>>;
}

macro_rules! lines {
    ($($lines:ty as $kind:ident by $make:ident;)*) => {$(
        impl Lines for $lines {
            const KIND: Kind = Kind::$kind;

            fn make(region: &Region, label: &str) -> Self {
                region.$make(label)
            }

            fn metric() -> Metric {
                Metric::$kind(Vec::new())
            }

            fn of(metric: &mut Metric) -> Option<&mut Vec<Arc<Words<Self>>>> {
                if let Metric::$kind(words) = metric { Some(words) } else { None }
            }
        }
    )*};
}

lines! {
    Line<CounterValue> as Counter by line;
    Line<GaugeValue> as Gauge by line;
    HistogramLines as Histogram by histogram;
}

/// Creates the counters, gauges and histograms of a service: [`Context::metrics`].
///
/// A metric is registered at the first use of its name and labels, and keeps its value until the
/// service ends permanently: after a restart the same name continues. A call finds the words by
/// name, and allocates if it creates them or has labels. So keep the handle: updating it never
/// allocates, locks or waits.
///
/// Each handle writes its own words, and readers add them up. So a child task and the service can
/// each have a handle of the same metric. The words of a dropped handle, with their values, are
/// reused by the next one.
///
/// A name is a letter or `_`, followed by letters, digits, `_`, `.` and `:`. A service has at most
/// 256 handles. The region of the node's counters counts the lines for which it had no room.
///
/// Without the feature `metrics` all calls succeed, check nothing, and compile to nothing.
///
/// ```
/// use mycelium::counters::{Metric, MetricValue};
/// use mycelium::testing::ServiceTest;
/// use mycelium::{Context, Result, message, service};
///
/// #[message(topic = "orders", id = 1)]
/// struct Order {
///     price: u64,
/// }
///
/// struct Store;
///
/// #[service(reads(Order))]
/// impl Store {
///     async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
///         let mut stored = ctx.metrics().counter("orders_stored")?;
///         let mut open = ctx.metrics().gauge_with("open", &[("side", "buy")])?;
///         let mut prices = ctx.metrics().histogram("price")?;
///         let mut orders = ctx.subscribe::<Order>()?;
///         while let Some(delivery) = orders.recv().await {
///             let Some(order) = delivery.message() else { continue };
///             stored.increment();
///             open.add(1);
///             prices.record(order.price);
///         }
///         Ok(())
///     }
/// }
///
/// let mut test = ServiceTest::new(|| Store);
/// test.send_all([7, 100].map(|price| Order { price }));
/// let metrics: Vec<Metric> = test.metrics();
/// assert_eq!((&*metrics[0].name, &metrics[0].value), ("orders_stored", &MetricValue::Counter(2)));
/// assert_eq!(metrics[1].labels, [("side".to_owned(), "buy".to_owned())]);
/// let MetricValue::Histogram(prices) = &metrics[2].value else { panic!("a histogram") };
/// assert_eq!((prices.sum(), prices.most()), (107, Some(100)));
/// # test.finish()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Context::metrics`]: crate::Context::metrics
pub struct Metrics<'c> {
    pub(crate) registered: &'c mut Registered,
    pub(crate) service: &'c str,
    pub(crate) region: &'c Arc<Region>,
}

impl Metrics<'_> {
    /// Returns a counter without labels.
    ///
    /// # Errors
    /// [`Problem`]: the name is invalid or belongs to a metric of another kind, or the service has
    /// too many handles.
    pub fn counter(&mut self, name: &str) -> Result<Counter, Problem> {
        self.counter_with(name, &[])
    }

    /// Returns a counter with labels: pairs of a key and a value. Each set of labels is a separate
    /// counter of the same name.
    ///
    /// # Errors
    /// Same as [`counter`](Metrics::counter), or if a label is invalid.
    pub fn counter_with(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<Counter, Problem> {
        self.take(name, labels).map(Counter)
    }

    /// Returns a gauge without labels. Readers add up the values of several handles.
    ///
    /// # Errors
    /// Same as [`counter`](Metrics::counter).
    pub fn gauge(&mut self, name: &str) -> Result<Gauge, Problem> {
        self.gauge_with(name, &[])
    }

    /// Returns a gauge with labels.
    ///
    /// # Errors
    /// Same as [`counter_with`](Metrics::counter_with).
    pub fn gauge_with(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<Gauge, Problem> {
        self.take(name, labels).map(Gauge)
    }

    /// Returns a histogram without labels. It has the buckets of an HdrHistogram with eight
    /// sub-buckets: each bucket is at most a quarter as wide as its least value, and together they
    /// cover every `u64`. A handle takes 4 KiB.
    ///
    /// # Errors
    /// Same as [`counter`](Metrics::counter).
    pub fn histogram(&mut self, name: &str) -> Result<Histogram, Problem> {
        self.histogram_with(name, &[])
    }

    /// Returns a histogram with labels.
    ///
    /// # Errors
    /// Same as [`counter_with`](Metrics::counter_with).
    pub fn histogram_with(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> Result<Histogram, Problem> {
        self.take(name, labels).map(Histogram)
    }

    /// Claims words of a metric that no handle has, or creates new ones.
    fn take<L: Lines>(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<Taken<L>, Problem> {
        check(name, labels)?;
        let key = key(name, labels);
        let Registered { metrics, words } = &mut *self.registered;
        if let Some(metric) = metrics.get_mut(&*key)
            && let Some(all) = L::of(metric)
        {
            // Acquire: pairs with the Release of the handle that had the words before.
            let is_free = |it: &&Arc<Words<L>>| !it.is_taken.swap(true, Ordering::Acquire);
            if let Some(words) = all.iter().find(is_free) {
                return Ok(Taken(words.clone()));
            }
        } else if let Some(kind) = kind_of(metrics, name).filter(|kind| *kind != L::KIND) {
            let text = format!(
                "metric `{name}` is a {}, and cannot also be a {}: use another name",
                kind.name(),
                L::KIND.name()
            );
            return Err(Problem::new(Code::METRIC_KIND, text));
        }
        if *words >= MOST {
            let text = format!(
                "service `{}` has {MOST} handles of metrics: keep a handle instead of making it \
                 again, and use fewer labels",
                self.service
            );
            return Err(Problem::new(Code::METRIC_HANDLES, text));
        }
        let label = format!("service={} metric={key}", self.service);
        let most = LONGEST_LABEL - if L::KIND == Kind::Histogram { FIRST } else { 0 };
        if label.len() > most {
            let text = format!(
                "`{label}` has {} bytes: expected at most {most}; use shorter names",
                label.len()
            );
            return Err(Problem::new(Code::METRIC_TOO_LONG, text));
        }
        *words += 1;
        let lines = L::make(self.region, &label);
        let words = Arc::new(Words { lines, is_taken: AtomicBool::new(true) });
        let metric = metrics.entry(key.into_owned()).or_insert_with(L::metric);
        L::of(metric).into_iter().for_each(|all| all.push(words.clone()));
        Ok(Taken(words))
    }
}

/// Returns the kind of the metrics with this name.
fn kind_of(metrics: &BTreeMap<String, Metric>, name: &str) -> Option<Kind> {
    let (_, metric) = metrics.iter().find(|(key, _)| key.split(' ').next() == Some(name))?;
    Some(metric.kind())
}

/// Returns the part of a line's label that identifies the metric: its name and labels.
fn key<'n>(name: &'n str, labels: &[(&str, &str)]) -> Cow<'n, str> {
    if labels.is_empty() {
        return name.into();
    }
    let labels = labels.iter().map(|(key, value)| format!(" {key}={value}"));
    [name.to_owned()].into_iter().chain(labels).collect::<String>().into()
}

/// Checks a name and labels.
fn check(name: &str, labels: &[(&str, &str)]) -> Result<(), Problem> {
    if !is_identifier(name, b"_.:") {
        let text = format!(
            "invalid name of a metric `{}`: expected a letter or `_`, and then letters, digits, \
             `_`, `.` and `:`",
            name.escape_debug()
        );
        return Err(Problem::new(Code::METRIC_NAME, text));
    }
    for (place, &(key, value)) in labels.iter().enumerate() {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || c == '=';
        let is_twice = labels[..place].iter().any(|(other, _)| *other == key);
        if !is_identifier(key, b"_") || RESERVED.contains(&key) || is_twice {
            let text = format!(
                "metric `{name}`: invalid key of a label `{}`: expected a letter or `_`, and then \
                 letters, digits and `_`, once, and not `service`, `metric` or `first`",
                key.escape_debug()
            );
            return Err(Problem::new(Code::METRIC_LABEL, text));
        }
        if value.is_empty() || value.contains(is_bad) {
            let text = format!(
                "metric `{name}`: invalid value of the label `{key}`, `{}`: expected a text \
                 without white space, `=` and control characters",
                value.escape_debug()
            );
            return Err(Problem::new(Code::METRIC_VALUE, text));
        }
    }
    Ok(())
}

/// Returns whether a text begins with a letter or `_`, and continues with letters, digits and
/// `others`.
fn is_identifier(text: &str, others: &[u8]) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

/// A counter, which only grows: [`Metrics::counter`]. Dropping the handle keeps the value.
#[must_use = "a counter counts what is added to it"]
pub struct Counter(Taken<Line<CounterValue>>);

impl Counter {
    /// Adds `count`.
    #[inline]
    pub fn add(&mut self, count: u64) {
        self.0.lines().add(CounterValue::Count, count);
    }

    /// Adds 1.
    #[inline]
    pub fn increment(&mut self) {
        self.add(1);
    }
}

/// A gauge, which goes up and down: [`Metrics::gauge`]. Dropping the handle keeps the value.
#[must_use = "a gauge has the value that it is set to"]
pub struct Gauge(Taken<Line<GaugeValue>>);

impl Gauge {
    /// Sets the value.
    #[inline]
    pub fn set(&mut self, value: i64) {
        self.0.lines().set(GaugeValue::Value, value.cast_unsigned());
    }

    /// Adds `difference`; a negative number subtracts.
    #[inline]
    pub fn add(&mut self, difference: i64) {
        self.0.lines().add(GaugeValue::Value, difference.cast_unsigned());
    }
}

/// A histogram, which counts values by size: [`Metrics::histogram`]. Dropping the handle keeps the
/// counts.
#[must_use = "a histogram has what is recorded in it"]
pub struct Histogram(Taken<HistogramLines>);

impl Histogram {
    /// Records a value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.0.lines().record(value);
    }

    /// Records a duration in nanoseconds, at most 584 years.
    #[inline]
    pub fn record_duration(&mut self, duration: Duration) {
        self.record(duration.as_nanos().try_into().unwrap_or(u64::MAX));
    }
}

macro_rules! debug {
    ($($handle:ident),*) => {$(
        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($handle)).field(self.0.lines()).finish()
            }
        }
    )*};
}

debug!(Counter, Gauge, Histogram);

impl fmt::Debug for Metrics<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("registered", &self.registered).finish_non_exhaustive()
    }
}
