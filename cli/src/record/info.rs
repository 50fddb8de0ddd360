//! `info`: what a recording contains, and whether it adds up.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use mycelium_record::{End, Reader, StreamTotals};
use serde_json::Value;

use super::recording::{Sums, open, unread};
use crate::shared::exit::Failure;
use crate::shared::output::{Format, Printer, Table, print, shown};

/// The arguments of `info`.
#[derive(Debug, Args)]
pub struct InfoArgs {
    /// The recording.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How the table is printed.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    output: Format,
}

/// Prints a row for each publisher, and whether the file is whole.
///
/// # Errors
/// If the file is not a recording, was cut off, or is damaged. What was read before is printed.
pub fn run(args: &InfoArgs) -> Result<(), Failure> {
    let name = shown(&args.file);
    let file = open(&args.file)?;
    let size = file.get_ref().metadata().map(|data| data.len()).unwrap_or_default();
    let mut reader = Reader::new(file).map_err(|error| unread(&name, &error))?;
    let ended = loop {
        match reader.next() {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(unread(&name, &error)),
        }
    };
    let totals = reader.totals();
    let mut table = Table::new(
        "node, topic, publisher, epoch, first, recorded, retained, gaps, missed, next, end, \
         first at, last at, bytes",
    );
    totals.streams.iter().for_each(|stream| table.row(row(stream)));
    Printer::new(args.output).print(&table)?;
    ended?;
    if !reader.is_whole() {
        let (read, sums) = (reader.offset(), Sums::of(totals));
        return Err(Failure::Found(format!(
            "{name}: cut off: {read} of {size} bytes are whole, and add up: {sums}"
        )));
    }
    if args.output == Format::Table {
        print(&format!("{name}: whole, and all counts add up: {}\n", Sums::of(totals)))?;
    }
    Ok(())
}

fn row(totals: &StreamTotals) -> [Value; 14] {
    let StreamTotals { stream, first, recorded, retained, gaps, missed, next, end, .. } = totals;
    let end = match end {
        Some(End::Ended) => "ended",
        Some(End::Lost) => "lost",
        None => "open",
    };
    let time = |of: fn((u64, u64)) -> u64| match totals.received_at {
        Some(times) => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(of(times));
            humantime::format_rfc3339_micros(time).to_string().into()
        }
        None => Value::Null,
    };
    [
        stream.node.clone().into(),
        stream.topic.clone().into(),
        stream.publisher.clone().into(),
        format!("{:016x}", stream.epoch).into(),
        (*first).into(),
        (*recorded).into(),
        (*retained).into(),
        (*gaps).into(),
        (*missed).into(),
        (*next).into(),
        end.into(),
        time(|(begin, _)| begin),
        time(|(_, last)| last),
        totals.bytes.into(),
    ]
}
