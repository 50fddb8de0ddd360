//! The pipeline over two nodes: `Feed` ─▶ `Work` in `one`, a link, and `Store` ─▶ `Audit` in `two`.

use std::sync::{Arc, Mutex};

use futures_util::future::join;
use mycelium::counters::Kind;
use mycelium::observe::Report;
use mycelium::trace::TraceContext;
use mycelium::{Builder, Running, Topology};
use mycelium_tokio::Tokio;
use mycelium_transports::conformance::Spans;
use tokio::sync::Notify;

use super::services::{Feed, line, pipeline_of};
use crate::support::Directory;

/// How many messages the source emits.
pub(crate) const MESSAGES: u64 = 3000;

/// The settings of the two nodes before their start.
pub(crate) struct Stages {
    pub(crate) transport: &'static str,
    /// More lines for the topology of the first node.
    pub(crate) text: String,
    pub(crate) trace: Option<TraceContext>,
    name: &'static str,
    directory: Directory,
}

/// A node that has ended, and how many spans it has made.
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) spans: u64,
}

/// The two running nodes.
pub(crate) struct Both {
    pub(crate) one: Running,
    two: Running,
    /// The spans of each node. The exporters get the same spans.
    spans: [Spans; 2],
    taken: Arc<Mutex<Vec<u64>>>,
    may_end: Arc<Notify>,
    _directory: Directory,
}

impl Stages {
    /// Makes two nodes whose names end with the name of the test, so that their log lines can be
    /// found.
    pub(crate) fn new(name: &'static str) -> Stages {
        let directory = Directory::new(&format!("stages-{name}"));
        Stages { transport: "unix", text: String::new(), trace: None, name, directory }
    }

    /// Builds both nodes with `more`, and starts them.
    pub(crate) fn start(self, more: impl Fn(Builder) -> Builder) -> Both {
        let Stages { transport, text, trace, name, directory } = self;
        let text = format!(
            "[link.default]\ntransport = \"{transport}\"\nretry = \"1ms\"\n\
             max_retry = \"20ms\"\n\
             [node.one-{name}]\nservices = [\"Feed\", \"Work\"]\n{text}\n\
             [node.two-{name}]\nservices = [\"Store\", \"Audit\"]\n"
        );
        let taken = Arc::<Mutex<Vec<u64>>>::default();
        let spans = [Spans::default(), Spans::default()];
        let may_end = Arc::<Notify>::default();
        let start = |node: &str, spans: &Spans| {
            let topology = Topology::parse("stages.toml", &text).unwrap();
            let feed = Feed { messages: MESSAGES, trace, may_end: Some(may_end.clone()) };
            let builder = pipeline_of(&format!("{node}-{name}"), feed, taken.clone())
                .topology(topology.in_directory(&directory.0))
                .traces(1.0, spans.clone());
            more(builder).build().unwrap().start(Tokio::current().unwrap()).unwrap()
        };
        let [of_one, of_two] = &spans;
        // The reader starts first and waits for its publisher, so it misses nothing.
        let (two, one) = (start("two", of_two), start("one", of_one));
        Both { one, two, spans, taken, may_end, _directory: directory }
    }
}

impl Both {
    /// Lets both nodes end, and checks that all messages have arrived in order and that each span
    /// is counted.
    pub(crate) async fn end(self) -> [Ended; 2] {
        let Both { one, two, spans, taken, may_end, .. } = self;
        may_end.notify_one();
        let (one, two) = join(one.join(), two.join()).await;
        assert!(taken.lock().unwrap().iter().copied().eq(0..MESSAGES), "all messages, in order");
        let [of_one, of_two] = spans.map(|spans| spans.take().len() as u64);
        [(one, of_one), (two, of_two)]
            .map(|(report, spans)| Ended { report: report.unwrap(), spans })
    }
}

impl Ended {
    /// Returns the numbers of spans that were exported, dropped because the queue was full, dropped
    /// because the collector could not be reached in time, and refused by the collector. Their sum
    /// must be the number of spans that the node made.
    pub(crate) fn spans_by_end(&self) -> [u64; 4] {
        let line = line(&self.report, Kind::Exporter);
        let names = ["exported", "dropped_full", "dropped_failed", "dropped_refused"];
        let counts = names.map(|name| line.value(name));
        assert_eq!(counts.iter().sum::<u64>(), self.spans, "{counts:?}");
        counts
    }
}
