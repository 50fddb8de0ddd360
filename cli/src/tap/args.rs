//! The command line of `tap`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::shared::clock::duration;

/// The arguments of `tap`.
#[derive(Debug, Args)]
pub struct TapArgs {
    /// The topic.
    pub(super) topic: String,
    /// Read from this node only. Without it: from all nodes that publish the topic.
    #[arg(long, value_name = "NAME")]
    pub(super) node: Option<String>,
    /// The topology file of the nodes. Without it: nodes of this user on this machine are found by
    /// their sockets.
    #[arg(long, value_name = "FILE")]
    pub(super) topology: Option<PathBuf>,
    /// The directory of the sockets. Without it: all private directories of this user, or that of
    /// the topology file.
    #[arg(long, value_name = "DIR")]
    pub(super) directory: Option<PathBuf>,
    /// Come as this node of the topology, which has no services: with its certificate, and for
    /// topics whose `readers` name it.
    #[arg(long = "as", value_name = "NODE", requires = "topology")]
    pub(super) own: Option<String>,
    /// How messages are printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    pub(super) output: Form,
    /// Print these fields only, with commas between them; `order.side` is a field of a struct.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    pub(super) fields: Vec<String>,
    /// Print messages only whose field has this value, written like in the output. All given ones
    /// must hold.
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    pub(super) conditions: Vec<String>,
    /// End after this many printed messages.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// End after this time, such as `5s` or `250ms`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(super) time: Option<Duration>,
    /// The first message of publishers that run already.
    #[arg(long, value_enum, value_name = "MESSAGE", default_value_t = From::Next)]
    pub(super) from: From,
    /// End when all publishers have ended, or their node, instead of waiting for the next start.
    #[arg(long)]
    pub(super) until_end: bool,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Lines for people.
    Text,
    /// An object in each line.
    Json,
    /// Values with commas between them, and a line with their names.
    Csv,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum From {
    /// The next one.
    Next,
    /// The oldest one that the publisher still has.
    Oldest,
}
