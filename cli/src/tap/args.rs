//! The command line of `tap`.

use clap::{Args, ValueEnum};

use crate::peers::args::{PeerArgs, SpanArgs};

/// The arguments of `tap`.
#[derive(Debug, Args)]
pub struct TapArgs {
    /// The topic.
    pub(super) topic: String,
    #[command(flatten)]
    pub(super) peers: PeerArgs,
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
    #[command(flatten)]
    pub(super) span: SpanArgs,
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
