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

use mycelium_transports::conformance::{self, Ground, Law, Link, Local, Transport};

use table::{Column, Table};

fn main() -> ExitCode {
    let words: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mut columns = columns();
    if !words.is_empty() {
        columns.retain(|column| words.iter().any(|word| column.name().contains(word.as_str())));
    }
    let table = Table::fill(columns);
    table.print();
    if table.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One for each transport on each executor and between each two of them.
fn columns() -> Vec<Column> {
    let grounds = subjects::all();
    let mut columns = Vec::new();
    for publishers in &grounds {
        for readers in &grounds {
            columns.push(column::<Local>(*publishers, *readers));
            columns.push(column::<Link>(*publishers, *readers));
        }
    }
    columns
}

fn column<T: Transport>(publishers: Ground, readers: Ground) -> Column {
    let laws: Vec<Law> = conformance::laws::<T>();
    Column { transport: T::NAME, publishers, readers, laws }
}
