//! `hz`: how many messages publishers send.
//!
//! The numbers are the publishers' own counts, so they are exact at every rate, and cost nothing:
//! no message is read.

use clap::Args;

use crate::live::find::{Nodes, Target};
use crate::live::pace::Pace;
use crate::live::sample::{Change, Sample};
use crate::shared::clock::Waits;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table, printable};

/// The arguments of `hz`.
#[derive(Debug, Args)]
pub struct HzArgs {
    /// Only these topics.
    topics: Vec<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pace: Pace,
    /// How to print the rates.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints the rate of each publisher at each interval. With `--for` it prints once, at the end.
///
/// # Errors
/// If there is no such node or topic.
pub fn run(args: &HzArgs) -> Result<(), Failure> {
    let waits = Waits::new()?;
    let mut nodes = Nodes::find(&args.target)?;
    let mut before = nodes.read_some(waits.clock.now())?;
    nodes.warn();
    check_topics(&args.topics, &before)?;
    let mut printer = Printer::new(args.output);
    let pace = match args.pace.time {
        // With `--for`, prints one table about the whole time.
        Some(time) => Pace { interval: time, ..args.pace.clone() },
        None => args.pace.clone(),
    };
    pace.run(&waits, |now| {
        let sample = nodes.read(now)?;
        printer.print(&rates(&args.topics, &Change::new(Some(&before), &sample)))?;
        before = sample;
        Ok(())
    })
}

/// Returns the rates of each publisher between two moments.
fn rates(topics: &[String], change: &Change<'_>) -> Table {
    let mut table = Table::new("topic, publisher, node, messages, rate, sent");
    for node in &change.now().nodes {
        for (key, output) in &node.outputs {
            let (topic, publisher) = key;
            if output.is_remote || !(topics.is_empty() || topics.contains(topic)) {
                continue;
            }
            let messages = change.growth(node, |node| Some(node.outputs.get(key)?.sent));
            table.row([
                topic.as_str().into(),
                publisher.as_str().into(),
                node.name.as_str().into(),
                messages.into(),
                change.per_second(messages).into(),
                output.sent.into(),
            ]);
        }
    }
    table
}

fn check_topics(topics: &[String], sample: &Sample) -> Result<(), Failure> {
    let outputs = sample.nodes.iter().flat_map(|node| node.outputs.keys());
    let mut known: Vec<&str> = outputs.map(|(topic, _)| topic.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    match topics.iter().find(|topic| !known.contains(&topic.as_str())) {
        None => Ok(()),
        Some(topic) => {
            let known: Vec<_> = known.into_iter().map(printable).collect();
            Err(Failure::Unavailable(format!(
                "no node publishes topic `{}`: expected one of {}",
                printable(topic),
                known.join(", ")
            )))
        }
    }
}
