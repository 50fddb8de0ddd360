//! Every column of every table once, with few messages: each must move all of them, as they were.

use mycelium_benches::{Options, run};

fn options(arguments: &[&str]) -> Options {
    Options::parse(arguments.iter().map(|argument| (*argument).to_owned())).unwrap()
}

#[test]
fn every_column_moves_every_message() {
    let options = options(&["--quick", "--rounds", "1", "--operations", "600"]);
    let mut printed = Vec::new();
    let report = run(&options, &mut printed).unwrap();
    let printed = String::from_utf8(printed).unwrap();

    let keys: Vec<_> = report.tables.iter().map(|table| table.key).collect();
    assert_eq!(keys[..5], ["emit", "emit-receive", "fan-out", "encode", "view"]);
    assert!(keys[5..].iter().all(|key| *key == "threads"));
    assert_eq!(report.latencies.len(), keys[5..].len());
    for table in &report.tables {
        assert!(table.figures.len() >= 4 && !table.ratios.is_empty(), "{table}");
        assert!(printed.contains(&table.to_string()));
        for ratio in &table.ratios {
            assert!(ratio.ratio.lower <= ratio.ratio.upper, "{table}");
        }
    }
    for table in &report.latencies {
        assert_eq!(table.rows.len(), 6);
        assert!(table.rows.iter().all(|row| row.p50 <= row.p99 && row.p999 <= row.max), "{table}");
    }
}

#[test]
fn tables_and_columns_can_be_chosen() {
    let options = options(&["--quick", "--only", "emit", "--column", "emit"]);
    let report = run(&options, &mut Vec::new()).unwrap();
    assert_eq!(report.tables.len(), 1);
    assert_eq!(report.tables[0].figures.len(), 1);
    assert!(report.tables[0].ratios.is_empty() && report.latencies.is_empty());
}
