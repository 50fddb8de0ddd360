//! The command line of the game.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use game::bots::{self, Seen};
use game::{free, topology};
use mycelium::{Result, Topology};
use mycelium_bundle::{Bundle, Member};
use mycelium_tokio::Tokio;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::time::interval;

/// A game server: players collect coins. Without a command it runs in this process, with some bots.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The address of the page. Port 0 is a free one.
    #[arg(long, global = true, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The number of bots.
    #[arg(long, global = true, default_value_t = 40)]
    bots: usize,
}

#[derive(Subcommand)]
enum Command {
    /// Run the services as three processes, and start those again that die.
    Bundled,
    /// Run the server with many bots, and measure it.
    Load(bots::Load),
    /// Run one process of a bundle.
    #[command(hide = true)]
    Member { node: String, directory: PathBuf },
}

#[tokio::main]
async fn main() -> Result<()> {
    let Cli { command, listen, bots } = Cli::parse();
    match command {
        None => run("main", topology("game.toml")?, start(listen, bots)?).await,
        Some(Command::Bundled) => bundled(start(listen, bots)?).await,
        Some(Command::Load(load)) => bots::load(free(listen)?, bots, load).await,
        Some(Command::Member { node, directory }) => {
            run(&node, topology("bundled.toml")?.in_directory(directory), listen).await
        }
    }
}

/// Starts the bots, which print what they see. Returns the address of the server.
fn start(listen: SocketAddr, bots: usize) -> Result<SocketAddr> {
    let address = free(listen)?;
    println!("the page: http://{address}");
    tokio::spawn(async move {
        let seen = Arc::<Mutex<Seen>>::default();
        let _bots = bots::start(address, bots, 0, &seen);
        let mut second = interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            let Seen { frames, skipped, .. } = std::mem::take(&mut *seen.lock());
            println!("{bots} bots: {frames} frames/s, {skipped} skipped");
        }
    });
    Ok(address)
}

/// Runs a node, until Ctrl-C.
async fn run(node: &str, topology: Topology, address: SocketAddr) -> Result<()> {
    let node = game::node(node, topology, address, Arc::default()).build()?;
    node.run(Tokio::current()?).await?;
    Ok(())
}

/// Runs each node of bundled.toml as a process, until Ctrl-C.
async fn bundled(address: SocketAddr) -> Result<()> {
    let (directory, program) = (TempDir::with_prefix("game-")?, std::env::current_exe()?);
    let mut bundle = Bundle::new().observe(|event| println!("{event}"));
    for node in topology("bundled.toml")?.nodes() {
        let (program, sockets) = (program.clone(), directory.path().join("sockets"));
        let listen = format!("--listen={address}");
        let arguments = ["member".into(), node.into(), sockets, listen.into()];
        bundle = bundle.member(Member::new(node, move || {
            let mut command = process::Command::new(&program);
            command.args(&arguments);
            command
        }));
    }
    tokio::task::spawn_blocking(|| bundle.run()).await??;
    Ok(())
}
