//! `bandit bundled --observe`: the bundle with traces and metrics, and the lines that say where
//! they are. The topology is a file, which other programs can copy; the addresses of this run come
//! from the environment of its processes.

use std::{
    env, fs,
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bandit::{
    app::{OBSERVED, Options},
    traces::{Traces, receive},
};
use mycelium::Result;

use crate::output::say;

/// The variable of the collector in `observed.toml`, and its default.
const COLLECTOR: (&str, &str) = ("OTLP", "http://127.0.0.1:4318");
/// The nodes of `observed.toml`, with the variables of their metrics and the default ports.
const NODES: [(&str, &str, u16); 3] = [
    ("collector", "COLLECTOR_METRICS", 9464),
    ("detector", "DETECTOR_METRICS", 9465),
    ("writer", "WRITER_METRICS", 9466),
];
/// The recorded day takes a minute.
const SPEED: f64 = 1440.0;

/// A bundle that is observed.
pub(crate) struct Observed {
    /// The URL of the collector, which may be this process.
    collector: String,
    traces: Option<Arc<Mutex<Traces>>>,
    /// The addresses of the metrics of [`NODES`].
    metrics: Vec<String>,
}

impl Observed {
    /// Writes the topology to `directory`, finds the addresses, and receives traces if there is no
    /// collector. Says where to look.
    pub(crate) fn start(directory: &Path, options: &mut Options) -> Result<Self> {
        for (name, text) in OBSERVED {
            fs::write(directory.join(name), text)?;
        }
        options.topology = Some(directory.join(OBSERVED[0].0));
        if options.url.is_none() {
            options.feed.speed.get_or_insert(SPEED);
        }
        let set = |variable: &str| env::var(variable).ok().filter(|value| !value.is_empty());
        let collector = set(COLLECTOR.0).unwrap_or_else(|| COLLECTOR.1.to_owned());
        let own = collector.strip_prefix("http://").map(TcpListener::bind);
        let traces = own.and_then(std::result::Result::ok).map(receive).transpose()?;
        // Ports that are in use are replaced. All are held until the end of this function, so that
        // no two are the same.
        let mut held = Vec::new();
        let address = |(_, variable, port)| {
            if let Some(address) = set(variable) {
                return Ok(address);
            }
            let listener = TcpListener::bind(("127.0.0.1", port));
            let listener = listener.or_else(|_| TcpListener::bind("127.0.0.1:0"))?;
            let address = listener.local_addr()?.to_string();
            held.push(listener);
            Ok(address)
        };
        let metrics = NODES.into_iter().map(address).collect::<Result<Vec<_>>>()?;
        match &traces {
            Some(_) => say("traces     one of them follows at the end"),
            None => say(&format!("traces     go to the collector at {collector}")),
        }
        for ((node, ..), address) in NODES.iter().zip(&metrics) {
            say(&format!("metrics    http://{address}/metrics and /ready: node {node}"));
        }
        say("dashboard  docs/dashboards/mycelium.json, for Grafana");
        say("topology   examples/bandit/observed.toml");
        Ok(Self { collector, traces, metrics })
    }

    /// The variables of the processes.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let metrics = NODES.iter().zip(&self.metrics);
        let metrics = metrics.map(|((_, variable, _), address)| (*variable, address.clone()));
        metrics.chain([(COLLECTOR.0, self.collector.clone())]).collect()
    }

    /// Prints a trace. Called after the end of the processes.
    pub(crate) fn end(self) {
        let Some(traces) = self.traces else { return };
        match traces.lock().unwrap_or_else(PoisonError::into_inner).typical() {
            Some(text) => say(&format!("\n{}", text.trim_end())),
            None => say("no whole trace has arrived"),
        }
    }
}
