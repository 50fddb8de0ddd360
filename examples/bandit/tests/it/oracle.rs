//! The signals of the recorded day, found by this crate and by an independent script.

use std::{path::Path, process::Command};

use bandit::{
    arbitrage::{Detector, Outcome, PricedSwap},
    chain::{self, Event, RawLog, classify},
    metadata::Db,
    recording::Recording,
};

#[test]
fn the_signals_are_those_of_the_oracle() {
    let db = Db::in_memory().unwrap();
    let mut detector = Detector::new();
    let mut signals = Vec::new();
    for line in Recording::embedded().unwrap().logs() {
        let log: RawLog = serde_json::from_str(&line.json).unwrap();
        let Event::Swap(swap) = classify(&log).unwrap() else { continue };
        let pool = db.pool(&swap.pool).unwrap().expect("a known pool");
        let outcome = detector.apply(&PricedSwap {
            pool: pool.address,
            token0: pool.token0.address,
            token1: pool.token1.address,
            fee_millionths: pool.fee_millionths,
            key: swap.key,
            price: chain::price(&swap.sqrt_price_x96, pool.token0.decimals, pool.token1.decimals),
        });
        match outcome {
            Outcome::Signal(signal) => {
                // No signal depends on the last digits.
                assert!(signal.gap - 0.0035 > 1e-9, "{signal:?}");
                signals.push(signal.key.to_string());
            }
            Outcome::Quiet => {}
            other => panic!("{other:?}"),
        }
    }
    let tally = detector.tally();
    assert_eq!((tally.signals + tally.quiet, tally.duplicates, tally.rejected), (6313, 0, 0));
    let oracle = oracle();
    assert!(!oracle.is_empty());
    assert_eq!(signals, oracle);
}

fn oracle() -> Vec<String> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3")
        .arg(room.join("oracle.py"))
        .arg(room.join("data/usdc-weth-2024-01-05.jsonl.gz"))
        .output()
        .expect("this test needs python3 (3.8 or later) in the path, to run oracle.py");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "oracle.py failed: {errors}");
    let text = String::from_utf8(output.stdout).expect("oracle.py prints text");
    text.lines().map(str::to_owned).collect()
}
