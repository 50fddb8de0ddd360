//! The pipeline over two nodes: `Feed` ─▶ `Work` in `one`, a link, `Store` ─▶ `Audit` in `two`.

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

/// The two nodes before they start.
pub(crate) struct Stages {
    pub(crate) transport: &'static str,
    /// More of the topology of the first node.
    pub(crate) text: String,
    pub(crate) trace: Option<TraceContext>,
    name: &'static str,
    directory: Directory,
}

/// A node that has ended, and the spans that it made.
pub(crate) struct Ended {
    pub(crate) report: Report,
    pub(crate) spans: u64,
}

/// Two nodes that run.
pub(crate) struct Both {
    one: Running,
    two: Running,
    /// Those that the nodes made. The exporters get the same ones.
    spans: [Spans; 2],
    taken: Arc<Mutex<Vec<u64>>>,
    may_end: Arc<Notify>,
    _directory: Directory,
}

impl Stages {
    /// The names of nodes end with the name of the test, to find their log lines.
    pub(crate) fn new(name: &'static str) -> Stages {
        let directory = Directory::new(&format!("stages-{name}"));
        Stages { transport: "unix", text: String::new(), trace: None, name, directory }
    }

    /// Builds both with `more`, and starts them.
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
        // The reader first: it waits for its publisher, and misses nothing.
        let (two, one) = (start("two", of_two), start("one", of_one));
        Both { one, two, spans, taken, may_end, _directory: directory }
    }
}

impl Both {
    pub(crate) fn one(&self) -> &Running {
        &self.one
    }

    /// Lets both end, and waits for it: all messages have arrived, in order, and each span is
    /// counted.
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
    /// Spans by what became of them: exported, and dropped because the queue was full, because the
    /// collector could not be reached in time, and because it refused them. Their sum is that of
    /// the spans that the node made.
    pub(crate) fn spans_by_end(&self) -> [u64; 4] {
        let line = line(&self.report, Kind::Exporter);
        let names = ["exported", "dropped_full", "dropped_failed", "dropped_refused"];
        let counts = names.map(|name| line.value(name));
        assert_eq!(counts.iter().sum::<u64>(), self.spans, "{counts:?}");
        counts
    }
}
