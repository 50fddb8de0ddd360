//! Runs the program: every column of every table moves every message, in few operations.

use std::process::Command;

use serde_json::Value;

fn ran(arguments: &[&str]) -> (String, Value) {
    let file = format!("mycelium-benches-{}-{}.json", std::process::id(), arguments.len());
    let json = std::env::temp_dir().join(file);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mycelium-benches"));
    let output = command.args(arguments).arg("--json").arg(&json).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}");
    let report = std::fs::read(&json).unwrap();
    std::fs::remove_file(json).unwrap();
    (printed, serde_json::from_slice(&report).unwrap())
}

#[test]
fn every_column_moves_every_message() {
    let (printed, report) = ran(&["--quick", "--rounds", "1", "--operations", "16"]);
    let (mut keys, mut each): (Vec<&str>, bool) = (Vec::new(), false);
    for table in report["tables"].as_array().unwrap() {
        let of = |part: &str| table[part].as_array().unwrap();
        assert!(printed.contains(table["title"].as_str().unwrap()));
        // Without rivals some columns of ours have nothing beside them.
        let few = if cfg!(feature = "rivals") { 1 } else { 0 };
        let measured = [of("figures").len() > few, !of("counts").is_empty(), table["rounds"] == 0];
        assert!(measured.contains(&true), "{table}");
        assert!(of("ratios").len() >= few || measured[1], "{table}");
        for ratio in of("ratios") {
            let quartile = |part| ratio["ratio"][part].as_f64().unwrap();
            assert!(quartile("lower") <= quartile("upper"), "{table}");
        }
        each |= of("figures").iter().any(|figures| figures["percentiles"]["p99"].is_u64());
        keys.push(table["key"].as_str().unwrap());
    }
    keys.dedup();
    let expected = "emit emit-batch emit-traces scale threads encode view shapes spsc \
        spsc-batches spsc-56 spsc-64 trip mpmc fairness publish publish-read tasks link tcp tls \
        shm handler request wake pinned idle actors";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert!(each, "some tables time each operation");
    assert_eq!(report["rows"], Value::Array(Vec::new()), "a quick run decides no goals");
}

#[test]
fn tables_and_columns_can_be_chosen() {
    let columns = ["--column", "emit to 4", "--column", "emit to 16"];
    let (_, report) = ran(&[["--quick", "--only", "scale"].as_slice(), &columns].concat());
    let tables = report["tables"].as_array().unwrap();
    assert_eq!((tables.len(), tables[0]["figures"].as_array().unwrap().len()), (1, 2));
}
