//! `status`: the states of the nodes that `up` has started.

use std::time::Duration;

use clap::Args;

use crate::bundle::client::Client;
use crate::bundle::leftovers;
use crate::bundle::place::{BundleArgs, Place};
use crate::bundle::table;
use crate::bundle::wire::{Answer, Request};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, shown};

/// How long a launcher has to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints the nodes.
///
/// # Errors
/// If a node is not up, or nothing runs.
pub fn run(args: &StatusArgs) -> Result<(), Failure> {
    let place = args.bundle.place()?;
    let answer = match Client::request(&place, &Request::Status)? {
        Some(mut client) => client.answer(Some(PATIENCE))?,
        None => None,
    };
    match answer {
        Some(Answer::Nodes { nodes, problem }) => table::print(&nodes, problem, args.output),
        _ => Err(Failure::Unavailable(nothing_runs(&place))),
    }
}

/// Returns why there are no nodes to print.
fn nothing_runs(place: &Place) -> String {
    let title = place.title();
    let left = leftovers::shown(place);
    if !left.is_empty() {
        let left = left.join(", ");
        return format!(
            "no launcher of {title} responds, and nodes still run: {left}; if the launcher was \
             killed, they end soon, and `up` and `down` wait for them"
        );
    }
    match place.problem() {
        None => format!("nothing of {title} runs"),
        Some(problem) => format!(
            "nothing of {title} runs: it ended with an error: {problem}; the logs are in `{}`, \
             `mycelium down` removes them",
            shown(place.directory())
        ),
    }
}
