//! `tap`: prints the messages of a topic, as an observing reader over a link.
//!
//! Read `args` (the command line), this file (the steps of a run), `fields` (the printed fields and
//! their possible values), `print` (the printer), `form` (the trait of the forms of output), and
//! the forms: `text`, `json` and `csv`. This module uses only `peers` (the nodes) and `shared`.

mod args;
mod csv;
mod fields;
mod form;
mod json;
mod print;
mod text;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select, select_all};
use mycelium::untyped::{UntypedDelivery, UntypedReader};
use mycelium_executor::Executor;
use mycelium_smol::Smol;

use crate::peers::find::{Found, found, publishing, unavailable};
use crate::peers::interrupt::Interrupt;
use crate::peers::sink::Sink;
use crate::shared::exit::Failure;
use crate::shared::output::report;
pub use args::TapArgs;
use print::Printer;

/// The most deliveries of one node that are printed before another node has its turn.
const BURST: usize = 1024;

/// Prints messages until the end that the command line requests, or a signal.
///
/// # Errors
/// If the topic cannot be read, or standard output cannot be written.
pub fn run(args: &TapArgs) -> Result<(), Failure> {
    let mut printer = Printer::stdout(args)?;
    // Uses two threads: one keeps the links alive while the other prepares the output.
    let ran = mycelium_smol::run(2, async |smol: Smol| tap(args, &smol, &mut printer).await);
    ran.map_err(|error| Failure::Unavailable(format!("threads: {error}")))?
}

/// A node that is read.
struct Reading {
    node: String,
    reader: UntypedReader,
    /// The number of publishers that have begun and not ended.
    publishers: usize,
    has_ended: bool,
}

async fn tap(args: &TapArgs, smol: &Smol, printer: &mut Printer) -> Result<(), Failure> {
    let failed = |error| Failure::Unavailable(format!("signals: {error}"));
    let mut interrupt = Interrupt::new(smol).map_err(failed)?;
    let mut readers = Vec::new();
    let reading = Box::pin(read(args, smol, printer, &mut readers));
    let mut ended = interrupt.during(reading).await.unwrap_or(Ok(()));
    join_all(readers.into_iter().map(|reading| reading.reader.close())).await;
    if !matches!(ended, Err(Failure::OutputClosed)) {
        let flushed = interrupt.while_taken(smol, printer.out.flush(smol)).await;
        ended = ended.and(flushed.unwrap_or(Ok(())));
    }
    let mut errors = Sink::errors();
    errors.text = printer.summary(&ended).into_bytes();
    let ended = ended.map_err(|failure| {
        errors.text.extend(report(&failure).unwrap_or_default().into_bytes());
        Failure::Reported(Box::new(failure))
    });
    // Ignores an error: without standard error there is only the exit code.
    _ = interrupt.while_taken(smol, errors.flush(smol)).await;
    ended
}

/// Prints until the end that the command line requests.
async fn read(
    args: &TapArgs,
    smol: &Smol,
    printer: &mut Printer,
    readers: &mut Vec<Reading>,
) -> Result<(), Failure> {
    // Adds the process id, so that two processes of the tool have different names.
    let own = format!("tap-{}", std::process::id());
    let nodes = found(&args.peers, &own, smol).await?;
    for Found { name, peer, .. } in publishing(&args.peers, &args.topic, &nodes).await? {
        let reader = peer.read(&args.topic, args.span.start());
        let reader = reader.map_err(|error| unavailable(name, &error))?;
        readers.push(Reading { node: name.clone(), reader, publishers: 0, has_ended: false });
    }
    let until = args.span.time.map_or(Duration::MAX, |time| smol.now().saturating_add(time));
    let printing = pin!(print_all(args, smol, printer, readers));
    match select(smol.sleep_until(until), printing).await {
        Either::Left(_) => Ok(()),
        Either::Right((ended, _)) => ended,
    }
}

async fn print_all(
    args: &TapArgs,
    smol: &Smol,
    printer: &mut Printer,
    readers: &mut [Reading],
) -> Result<(), Failure> {
    loop {
        let filled = select_all(readers.iter_mut().map(|it| Box::pin(it.reader.ready())));
        let ((), index, _) = filled.await;
        let is_enough = print(args, smol, printer, &mut readers[index]).await?;
        printer.out.flush(smol).await?;
        if is_enough || args.span.until_end && readers.iter().all(|reading| reading.has_ended) {
            return Ok(());
        }
        // The other nodes get the next turn.
        readers.rotate_left(index + 1);
    }
}

/// Prints the deliveries of a node that have arrived. Returns `true` once the number of messages on
/// the command line is reached.
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
            // The node's messages have ended for good, because after a new start its publishers are
            // new ones.
            UntypedDelivery::TopicEnded | UntypedDelivery::Disconnected { .. } => *has_ended = true,
            _ => {}
        }
        printer.print(node, smol.wall_clock(), &delivery)?;
        if args.count.is_some_and(|count| printer.counts.printed >= count) {
            return Ok(true);
        }
        if printer.out.is_full() {
            printer.out.flush(smol).await?;
        }
        // Takes no delivery that it would not print in this turn.
        next = if left > 0 { reader.try_recv() } else { None };
    }
    Ok(false)
}
