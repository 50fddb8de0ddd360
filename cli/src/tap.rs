//! `tap`: prints the messages of a topic, as an observing reader over a link.
//!
//! To read: `args` (the command line), this file (how a run goes), `find` (which nodes), `fields`
//! (the fields that are printed), `print` (the printer), `form` (what each form of output has), and
//! the forms: `text`, `json` and `csv`.

mod args;
mod csv;
mod fields;
mod find;
mod form;
mod json;
mod print;
mod text;

use std::time::Duration;

use futures_util::future::{Either, select, select_all};
use mycelium::Start;
use mycelium::untyped::{UntypedDelivery, UntypedReader};
use mycelium_executor::Executor;
use mycelium_smol::Smol;

use crate::exit::Failure;
use args::From;
pub use args::TapArgs;
use find::{Tapped, unavailable};
use print::Printer;

/// The most deliveries of one node before those of another are printed.
const BURST: usize = 1024;

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
    for left in (0..BURST).rev() {
        let Some(delivery) = next else { return Ok(false) };
        match &delivery {
            UntypedDelivery::Began { .. } => (*publishers, *has_ended) = (*publishers + 1, false),
            UntypedDelivery::Ended { .. } | UntypedDelivery::Lost { .. } => {
                *publishers = publishers.saturating_sub(1);
                *has_ended = *publishers == 0;
            }
            // The next start of the node has other publishers.
            UntypedDelivery::TopicEnded | UntypedDelivery::Disconnected { .. } => *has_ended = true,
            _ => {}
        }
        printer.print(node, smol.wall_clock(), &delivery)?;
        if args.count.is_some_and(|count| printer.printed() >= count) {
            printer.flush()?;
            return Ok(true);
        }
        // A delivery that is taken is printed.
        next = if left > 0 { reader.try_recv() } else { None };
    }
    Ok(false)
}
