//! `bandit bundled --observe`: the bundle with traces and metrics, and the lines that say where
//! they are. The topology is a file, which other programs can copy; the addresses of this run come
//! from the environment of its processes.

use std::{
    env,
    error::Error,
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bandit::{
    app::OBSERVED,
    traces::{Traces, receive},
};

use crate::args::RunArgs;
use crate::output::say;

/// The variable of the collector in `observed.toml`, and its default.
const COLLECTOR: (&str, &str) = ("OTLP", "http://127.0.0.1:4318");
/// The nodes there, with the variables of their metrics and the default ports.
const NODES: [(&str, &str, u16); 3] = [
    ("collector", "COLLECTOR_METRICS", 9464),
    ("detector", "DETECTOR_METRICS", 9465),
    ("writer", "WRITER_METRICS", 9466),
];
/// Ports in place of those that are in use.
const PORTS: Range<u16> = 9467..9967;
/// The recorded day takes a minute.
const SPEED: f64 = 1440.0;
/// The page of Jaeger, which listens for spans at the port of a collector.
const JAEGER: &str = "http://127.0.0.1:16686";

/// A bundle that is observed.
pub(crate) struct Observed {
    /// The URL of the collector, which may be this process.
    collector: String,
    traces: Option<Arc<Mutex<Traces>>>,
    _reserved: Option<Reserved>,
    metrics: Vec<NodeMetrics>,
}

/// Where a node has its metrics.
struct NodeMetrics {
    node: &'static str,
    variable: &'static str,
    address: String,
    _reserved: Option<Reserved>,
}

impl Observed {
    /// Writes the topology to `directory`, finds the addresses, and receives traces if there is no
    /// collector.
    pub(crate) fn start(directory: &Path, args: &mut RunArgs) -> Result<Self, Box<dyn Error>> {
        let metrics = metrics()?;
        for (name, text) in OBSERVED {
            fs::write(directory.join(name), text)?;
        }
        args.topology = Some(directory.join(OBSERVED[0].0));
        if args.url.is_none() {
            args.replay.speed.get_or_insert(SPEED);
        }
        let (collector, own, _reserved) = collector()?;
        let traces = own.map(receive).transpose()?;
        Ok(Self { collector, traces, _reserved, metrics })
    }

    /// The variables of the processes.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let metrics = self.metrics.iter().map(|it| (it.variable, it.address.clone()));
        metrics.chain([(COLLECTOR.0, self.collector.clone())]).collect()
    }

    /// Says where to look.
    pub(crate) fn announce(&self) {
        let collector = &self.collector;
        match &self.traces {
            Some(_) => say("traces     one of them follows at the end"),
            None => say(&format!(
                "traces     go to the collector at {collector}; the page of Jaeger is {JAEGER}"
            )),
        }
        for (number, NodeMetrics { node, address, .. }) in self.metrics.iter().enumerate() {
            let title = if number == 0 { "metrics" } else { "" };
            say(&format!("{title:9}  http://{address}/metrics and /ready: node {node}"));
        }
        say("dashboard  docs/dashboards/mycelium.json, for Grafana");
        say("topology   examples/bandit/observed.toml");
        say("end        Ctrl-C");
    }

    /// After the end of the processes: prints a trace.
    pub(crate) fn end(self) {
        let Some(traces) = self.traces else { return };
        match traces.lock().unwrap_or_else(PoisonError::into_inner).typical() {
            Some(text) => say(&format!("\n{}", text.trim_end())),
            None => say("no whole trace has arrived"),
        }
    }
}

/// The URL of the collector and, if it is this process, where it listens, and its port.
fn collector() -> io::Result<(String, Option<TcpListener>, Option<Reserved>)> {
    let (variable, default) = COLLECTOR;
    let chosen = env::var(variable).ok().filter(|url| !url.is_empty());
    let url = chosen.as_deref().unwrap_or(default).trim_end_matches('/');
    // That of another host has a name or a path, or cannot be listened at.
    let address = url.strip_prefix("http://").and_then(|address| address.parse().ok());
    let Some(address) = address.filter(|address: &SocketAddr| address.port() > 0) else {
        return Ok((url.to_owned(), None, None));
    };
    if chosen.is_some() {
        return Ok((url.to_owned(), TcpListener::bind(address).ok(), None));
    }
    if let Some(reserved) = Reserved::port(address.port())? {
        return Ok((url.to_owned(), TcpListener::bind(address).ok(), Some(reserved)));
    }
    // Another bandit that is observed would end with these traces.
    let (listener, reserved) = free()?;
    Ok((format!("http://{}", listener.local_addr()?), Some(listener), Some(reserved)))
}

/// The addresses of the nodes' metrics: those that the user has set, or the default ones, or others
/// if those are in use.
fn metrics() -> Result<Vec<NodeMetrics>, Box<dyn Error>> {
    // All are held until the end of this function, so that no two are the same.
    let mut held = Vec::new();
    let addresses = NODES.into_iter().map(|(node, variable, port)| {
        if let Some(address) = env::var(variable).ok().filter(|address| !address.is_empty()) {
            let listener = TcpListener::bind(&address);
            held.push(listener.map_err(|error| {
                format!("{variable} is `{address}`, where node {node} cannot listen: {error}")
            })?);
            return Ok(NodeMetrics { node, variable, address, _reserved: None });
        }
        let (listener, reserved) = reserve(port).map_or_else(free, Ok)?;
        let address = listener.local_addr()?.to_string();
        held.push(listener);
        Ok(NodeMetrics { node, variable, address, _reserved: Some(reserved) })
    });
    addresses.collect()
}

/// A port after the default ones. The ports that the system chooses are also those of outgoing
/// connections, which may take one before its node listens there.
fn free() -> io::Result<(TcpListener, Reserved)> {
    let chosen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr();
    let found = PORTS.into_iter().find_map(reserve);
    found.or_else(|| reserve(chosen().ok()?.port())).ok_or_else(|| {
        let problem = format!("no port of {PORTS:?} is free");
        io::Error::new(io::ErrorKind::AddrInUse, problem)
    })
}

/// A port where nobody listens, and that no other bandit has reserved.
fn reserve(port: u16) -> Option<(TcpListener, Reserved)> {
    let reserved = Reserved::port(port).ok()??;
    Some((TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?, reserved))
}

/// A port that another bandit does not take while this exists: also before a process listens there,
/// or while that one is restarted. It is a name of a socket that the system frees with this
/// process.
#[derive(Debug)]
struct Reserved(
    #[cfg(target_os = "linux")]
    #[expect(dead_code, reason = "it keeps the name")]
    std::os::unix::net::UnixDatagram,
);

impl Reserved {
    /// `None` if another one has it.
    #[cfg(target_os = "linux")]
    fn port(port: u16) -> io::Result<Option<Self>> {
        use std::os::{
            linux::net::SocketAddrExt,
            unix::net::{SocketAddr, UnixDatagram},
        };

        let name = SocketAddr::from_abstract_name(format!("bandit-observed-{port}"))?;
        match UnixDatagram::bind_addr(&name) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
            socket => Ok(Some(Self(socket?))),
        }
    }

    /// Other systems have no such names.
    #[cfg(not(target_os = "linux"))]
    fn port(_port: u16) -> io::Result<Option<Self>> {
        Ok(Some(Self()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topology_has_these_variables() {
        let (_, text) = OBSERVED[0];
        let (variable, default) = COLLECTOR;
        assert!(text.contains(&format!("traces = \"${{{variable}:-{default}}}\"")));
        for (node, variable, port) in NODES {
            let lines =
                format!("[node.{node}]\nlisten_metrics = \"${{{variable}:-127.0.0.1:{port}}}\"");
            assert!(text.contains(&lines), "{lines}");
        }
    }
}
