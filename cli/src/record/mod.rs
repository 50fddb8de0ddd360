//! `record`: writes topics to a file, over links: as an observing reader, or as the recorder of a
//! topology, for which publishers wait. `info` and `verify` read such files.
//!
//! Read `args` (the command line), this file (the steps of a run), `streams` (from deliveries to
//! entries), and `output` (the files). The commands that read files share `recording`. This module
//! uses only `peers` (the nodes) and `shared`.

mod args;
pub mod info;
mod output;
mod recording;
pub mod replay;
mod streams;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, SelectAll, join_all, select, select_all};
use mycelium::untyped::{Identity, UntypedReader};
use mycelium_executor::Executor;
use mycelium_smol::Smol;
use signal_hook::consts::SIGXFSZ;
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;

use crate::peers::find::{Found, Recorder, found, publishing, recorder, unavailable};
use crate::peers::interrupt::Interrupt;
use crate::peers::sink::Sink;
use crate::shared::exit::Failure;
use crate::shared::output::report;
pub use args::RecordArgs;
use output::Output;
use streams::Reading;

/// How often an open chunk is closed, and the progress shown.
const TICK: Duration = Duration::from_secs(1);

/// What the recorder of a topology says if it may be started again.
const KEPT: &str = "publishers keep what is not in the file, and wait for the next `record`\n";

/// Why a recording ends.
enum End {
    /// The command line requests it.
    Requested,
    /// A signal. The recorder of the topology may be started again.
    Interrupted,
}

/// Records until the end that the command line requests, or a signal.
///
/// # Errors
/// If a topic cannot be read, or the file cannot be written.
pub fn run(args: &RecordArgs) -> Result<(), Failure> {
    // Uses two threads: one keeps the links alive while the other prepares the output.
    let ran = mycelium_smol::run(2, async |smol: Smol| record(args, &smol).await);
    let ended = ran.map_err(|error| Failure::Unavailable(format!("threads: {error}")))?;
    if let Some(signal) = ended? {
        // A launcher starts a member again that ends so, and not one that has completed.
        let failed = |error| Failure::Unavailable(format!("signals: {error}"));
        emulate_default_handler(signal).map_err(failed)?;
    }
    Ok(())
}

/// Returns the signal that ended the recorder of a topology, if publishers wait for its next
/// process.
async fn record(args: &RecordArgs, smol: &Smol) -> Result<Option<i32>, Failure> {
    let failed = |error| Failure::Unavailable(format!("signals: {error}"));
    let mut interrupt = Interrupt::new(smol).map_err(failed)?;
    // A limit on the size of files is then an error of the write, and no end of the process.
    flag::register(SIGXFSZ, Arc::default()).map_err(failed)?;
    let (mut readings, mut output) = (Vec::new(), None);
    let begin = Box::pin(begin(args, smol, &mut output, &mut readings));
    let begun = interrupt.during(begin).await.transpose();
    let mut ended = match (begun, &mut output) {
        (Ok(Some(())), Some(output)) => {
            record_all(args, smol, &mut interrupt, output, &mut readings).await
        }
        (Ok(_), _) => Ok(End::Interrupted),
        (Err(failure), _) => Err(failure),
    };
    let mut errors = Sink::errors();
    if let Some(output) = output {
        let (sums, finished) = output.finish(smol).await;
        // The first failure is the reason of the end.
        errors = sums;
        ended = ended.and_then(|end| finished.map(|()| end));
    }
    if ended.is_ok() {
        readings.iter_mut().for_each(|reading| reading.reader.done());
    }
    let mut gating = readings.iter().filter(|reading| reading.gates());
    let is_waited_for = match &ended {
        Ok(End::Requested) => false,
        Ok(End::Interrupted) => gating.any(|reading| !reading.has_ended()),
        // Not everything is in the file.
        Err(_) => gating.next().is_some(),
    };
    let readers = readings.into_iter().map(|reading| reading.reader);
    if is_waited_for {
        join_all(readers.map(UntypedReader::leave)).await;
        errors.text.extend_from_slice(KEPT.as_bytes());
    } else {
        join_all(readers.map(UntypedReader::close)).await;
    }
    let signal = interrupt.signal().filter(|_| is_waited_for);
    let ended = ended.map(|_| signal).map_err(|failure| {
        errors.text.extend(report(&failure).unwrap_or_default().into_bytes());
        Failure::Reported(Box::new(failure))
    });
    // Ignores an error: without standard error there is only the exit code.
    _ = interrupt.while_taken(smol, errors.flush(smol)).await;
    ended
}

/// Begins to read, and creates the file.
async fn begin<'a>(
    args: &'a RecordArgs,
    smol: &Smol,
    output: &mut Option<Output<'a>>,
    readings: &mut Vec<Reading>,
) -> Result<(), Failure> {
    let recorder = match args.topics.is_empty() {
        true => recorder(&args.peers, smol)?,
        false => None,
    };
    if recorder.is_some() {
        // Publishers wait, so there is a file before they go on.
        *output = Some(Output::create(args, smol, true).await?);
        subscribe(args, smol, recorder.as_ref(), readings).await?;
    } else {
        output::check(args)?;
        subscribe(args, smol, None, readings).await?;
        *output = Some(Output::create(args, smol, false).await?);
    }
    Ok(())
}

/// Begins to read the topics of the command line, or all topics of the nodes.
async fn subscribe(
    args: &RecordArgs,
    smol: &Smol,
    recorder: Option<&Recorder>,
    all: &mut Vec<Reading>,
) -> Result<(), Failure> {
    if let Some(recorder) = recorder {
        let topics: Vec<&str> = recorder.topics.iter().map(|topic| &**topic).collect();
        for (node, peer) in &recorder.peers {
            let readers = peer.read_gating(&topics).map_err(|error| unavailable(node, &error))?;
            let readings = topics.iter().zip(readers);
            all.extend(readings.map(|(topic, reader)| Reading::new(node, topic, reader, true)));
        }
        return Ok(());
    }
    // Adds the process id, so that two processes of the tool have different names.
    let own = format!("record-{}", std::process::id());
    let nodes = found(&args.peers, &own, smol).await?;
    let topics: BTreeSet<&str> = match args.topics.is_empty() {
        true => nodes.iter().flat_map(|of| &of.topics).map(|entry| &*entry.topic).collect(),
        false => args.topics.iter().map(|topic| &**topic).collect(),
    };
    // A node has one link for each name.
    let mut of_nodes: BTreeMap<&str, (&Found, Vec<&str>)> = BTreeMap::new();
    for topic in &topics {
        for of in publishing(&args.peers, topic, &nodes).await? {
            of_nodes.entry(&of.name).or_insert((of, Vec::new())).1.push(topic);
        }
    }
    for (node, (of, topics)) in of_nodes {
        let mut peer = of.peer.clone();
        if args.peers.own.is_none() {
            // The node may not have noticed the end of the link that asked for its topics.
            let (name, entropy) = (format!("{own}-reads"), smol.entropy());
            let identity = Identity::new(&name, entropy);
            peer.identity =
                identity.map_err(|error| Failure::Usage(format!("node `{name}`: {error}")))?;
        }
        let readers = peer.read_many(&topics, args.span.start());
        let readers = readers.map_err(|error| unavailable(node, &error))?;
        let readings = topics.iter().zip(readers);
        all.extend(readings.map(|(topic, reader)| Reading::new(node, topic, reader, false)));
    }
    match all.is_empty() {
        true => Err(Failure::Unavailable("the nodes have no topics that may be read".to_owned())),
        false => Ok(()),
    }
}

/// Records until a signal, or the end that the command line requests. They end the wait for
/// deliveries, but no write to the file, which would be left in the middle.
async fn record_all(
    args: &RecordArgs,
    smol: &Smol,
    interrupt: &mut Interrupt,
    output: &mut Output<'_>,
    readings: &mut [Reading],
) -> Result<End, Failure> {
    let until = args.span.time.map_or(Duration::MAX, |time| smol.now().saturating_add(time));
    let mut tick = smol.now().saturating_add(TICK);
    while smol.now() < until {
        let filled = select(any_ready(readings), smol.sleep_until(tick.min(until)));
        let filled = match interrupt.during(filled).await {
            None => return Ok(End::Interrupted),
            Some(Either::Left((((), index, _), _))) => Some(index),
            Some(Either::Right(_)) => None,
        };
        if let Some(index) = filled {
            readings[index].take(smol, output).await?;
            output.write(smol).await?;
            let has_arrived = |reading: &mut Reading| reading.reader.has_arrived();
            if readings[index].gates() && !readings.iter_mut().any(has_arrived) {
                // Publishers may forget what is written.
                output.commit(smol).await?;
                readings.iter_mut().for_each(|reading| reading.reader.done());
            }
            if args.span.until_end && readings.iter().all(|reading| reading.has_ended()) {
                break;
            }
            // The others get the next turn.
            readings.rotate_left(index + 1);
        }
        if smol.now() >= tick {
            tick = smol.now().saturating_add(TICK);
            output.tick(smol).await?;
        }
    }
    Ok(End::Requested)
}

/// Waits until deliveries of a topic have arrived.
fn any_ready(readings: &mut [Reading]) -> SelectAll<impl Future<Output = ()> + Unpin + use<'_>> {
    select_all(readings.iter_mut().map(|it| Box::pin(it.reader.ready())))
}
