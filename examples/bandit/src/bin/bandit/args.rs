//! The arguments of the commands, and the settings that they mean.

use std::{num::NonZeroUsize, path::PathBuf};

use bandit::{
    app::{Member, Options},
    ethereum::feed::Settings,
};
use clap::Args;

use crate::executors::ExecutorKind;

#[derive(Args)]
pub(crate) struct MemberArgs {
    /// The node of the topology.
    pub(crate) node: String,
    /// The directory of the sockets.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) directory: PathBuf,
    /// The directory of the saved states.
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Args)]
pub(crate) struct BundledArgs {
    /// Start the nodes of this host of the topology; can be given several times. By default the
    /// host whose address this machine has.
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// Show what the processes do: the metrics of each process and, at the end, the trace of a
    /// swap. The recorded day takes a minute, unless `--speed` says otherwise.
    #[arg(long, conflicts_with_all = ["topology", "host"])]
    pub(crate) observe: bool,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Args, Clone)]
pub(crate) struct RunArgs {
    /// Follow this node (ws://host:port/path) instead of the recorded day.
    #[arg(long, value_name = "URL", conflicts_with_all = ["speed", "drop_every"])]
    pub(crate) url: Option<String>,
    /// Replay at the recorded speed times this factor; with 1440 a day takes a minute.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    pub(crate) speed: Option<f64>,
    /// Drop the connection each time after this number of logs.
    #[arg(long, value_name = "LOGS")]
    pub(crate) drop_every: Option<NonZeroUsize>,
    /// Write the signals to this file, one JSON object per line.
    #[arg(long, value_name = "FILE")]
    pub(crate) signals: Option<PathBuf>,
    /// Read token and pool metadata from this SQLite database, which is created if it does not
    /// exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,
    /// Use this topology instead of the built-in one.
    #[arg(long, value_name = "FILE")]
    pub(crate) topology: Option<PathBuf>,
    /// Make each service panic at twenty points chosen by this seed; the outcome must not change.
    #[arg(long, value_name = "SEED")]
    pub(crate) faults: Option<u64>,
    /// Run on this executor; the outcome is the same.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) executor: ExecutorKind,
}

impl RunArgs {
    /// The options of a run, as a whole or as one process of a bundle.
    pub(crate) fn options(&self, member: Option<Member>) -> Options {
        Options {
            url: self.url.clone(),
            feed: Settings { speed: self.speed, drop_every: self.drop_every },
            database: self.database.clone(),
            signals: self.signals.clone(),
            topology: self.topology.clone(),
            member,
            faults: self.faults,
        }
    }
}

fn factor(text: &str) -> Result<f64, String> {
    // A slower day would not end.
    let factor = text.parse().ok().filter(|factor: &f64| factor.is_finite() && *factor >= 1e-3);
    factor.ok_or_else(|| "expected a number above 0.001".to_owned())
}
