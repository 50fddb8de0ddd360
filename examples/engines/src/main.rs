//! Bandit on three hosts that know nothing but the address of a server of NATS: swaps, signals and
//! fills are stored by JetStream, orders are a work queue of three simulators, and live prices go over
//! Zenoh to boards that come and go.
//!
//! [`services`] has what bandit does not have, and `engines.toml` places it. [`hosts`] makes three hosts
//! of this machine, and [`launcher`] runs a process for each node there, disturbs them, and compares the
//! signals with those of a run in one process.

mod hosts;
mod launcher;
mod services;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bandit::app::{self, Member, Options};
use bandit::durable::Durable;
use bandit::ethereum::feed::Settings;
use bandit::faults::Faults;
use bandit::services::SignalWriter;
use mycelium::{Error, Result, Topology};
use mycelium_nats::JetStream;
use mycelium_tokio::Tokio;
use mycelium_zenoh::Zenoh;

use crate::services::{Board, Ledger, Simulator, Ticker, Trader};

/// The recorded day takes twenty seconds.
const SPEED: f64 = 4320.0;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => launcher::run().await,
        ["member", node, directory] => member(node, Path::new(directory)).await,
        _ => Err(Error::msg("usage: bandit-engines, without arguments; see README.md")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a node. What it has found is in files of the directory.
async fn member(node: &str, directory: &Path) -> Result<()> {
    let executor = Tokio::current()?;
    let (name, directory) = (node.to_owned(), directory.to_owned());
    let options = Options {
        feed: Settings { speed: Some(SPEED), ..Settings::default() },
        signals: Some(directory.join("signals.jsonl")),
        member: Some(Member { node: name.clone(), directory: directory.clone(), state: None }),
        ..Options::default()
    };
    let (url, feed) = match node {
        "collector" => app::source(&options, &executor).await?,
        _ => ("ws://localhost".to_owned(), None),
    };
    let late = SignalWriter {
        path: Some(directory.join("late.jsonl")),
        committed: Durable::load(None, "LateWriter")?,
        faults: Faults::default(),
    };
    let topology = Path::new(env!("CARGO_MANIFEST_DIR")).join("engines.toml");
    let simulator = || {
        let name = name.clone();
        move || Simulator { name: name.clone() }
    };
    let board = |note: &str| {
        let note = directory.join(note);
        move || Board { note: note.clone() }
    };
    let (ticker, ledger) = (directory.join("ticker"), directory.join("fills"));
    let builder = app::builder(&options, url)?
        .topology(Topology::load(topology)?)
        .service(move || Ticker { note: ticker.clone() })
        .service(|| Trader)
        .service(move || Ledger { path: ledger.clone() })
        .named_service("SimulatorOfExchange", simulator())
        .named_service("SimulatorOfDesk", simulator())
        .named_service("SimulatorOfArchive", simulator())
        .named_service("BoardOfExchange", board("board-exchange"))
        .named_service("BoardOfArchive", board("board-archive"))
        .named_service("LateWriter", move || late.clone());
    let node = builder.engine::<JetStream>().engine::<Zenoh>().build()?;
    tokio::select! {
        ran = node.run(executor) => drop(ran?),
        () = launcher_ends() => return Err(Error::msg("the launcher has ended")),
    }
    if let Some(feed) = feed {
        feed.shutdown();
        feed.join().await?;
    }
    Ok(())
}

/// Waits until the launcher has ended: it holds the other end of the standard input.
async fn launcher_ends() {
    let (ends, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(ends);
    });
    let _ = ended.await;
}

/// Returns the text of a file; an empty one if there is none yet.
fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
