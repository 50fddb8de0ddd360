//! The part of the command line that chooses nodes and times.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mycelium::Start;

use crate::shared::clock::duration;

/// Which nodes are read, and as which node.
#[derive(Debug, Args)]
pub(crate) struct PeerArgs {
    /// Read from this node only. Without it: from all nodes that publish the topic.
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// The topology file of the nodes. Without it: nodes of this user on this machine are found by
    /// their sockets.
    #[arg(long, value_name = "FILE")]
    pub(crate) topology: Option<PathBuf>,
    /// The directory of the sockets. Without it: all private directories of this user, or that of
    /// the topology file.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Come as this node of the topology, which has no services: with its certificate, and for
    /// topics whose `readers` name it.
    #[arg(long = "as", value_name = "NODE", requires = "topology")]
    pub(crate) own: Option<String>,
}

/// Where to begin, and when to end.
#[derive(Debug, Args)]
pub(crate) struct SpanArgs {
    /// End after this time, such as `5s` or `250ms`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) time: Option<Duration>,
    /// The first message of publishers that run already.
    #[arg(long, value_enum, value_name = "MESSAGE", default_value_t = From::Next)]
    from: From,
    /// End when all publishers have ended, or their node, instead of waiting for the next start.
    #[arg(long)]
    pub(crate) until_end: bool,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// The next one.
    Next,
    /// The oldest one that the publisher still has.
    Oldest,
}

impl SpanArgs {
    /// Returns where to begin.
    pub(crate) fn start(&self) -> Start {
        match self.from {
            From::Next => Start::Next,
            From::Oldest => Start::Oldest,
        }
    }
}
