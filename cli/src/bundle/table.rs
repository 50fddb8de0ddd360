//! Tables of nodes.

use std::time::Duration;

use serde_json::Value;

use super::wire::NodeStatus;
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table};

/// Returns the nodes as a table.
pub fn table(nodes: &[NodeStatus], format: Format) -> Table {
    let mut table = Table::new("node, state, pid, since, restarts, last exit");
    for node in nodes {
        let since = match format {
            Format::Table => Value::from(duration(Duration::from_millis(node.since))),
            Format::Json | Format::Csv => Value::from(node.since as f64 / 1000.0),
        };
        table.row([
            node.node.clone().into(),
            node.state.clone().into(),
            node.pid.map(u64::from).into(),
            since,
            node.restarts.into(),
            node.last_exit.clone().into(),
        ]);
    }
    table
}

/// Prints the nodes to standard output.
///
/// # Errors
/// Fails with `problem`, if there is one; otherwise if the output cannot be written.
pub fn print(nodes: &[NodeStatus], problem: Option<String>, format: Format) -> Result<(), Failure> {
    let printed = Printer::new(format).print(&table(nodes, format));
    // The problem is returned even if the reader has closed the output.
    problem.map_or(printed, |problem| Err(Failure::Found(problem)))
}

/// Returns a time as text, in its two largest units.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units() {
        let times = [7, 61, 3_700, 200_000].map(|seconds| duration(Duration::from_secs(seconds)));
        assert_eq!(times, ["7s", "1m 1s", "1h 1m", "2d 7h"]);
    }
}
