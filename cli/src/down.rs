//! `down`: ends the nodes that `up` has started.

use std::time::Duration;

use clap::Args;
use mycelium_executor::Clock;

use crate::bundle::client::Client;
use crate::bundle::leftovers;
use crate::bundle::place::{BundleArgs, Place};
use crate::bundle::table;
use crate::bundle::wire::{Answer, Request};
use crate::shared::clock::{duration, pause};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, print};

/// The pause before the next try while a launcher is starting or ending.
const PAUSE: Duration = Duration::from_millis(20);

/// The arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    #[command(flatten)]
    bundle: BundleArgs,
    /// How long each node has to end before it is killed; 15 s if nothing else is said.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
}

/// Ends the nodes in order, and waits until they have ended.
///
/// # Errors
/// If a node could not deliver its messages, failed, or was killed.
pub fn run(args: &DownArgs) -> Result<(), Failure> {
    let place = args.bundle.place()?;
    let timeout = args.timeout.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    let clock = Clock::start();
    while clock.now() < leftovers::LONGEST {
        if let Some(mut client) = Client::request(&place, &Request::Down { timeout })? {
            // Waits without a limit, because each node has its deadline. Without an answer the
            // launcher was killed, or has just ended.
            if let Some(Answer::Nodes { nodes, problem }) = client.answer(None)? {
                return table::print(&nodes, problem, Format::Table);
            }
        }
        if let Some(killed) = clear(&place, args.timeout.unwrap_or(leftovers::GRACE)) {
            return match &*killed {
                [] => print(&format!("nothing of {} runs\n", place.title())),
                nodes => Err(Failure::Found(format!(
                    "the launcher of {} was killed, and nodes did not end by themselves or at SIGTERM, \
                     and were killed: {}",
                    place.title(),
                    nodes.join(", ")
                ))),
            };
        }
        pause(PAUSE);
    }
    Err(Failure::Unavailable(format!("no launcher of {} responds", place.title())))
}

/// Removes the remains of a bundle: the logs of a failed one, and the nodes of a killed launcher,
/// which end by themselves. Returns the nodes that had to be killed, or `None` if a launcher has
/// the place.
fn clear(place: &Place, grace: Duration) -> Option<Vec<String>> {
    let Some(_lock) = place.lock_if_there() else {
        return (!place.directory().exists()).then(Vec::new);
    };
    let killed = leftovers::end(place, grace, |_| ());
    place.remove();
    Some(killed)
}
