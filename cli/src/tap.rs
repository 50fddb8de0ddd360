//! `tap`: prints the messages of a topic, as an observing reader over a link.
//!
//! To read: this file (the command line, and how a run goes), `find` (which nodes), `fields` (what
//! is printed of a message), `print` (how), `text`, `json` and `csv` (in which form).

mod csv;
mod fields;
mod find;
mod json;
mod print;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use futures_util::future::{Either, select, select_all};
use mycelium::Start;
use mycelium::untyped::{UntypedDelivery, UntypedError, UntypedReader};
use mycelium_executor::Executor;
use mycelium_smol::Smol;

use crate::exit::Failure;
use find::Tapped;
use print::Printer;

/// The most deliveries of one node before those of another are printed.
const BURST: usize = 1024;

/// The arguments of `tap`.
#[derive(Debug, Args)]
pub struct TapArgs {
    /// The topic.
    topic: String,
    /// Read from this node only. Without it: from all nodes that publish the topic.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The topology file of the nodes. Without it: nodes of this user on this machine are found by
    /// their sockets.
    #[arg(long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// The directory of the sockets. Without it: all private directories of this user, or that of
    /// the topology file.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Come as this node of the topology, which has no services: with its certificate, and for
    /// topics whose `readers` name it.
    #[arg(long = "as", value_name = "NODE", requires = "topology")]
    own: Option<String>,
    /// How messages are printed.
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t = Form::Text)]
    output: Form,
    /// Print these fields only, with commas between them; `order.side` is a field of a struct.
    #[arg(long, value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,
    /// Print messages only whose field has this value, as it is printed. All that are given must
    /// hold.
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    conditions: Vec<String>,
    /// End after this many printed messages.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time, such as `5s` or `250ms`.
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    /// The first message of publishers that run already.
    #[arg(long, value_enum, value_name = "MESSAGE", default_value_t = From::Next)]
    from: From,
    /// End when all publishers have ended, instead of waiting for the next start.
    #[arg(long)]
    until_end: bool,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Lines for people.
    Text,
    /// An object in each line.
    Json,
    /// Values with commas between them, and a line with their names.
    Csv,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum From {
    /// The next one.
    Next,
    /// The oldest one that the publisher still has.
    Oldest,
}

fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.ok_or_else(|| "expected a number and a unit, such as `5s` or `250ms`".to_owned())
}

/// Prints messages until the end that the command line requests, or a signal.
///
/// # Errors
/// If the topic cannot be read, or standard output cannot be written.
pub fn run(args: &TapArgs) -> Result<(), Failure> {
    let mut printer = Printer::stdout(args)?;
    // While one thread waits for standard output, the other keeps the links alive.
    let ran = mycelium_smol::run(2, async |smol: Smol| {
        let mut readers = Vec::new();
        let ended = tap(args, &smol, &mut printer, &mut readers).await;
        for reader in readers {
            reader.reader.close().await;
        }
        ended
    });
    let ended = ran.map_err(|error| Failure::Unavailable(format!("threads: {error}")))?;
    if !matches!(ended, Err(Failure::OutputClosed)) {
        printer.summary();
    }
    ended
}

/// A node that is read.
struct Reading {
    node: String,
    reader: UntypedReader,
    /// Publishers that have begun and not ended.
    publishers: usize,
    has_ended: bool,
}

async fn tap(
    args: &TapArgs,
    smol: &Smol,
    printer: &mut Printer,
    readers: &mut Vec<Reading>,
) -> Result<(), Failure> {
    let found = find::nodes(args, smol).await?;
    let start = match args.from {
        From::Next => Start::Next,
        From::Oldest => Start::OldestRetained,
    };
    for Tapped { name, peer } in found {
        let reader = peer.read(&args.topic, start);
        let reader = reader.map_err(|error| unavailable(&name, &error))?;
        readers.push(Reading { node: name, reader, publishers: 0, has_ended: false });
    }
    let until = args.time.map_or(Duration::MAX, |time| smol.now().saturating_add(time));
    let mut over = smol.sleep_until(until);
    let mut interrupted = smol.interrupted();
    loop {
        let ended = select(&mut over, &mut interrupted);
        let filled = select_all(readers.iter_mut().map(|it| Box::pin(it.reader.ready())));
        let index = match select(ended, filled).await {
            Either::Left(_) => return Ok(()),
            Either::Right(((_, index, _), _)) => index,
        };
        let reading = &mut readers[index];
        if print(args, smol, printer, reading).await? {
            return Ok(());
        }
        printer.flush()?;
        if args.until_end && readers.iter().all(|reading| reading.has_ended) {
            return Ok(());
        }
        // Publishers of other nodes come next.
        readers.rotate_left(index + 1);
    }
}

/// Prints what has arrived of a node. True if that was all that the command line requests.
async fn print(
    args: &TapArgs,
    smol: &Smol,
    printer: &mut Printer,
    reading: &mut Reading,
) -> Result<bool, Failure> {
    let Reading { node, reader, publishers, has_ended } = reading;
    let first = reader.recv().await;
    let mut next = first.map_err(|error| unavailable(node, &error))?;
    for _ in 0..BURST {
        let Some(delivery) = next else { return Ok(false) };
        match &delivery {
            UntypedDelivery::Began { .. } => (*publishers, *has_ended) = (*publishers + 1, false),
            UntypedDelivery::Ended { .. } | UntypedDelivery::Lost { .. } => {
                *publishers = publishers.saturating_sub(1);
                *has_ended = *publishers == 0;
            }
            UntypedDelivery::TopicEnded => *has_ended = true,
            _ => {}
        }
        printer.print(node, smol.wall_clock(), &delivery)?;
        if args.count.is_some_and(|count| printer.printed() >= count) {
            printer.flush()?;
            return Ok(true);
        }
        next = reader.try_recv();
    }
    Ok(false)
}

/// The failure of reading from a node.
fn unavailable(node: &str, error: &UntypedError) -> Failure {
    match error {
        UntypedError::Name { .. } => Failure::Usage(error.to_string()),
        // Its text has the name of the node.
        UntypedError::NoCatalogue { .. }
        | UntypedError::Silent { .. }
        | UntypedError::Answer { .. }
        | UntypedError::Catalogue { .. }
        | UntypedError::Layout { .. }
        | UntypedError::NoTopic { .. }
        | UntypedError::Forbidden { .. }
        | UntypedError::Rejected { .. }
        | UntypedError::Message { .. } => Failure::Unavailable(error.to_string()),
        _ => Failure::Unavailable(format!("node `{node}`: {error}")),
    }
}
