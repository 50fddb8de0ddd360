//! The recorded day.

use std::io::Read;

use alloy_primitives::U64;
use flate2::read::GzDecoder;

use crate::ethereum::chain::RawLog;

/// The logs, compressed: one in each line, in chain order.
static DAY: &[u8] = include_bytes!("../../data/usdc-weth-2024-01-05.jsonl.gz");

/// Returns the logs of the recorded day.
///
/// # Panics
/// If its file in this program is damaged.
pub fn recorded() -> Vec<Line> {
    let mut text = String::new();
    GzDecoder::new(DAY).read_to_string(&mut text).expect("a compressed text");
    text.lines().map(|line| Line::of(line.to_owned())).collect()
}

/// One log of the day.
#[derive(Clone, Debug)]
pub struct Line {
    /// The log as JSON, exactly as recorded.
    pub json: String,
    /// The log, parsed from `json`.
    pub log: RawLog,
}

impl Line {
    /// A log of the day.
    ///
    /// # Panics
    /// If it is none.
    pub(super) fn of(json: String) -> Self {
        Self { log: serde_json::from_str(&json).expect("a log"), json }
    }

    /// The same log in a block that is this number of blocks later.
    pub(super) fn later(&self, blocks: u64) -> Self {
        let number = self.log.block_number + U64::from(blocks);
        let field = |number: U64| format!("\"blockNumber\":\"{number:#x}\"");
        let json = self.json.replacen(&field(self.log.block_number), &field(number), 1);
        Self { json, log: RawLog { block_number: number, ..self.log.clone() } }
    }

    /// A log one position later, with another price, of a block that the chain replaces.
    pub(super) fn of_fork(&self, removed: bool) -> String {
        let mut log: serde_json::Value = serde_json::from_str(&self.json).unwrap_or_default();
        let mut data = log["data"].as_str().unwrap_or_default().to_owned();
        // The second digit that is not zero, of the price of a swap or of the second reserve of a
        // pair: 1 % or more.
        let word = 2 + 64 * if data.len() > 2 + 2 * 64 { 2 } else { 1 };
        let zeros =
            data.get(word..).map_or(0, |word| word.bytes().take_while(|it| *it == b'0').count());
        if let Some(digit) = data.get(word + zeros + 1..word + zeros + 2) {
            let other = if digit == "1" { "2" } else { "1" };
            data.replace_range(word + zeros + 1..word + zeros + 2, other);
        }
        log["data"] = data.into();
        log["logIndex"] = format!("{:#x}", self.log.log_index + U64::from(1)).into();
        log["blockHash"] = format!("0x{}", "f".repeat(64)).into();
        log["removed"] = removed.into();
        log.to_string()
    }
}
