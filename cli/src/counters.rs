//! `counters`: every value of every line of counters, with the names that stand beside them in
//! memory.

use clap::Args;

use crate::live::find::{Nodes, Target};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table};

/// The arguments of `counters`.
#[derive(Debug, Args)]
pub struct CountersArgs {
    /// Only lines whose kind or label contains this text.
    filter: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Also values that are 0.
    #[arg(long)]
    all: bool,
    /// How to print them.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Prints the values once.
///
/// # Errors
/// If there is no such node.
pub fn run(args: &CountersArgs) -> Result<(), Failure> {
    let mut nodes = Nodes::find(&args.target)?;
    let filter = args.filter.as_deref().unwrap_or_default();
    let mut table = Table::new("node, pid, kind, label, counter, value");
    let views = nodes.views()?;
    nodes.warn();
    for (name, process, view) in views {
        for line in &view.lines {
            if !line.kind.name.contains(filter) && !line.label.contains(filter) {
                continue;
            }
            for (counter, value) in line.kind.values.iter().zip(&line.values) {
                if args.all || *value != 0 {
                    table.row([
                        name.as_str().into(),
                        u64::from(process).into(),
                        line.kind.name.as_str().into(),
                        line.label.as_str().into(),
                        counter.as_str().into(),
                        (*value).into(),
                    ]);
                }
            }
        }
    }
    Printer::new(args.output).print(&table)
}
