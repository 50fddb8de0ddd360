//! Logs as JSON: the lines of one trace are found by its id. `traces` tests traces that cross
//! processes.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use mycelium::{Context, Node, Result, service};
use mycelium_tokio::Tokio;
use mycelium_transports::conformance::Spans;
use serde_json::Value;

use crate::node::services::{Number, Source, Square};
use crate::support::in_role;

const READINGS: u64 = 10;

struct Judge;

#[service(reads(Number), emits(Square))]
impl Judge {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut numbers = ctx.subscribe::<Number>()?;
        while let Some(delivery) = numbers.recv().await {
            let Some(number) = delivery.message() else { continue };
            ctx.info("too high", number.value);
            ctx.emit(Square { value: number.value }).await?;
        }
        Ok(())
    }
}

struct Siren;

#[service(reads(Square))]
impl Siren {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let mut squares = ctx.subscribe::<Square>()?;
        while let Some(delivery) = squares.recv().await {
            let Some(square) = delivery.message() else { continue };
            ctx.warn("alarm", square.value);
        }
        ctx.info("quiet", ());
        Ok(())
    }
}

/// The variable that is set in the child process.
const CHILD: &str = "MYCELIUM_JSON_LOGS";

/// Runs the node in a child process; returns at once in the test run itself.
#[tokio::test]
async fn process() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    assert!(mycelium::init_json());
    let builder = Node::builder("hall").traces(1.0, Spans::default());
    let node = builder.service(|| Source::of(READINGS)).service(|| Judge).service(|| Siren);
    node.build().unwrap().run(Tokio::current().unwrap()).await.unwrap();
}

#[test]
fn the_lines_of_a_trace_have_its_id() {
    let output = in_role("json_logs::process").env(CHILD, "").output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let lines: Vec<BTreeMap<String, Value>> = log
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let of = |message: &'static str| lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(of("too high").count() as u64, READINGS, "{lines:#?}");
    for judged in of("too high") {
        assert_eq!((&judged["node"], &judged["service"]), (&"hall".into(), &"Judge".into()));
        assert_eq!(judged["level"], "INFO");
        // One `grep` of the id finds the lines of a trace.
        let same = |line: &&BTreeMap<String, Value>| line.get("trace_id") == judged.get("trace_id");
        let [one, other] = lines.iter().filter(same).collect::<Vec<_>>()[..] else {
            panic!("two lines with the id: {lines:#?}");
        };
        assert_eq!(one["trace_id"].as_str().map(str::len), Some(32));
        assert_eq!((&one["service"], &other["service"]), (&"Judge".into(), &"Siren".into()));
        assert_ne!(one["span_id"], other["span_id"]);
        assert_eq!(one["sequence"], other["sequence"]);
        assert_eq!(one["details"], other["details"]);
    }
    // This line was logged while nothing was handled.
    let quiet = of("quiet").next().unwrap();
    assert!(!quiet.contains_key("trace_id") && quiet["node"] == "hall");
}
