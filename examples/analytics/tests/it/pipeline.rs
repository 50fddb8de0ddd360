//! What the pipeline computes, and what its slow stage sees.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use analytics::app::Options;
use analytics::load;
use analytics::messages::{SECOND, Window};
use analytics::recording::Recording;
use flate2::read::GzDecoder;
use mycelium::Policy;
use mycelium_tokio::Tokio;
use serde_json::Value;

use crate::{day, file, options};

/// Events a second.
const RATE: u64 = 30;
/// The swaps of the day.
const SWAPS: u64 = 6313;
/// The events of a lap, which takes ten minutes.
const LAP: u64 = RATE * 600;
/// The time of the first event.
const BEGIN: u64 = 1_700_000_000;

/// Adds up the file by itself: text, hexadecimal digits and a fold, without this program.
fn expected() -> BTreeMap<(u64, String), (u64, u64, [f64; 4])> {
    let mut windows = BTreeMap::new();
    let (mut swaps, mut number) = (0, 0);
    for line in BufReader::new(GzDecoder::new(File::open(day()).unwrap())).lines() {
        let log: Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !log["topics"][0].as_str().unwrap().starts_with("0xc42079f9") {
            continue;
        }
        let data = log["data"].as_str().unwrap();
        let digits =
            |from: usize, to: usize| u128::from_str_radix(&data[2 + from..2 + to], 16).unwrap();
        let volume = (digits(32, 64) as i128).unsigned_abs() as u64;
        let root =
            digits(128, 160) as f64 * 2_f64.powi(32) + digits(160, 192) as f64 / 2_f64.powi(96);
        let price = 1e12 / (root * root);
        swaps += 1;
        // Each swap has the same share of a lap.
        while number * SWAPS < swaps * LAP {
            let key = (BEGIN + number / RATE, log["address"].as_str().unwrap().to_owned());
            let entry = windows.entry(key).or_insert((0, 0, [price; 4]));
            let [open, high, low, _] = entry.2;
            let prices = [open, high.max(price), low.min(price), price];
            *entry = (entry.0 + 1, entry.1 + volume, prices);
            number += 1;
        }
    }
    windows
}

#[tokio::test]
async fn windows_are_those_of_a_plain_fold() {
    let temporary = tempfile::tempdir().unwrap();
    let recording = Recording::load(&day()).unwrap();
    let counts = [recording.swaps.len(), recording.others, recording.bad];
    assert_eq!(counts, [SWAPS as usize, 225, 0]);
    let directory = temporary.path().to_owned();
    let options = Options { origin: BEGIN * SECOND, directory, ..options(RATE, LAP) };
    let node = options.node("main", "analytics.toml").unwrap().build().unwrap();
    let mut windows = node.subscribe::<Window>("test", Policy::Block).unwrap();
    let running = node.start(Tokio::current().unwrap()).unwrap();
    let mut found = BTreeMap::new();
    while let Some(delivery) = windows.recv().await {
        let window = delivery.message().expect("no gap");
        let pool: String = window.pool.iter().map(|byte| format!("{byte:02x}")).collect();
        let prices = [window.open, window.high, window.low, window.close];
        let key = (window.start, format!("0x{pool}"));
        let twice = found.insert(key, (window.count, window.volume, prices));
        assert_eq!(twice, None, "each window is sent once");
    }
    running.join().await.unwrap();
    let expected = expected();
    assert_eq!(found.len(), expected.len());
    for ((key, found), (other, expected)) in found.iter().zip(&expected) {
        assert_eq!((key, found.0, found.1), (other, expected.0, expected.1));
        for (found, expected) in found.2.iter().zip(expected.2) {
            assert!((found / expected - 1.0).abs() < 1e-12, "{key:?}: {found}, {expected}");
        }
    }
}

/// All events are due at once, so the slow stage is overtaken; the others lose nothing.
#[tokio::test]
async fn what_the_slow_stage_does_not_see_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    for (policy, is_sample) in [("sample(1/50)", true), ("drop-oldest", false)] {
        let topology = directory.path().join("slow.toml");
        let text = format!(
            "include = [{:?}]\nsubscription.\"Outliers.trades\".policy = \"{policy}\"\n\
             topic.trades.capacity = 1024\n",
            file("analytics.toml")
        );
        fs::write(&topology, text).unwrap();
        let options = options(10_000_000, 50_000);
        let ran = load::run(options, topology.to_str().unwrap()).await.unwrap();
        ran.account().unwrap();
        let slow = ran.state("Outliers").unwrap().counts;
        assert!(slow.taken > 0);
        if !is_sample {
            assert_eq!(slow.taken + slow.missed, 50_000, "{slow:?}");
            assert!(slow.gaps > 0, "{slow:?}");
        }
    }
}
