//! Puts the stages into one node, or into a process for each node of a topology.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, sync::Arc};

use clap::{Args, value_parser};
use mycelium::supervision::Restart;
use mycelium::{Builder, Error, Node, Result, Topology};
use mycelium_bundle::{Bundle, Member};
use mycelium_executor::Executor;
use mycelium_tokio::Tokio;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::dashboard::Dashboard;
use crate::messages::SECOND;
use crate::recording::Recording;
use crate::stages::{Ingest, Outliers, Transform, Windows};

/// The recorded day.
const DAY: &str = "../bandit/data/usdc-weth-2024-01-05.jsonl.gz";
/// The recording is passed once in this number of seconds.
pub const LAP: u64 = 600;
/// The greatest rate, in events a second.
const FASTEST: u64 = 10_000_000;
/// The nodes of `bundled.toml`, in the order of the pipeline.
const NODES: [&str; 5] = ["ingest", "transform", "windows", "outliers", "dashboard"];

/// The options of a run.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// Events a second.
    #[arg(long, global = true, default_value_t = 100_000,
          value_parser = value_parser!(u64).range(1..=FASTEST))]
    pub rate: u64,
    /// The port of the page.
    #[arg(long, global = true, default_value_t = 8190,
          value_parser = value_parser!(u16).range(1..))]
    pub port: u16,
    /// The recording: logs of pools as JSON lines, compressed by gzip.
    #[arg(long, global = true, value_name = "FILE", default_value_os_t = file(DAY))]
    pub data: PathBuf,
    /// The time of the first event, in nanoseconds since 1970.
    #[arg(skip)]
    pub origin: u64,
    /// The number of all events.
    #[arg(skip = u64::MAX)]
    pub end: u64,
    /// Where states and sockets are.
    #[arg(skip)]
    pub directory: PathBuf,
}

/// A file of this example.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Returns a time in nanoseconds since 1970; 0 if it is earlier.
pub fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

impl Options {
    /// Says what is in the recording, names its bad lines, and sets the time of the first event to
    /// now. Returns a new directory for the run, which is removed when this is dropped.
    ///
    /// # Errors
    /// If the recording or the port cannot be used, or the directory cannot be made.
    pub fn begin(&mut self) -> Result<TempDir> {
        let Recording { swaps, others, bad, named } = Recording::load(&self.data)?;
        eprintln!("recording  {} swaps, {others} other logs, {bad} bad lines", swaps.len());
        named.iter().for_each(|line| eprintln!("           {line}"));
        let port = self.port;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
            Error::msg(format!("cannot listen at port {port}: {error}; `--port` sets another one"))
        })?;
        println!("page       http://127.0.0.1:{port}");
        self.origin = nanoseconds(Tokio::current()?.wall_clock());
        let directory = TempDir::with_prefix("analytics-")?;
        self.directory = directory.path().to_owned();
        Ok(directory)
    }

    /// Returns the number of events that are due.
    pub fn due(&self, now: SystemTime) -> u64 {
        let passed = u128::from(nanoseconds(now).saturating_sub(self.origin));
        self.end.min((passed * u128::from(self.rate) / u128::from(SECOND)) as u64)
    }

    /// Returns a node with the stages that the file of a topology places in it.
    ///
    /// # Errors
    /// If the topology is invalid.
    pub fn node(&self, name: &str, topology: &str) -> Result<Builder> {
        let topology = Topology::load(file(topology))?.in_directory(self.directory.join("sockets"));
        let (port, options) = (self.port, Arc::new(self.clone()));
        let [ingest, transform, windows, outliers] = [(); 4].map(|()| options.clone());
        Ok(Node::builder(name)
            .topology(topology)
            .service(move || Ingest(ingest.clone()))
            .service(move || Transform(transform.clone()))
            .service(move || Windows(windows.clone()))
            .service(move || Outliers(outliers.clone()))
            .service(move || Dashboard { port }))
    }
}

/// Runs a process for each node of `bundled.toml`, and restarts those that die.
///
/// # Errors
/// If a process fails for good.
pub async fn bundled(mut options: Options) -> Result<()> {
    let _directory = options.begin()?;
    let (program, text) = (env::current_exe()?, serde_json::to_string(&options)?);
    let mut bundle = Bundle::new().observe(|event| println!("{event}"));
    // A stage that was killed is away for two seconds, so that the page shows it.
    let restart = Restart { backoff: Duration::from_secs(2), ..Restart::default() };
    for (place, node) in NODES.into_iter().enumerate() {
        let (program, text) = (program.clone(), text.clone());
        let member = Member::new(node, move || {
            let mut command = Command::new(&program);
            command.args(["member", node, &text]);
            command
        });
        let before = NODES[..place].iter();
        let member = before.fold(member.restart(restart), |member, it| member.ends_after(it));
        bundle = bundle.member(member);
    }
    tokio::task::spawn_blocking(|| bundle.run()).await??;
    Ok(())
}

/// Runs a node of the bundle.
///
/// # Errors
/// If the options or the topology are invalid, or a stage fails.
pub async fn member(node: &str, options: &str) -> Result<()> {
    let options: Options = serde_json::from_str(options)?;
    options.node(node, "bundled.toml")?.build()?.run(Tokio::current()?).await?;
    Ok(())
}
