//! Logs as JSON: the lines of one trace, in the logs of three processes, are found by its id.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::Stdio;

use mycelium::{Context, Node, Result, Span, SpanSink, Topology, message, service};
use mycelium_tokio::Tokio;
use serde_json::Value;

use crate::loopback::host;
use crate::support::{Directory, Process, in_role};

#[message(topic = "readings", id = 1)]
struct Reading {
    value: u64,
}

#[message(topic = "alarms", id = 2)]
struct Alarm {
    value: u64,
}

const READINGS: u64 = 10;

struct Sensor;

#[service(emits(Reading))]
impl Sensor {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        for value in 0..READINGS {
            ctx.emit(Reading { value }).await?;
        }
        Ok(())
    }
}

struct Judge;

#[service(reads(Reading), emits(Alarm))]
impl Judge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut readings = ctx.subscribe::<Reading>()?;
        while let Some(delivery) = readings.recv().await {
            let Some(reading) = delivery.message() else { continue };
            ctx.info("too high", reading.value);
            ctx.emit(Alarm { value: reading.value }).await?;
        }
        Ok(())
    }
}

struct Siren;

#[service(reads(Alarm))]
impl Siren {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut alarms = ctx.subscribe::<Alarm>()?;
        while let Some(delivery) = alarms.recv().await {
            let Some(alarm) = delivery.message() else { continue };
            ctx.warn("alarm", alarm.value);
        }
        ctx.info("quiet", ());
        Ok(())
    }
}

#[derive(Debug)]
struct Nowhere;

impl SpanSink for Nowhere {
    fn record(&self, _: Span) {}
}

/// The variables of a child: the name of its node, and the directory of the test.
const NODE: &str = "MYCELIUM_JSON_LOGS_NODE";
const DIRECTORY: &str = "MYCELIUM_JSON_LOGS_DIRECTORY";

/// Runs in a child: does nothing in the test itself.
#[tokio::test]
async fn process() {
    let Ok(name) = std::env::var(NODE) else { return };
    let directory = std::env::var(DIRECTORY).unwrap();
    assert!(mycelium::init_json());
    let topology = Topology::load(Path::new(&directory).join("nodes.toml")).unwrap();
    let builder = Node::builder(&name).topology(topology.in_directory(&directory));
    let node = builder.traces(1.0, Nowhere).service(|| Sensor).service(|| Judge).service(|| Siren);
    node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap();
}

fn child(node: &str, directory: &Path) -> Process {
    let log = File::create(directory.join(format!("{node}.log"))).unwrap();
    let mut command = in_role("json_logs::process");
    command.env(NODE, node).env(DIRECTORY, directory);
    Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

#[test]
fn the_lines_of_a_trace_over_three_processes_have_its_id() {
    let own = Directory::new("logs");
    let directory = own.0.clone();
    DirBuilder::new().mode(0o700).create(&directory).unwrap();
    let (judge, siren) = (host(), host());
    // The alarm goes over TCP, and the reading through shared memory.
    let topology = format!(
        r#"
[node.hall]
services = ["Sensor"]
[node.desk]
services = ["Judge"]
address = "{judge}:7400"
[node.roof]
services = ["Siren"]
address = "{siren}:7400"
[link."hall-desk"]
transport = "shm"
[link."desk-roof"]
transport = "tcp"
trust = "network"
"#
    );
    std::fs::write(directory.join("nodes.toml"), topology).unwrap();
    let nodes = ["hall", "desk", "roof"];
    for (node, mut child) in nodes.map(|node| (node, child(node, &directory))) {
        assert!(child.0.wait().unwrap().success(), "node {node}: {}", log(&directory, node));
    }
    let lines: Vec<BTreeMap<String, Value>> = nodes
        .iter()
        .flat_map(|node| log(&directory, node).lines().map(str::to_owned).collect::<Vec<_>>())
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let of = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(of("too high").count() as u64, READINGS, "{lines:#?}");
    for judged in of("too high") {
        assert_eq!((&judged["node"], &judged["service"]), (&"desk".into(), &"Judge".into()));
        assert_eq!(judged["level"], "INFO");
        // By one `grep` of the id.
        let same = |line: &&BTreeMap<String, Value>| line.get("trace_id") == judged.get("trace_id");
        let [one, other] = lines.iter().filter(same).collect::<Vec<_>>()[..] else {
            panic!("two lines with the id: {lines:#?}");
        };
        assert_eq!(one["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!((&other["node"], &other["service"]), (&"roof".into(), &"Siren".into()));
        assert_ne!(one["span_id"], other["span_id"]);
        assert_eq!(one["sequence"], other["sequence"]);
        assert_eq!(one["details"], other["details"]);
    }
    // Nothing is handled then.
    let quiet = of("quiet").next().unwrap();
    assert!(!quiet.contains_key("trace_id") && quiet["node"] == "roof");
}

fn log(directory: &Path, node: &str) -> String {
    std::fs::read_to_string(directory.join(format!("{node}.log"))).unwrap()
}
