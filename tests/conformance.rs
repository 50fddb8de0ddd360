//! Every law of transports, on every executor and every pair of them, over every transport: prints the table, and fails
//! if a cell of it is broken or empty.
//!
//! `cargo test --test conformance -- <words>` runs the columns whose names contain one of the words.
#![cfg(unix)]

#[path = "conformance/subjects.rs"]
mod subjects;
#[path = "conformance/table.rs"]
mod table;

use std::process::ExitCode;

use mycelium_transports::conformance::{self, Ground, Link, Local, Transport};

use table::{Column, Table};

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut chosen = columns();
    if !words.is_empty() {
        chosen.retain(|column| words.iter().any(|word| column.name().contains(word.as_str())));
    }
    assert!(!Table::empty(columns()).is_whole(), "a table without cells is not whole");
    let table = Table::fill(chosen);
    table.print();
    if table.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One for each transport on each executor and between each two of them.
fn columns() -> Vec<Column> {
    let (adapters, others) = (subjects::adapters(), subjects::without_network());
    let mut columns = Vec::new();
    for (publishers, readers) in pairs(&adapters) {
        columns.push(column::<Local>(publishers, readers));
        columns.push(column::<Link>(publishers, readers));
    }
    let all = [adapters, others.clone()].concat();
    let without = |ground: &Ground| others.iter().any(|other| other.name == ground.name);
    let locals = pairs(&all).into_iter().filter(|(one, two)| without(one) || without(two));
    columns.extend(locals.map(|(publishers, readers)| column::<Local>(publishers, readers)));
    columns
}

/// Each with itself, and then each with each other.
fn pairs(grounds: &[Ground]) -> Vec<(Ground, Ground)> {
    let with = |one: &Ground| grounds.iter().map(|two| (*one, *two)).collect::<Vec<_>>();
    let mut pairs: Vec<_> = grounds.iter().flat_map(with).collect();
    pairs.sort_by_key(|(one, two)| one.name != two.name);
    pairs
}

fn column<T: Transport>(publishers: Ground, readers: Ground) -> Column {
    Column { transport: T::NAME, publishers, readers, laws: conformance::laws::<T>() }
}
