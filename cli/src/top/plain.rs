//! The rows of `top` as a table for programs, and for terminals without keys.

use serde_json::Value;

use super::state::{Row, RowKind, State};
use crate::shared::output::Table;

/// Returns a table with a row for each topic that a service of a node publishes or reads, and a row
/// for each service.
pub fn table(state: &State) -> Table {
    let columns = "node, pid, member, direction, topic, rate, depth, capacity, high water, \
                   dropped, reasons, waited, restarts, state";
    let mut table = Table::new(columns);
    let (mut node, mut process, mut member) = (String::new(), None, String::new());
    for row in state.rows() {
        let (direction, topic) = match row.kind {
            RowKind::Node(_) => {
                let (name, number) = row.name.rsplit_once(' ').unwrap_or((&row.name, ""));
                (node, process, member) =
                    (name.to_owned(), number.parse::<u64>().ok(), String::new());
                (Value::Null, Value::Null)
            }
            RowKind::Member => {
                member.clone_from(&row.name);
                (Value::Null, Value::Null)
            }
            RowKind::Output => ("emits".into(), row.name.as_str().into()),
            RowKind::Input => ("reads".into(), row.name.as_str().into()),
            RowKind::Link => {
                member.clone_from(&row.name);
                ("link".into(), Value::Null)
            }
        };
        let names = [node.as_str().into(), Value::from(process), text(&member), direction, topic];
        table.row(names.into_iter().chain(numbers(&row)));
    }
    table
}

fn numbers(row: &Row) -> [Value; 9] {
    let reasons = row.drops.iter().map(|(reason, count)| format!("{reason}={count}"));
    [
        row.rate.into(),
        row.depth.into(),
        row.capacity.into(),
        row.high_water.into(),
        row.dropped().into(),
        text(&reasons.collect::<Vec<_>>().join(" ")),
        row.waited.into(),
        row.restarts.into(),
        text(&row.state),
    ]
}

fn text(text: &str) -> Value {
    Some(text).filter(|text| !text.is_empty()).into()
}
