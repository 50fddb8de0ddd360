//! `ls`: the nodes of this machine.

use clap::Args;
use mycelium_executor::Clock;

use crate::live::find::{Nodes, Target};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table};

/// The arguments of `ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    #[command(flatten)]
    target: Target,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints a line for each node. Without nodes there is only the header.
///
/// # Errors
/// If processes cannot be examined, or a node that was named does not run.
pub fn run(args: &LsArgs) -> Result<(), Failure> {
    let mut nodes = Nodes::find(&args.target)?;
    let at = Clock::start().now();
    let sample = match args.target.is_all() {
        true => nodes.read(at)?,
        false => nodes.read_some(at)?,
    };
    nodes.warn();
    let columns = "node, pid, process, health, services, restarts, publishers, readers, \
                   links";
    let mut table = Table::new(columns);
    for node in &sample.nodes {
        let restarts = node.services.values().map(|service| service.restarts());
        table.row([
            node.name.as_str().into(),
            u64::from(node.pid).into(),
            node.process.name().into(),
            Some(node.health.as_str()).filter(|health| !health.is_empty()).into(),
            (node.services.len() as u64).into(),
            restarts.fold(0, u64::saturating_add).into(),
            node.publishers().into(),
            node.readers().into(),
            node.open_links().into(),
        ]);
    }
    Printer::new(args.output).print(&table)
}
