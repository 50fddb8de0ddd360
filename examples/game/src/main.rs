//! The command line of the game.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use game::bots::{self, Seen};
use game::network::lock;
use game::{free, load, topology};
use mycelium::{Result, Topology};
use mycelium_bundle::{Bundle, Member};
use mycelium_tokio::Tokio;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::interval;

/// A game server: players collect coins. Without a command it runs in this process, with some bots.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Run the services as three processes, and start those again that die.
    Bundled(Options),
    /// Run the server with many bots, and measure it.
    Load(load::Options),
    /// Run one process of a bundle.
    #[command(hide = true)]
    Member { node: String, directory: PathBuf, address: SocketAddr },
}

#[derive(Args)]
struct Options {
    /// The address of the page. Port 0 is a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The number of bots.
    #[arg(long, default_value_t = 40)]
    bots: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli { command, options } = Cli::parse();
    match command {
        None => {
            let address = free(options.listen)?;
            tokio::select! {
                done = run("main", topology("game.toml")?, address) => done,
                () = show(address, options.bots) => Ok(()),
            }
        }
        Some(Command::Bundled(options)) => bundled(&options).await,
        Some(Command::Load(options)) => load::run(&options).await,
        Some(Command::Member { node, directory, address }) => {
            run(&node, topology("bundled.toml")?.in_directory(directory), address).await
        }
    }
}

/// Runs a node, until Ctrl-C.
async fn run(node: &str, topology: Topology, address: SocketAddr) -> Result<()> {
    let node = game::node(node, topology, address, &Arc::default()).build()?;
    node.run(Tokio::current()?).await?;
    Ok(())
}

/// Runs each node of bundled.toml as a process, until Ctrl-C.
async fn bundled(options: &Options) -> Result<()> {
    let address = free(options.listen)?;
    let (directory, program) = (TempDir::with_prefix("game-")?, std::env::current_exe()?);
    let mut bundle = Bundle::new().observe(|event| println!("{event}"));
    for node in topology("bundled.toml")?.nodes_of(&[""; 0])? {
        let (program, sockets) = (program.clone(), directory.path().join("sockets"));
        let arguments = ["member".into(), node.into(), sockets, address.to_string().into()];
        bundle = bundle.member(Member::new(node, move || {
            let mut command = process::Command::new(&program);
            command.args(&arguments);
            command
        }));
    }
    tokio::select! {
        done = tokio::task::spawn_blocking(|| bundle.run()) => done?.map(drop).map_err(Into::into),
        () = show(address, options.bots) => Ok(()),
    }
}

/// Runs bots, and prints each second what they see, for ever.
async fn show(address: SocketAddr, bots: usize) {
    println!("the page: http://{address}");
    let seen = Arc::new(Mutex::new(Seen::default()));
    let _bots = bots::start(address, bots, 0, &seen);
    let (mut second, mut figures) = (interval(Duration::from_secs(1)), Value::Null);
    loop {
        second.tick().await;
        let seen = std::mem::take(&mut *lock(&seen));
        if seen.frames == 0 {
            println!("the bots connect");
            continue;
        }
        if !seen.figures.is_null() {
            figures = seen.figures;
        }
        let [players, ticks] = ["players", "ticks per second"].map(|name| &figures[name]);
        let (frames, skipped) = (seen.frames, seen.skipped);
        println!("{players} players, {ticks} ticks/s; bots: {frames} frames/s, {skipped} skipped");
    }
}
