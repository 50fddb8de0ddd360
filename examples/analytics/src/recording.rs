//! The recorded day.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::{SolEvent, sol};
use flate2::read::MultiGzDecoder;
use mycelium::{Error, Result};
use serde::Deserialize;

use crate::app::{LAP, Options};
use crate::messages::{Event, SECOND, Trade};

/// A line of this number of bytes ends the reading with an error.
const LONGEST: usize = 1 << 16;
/// The most swaps of a recording.
const SWAPS: usize = 1_000_000;
/// The most pools of a recording: each second has a window of each.
pub const POOLS: usize = 1000;
/// The number of bad lines that are named.
const NAMED: usize = 3;

sol! {
    event Swap(
        address indexed sender, address indexed recipient, int256 amount0, int256 amount1,
        uint160 sqrtPriceX96, uint128 liquidity, int24 tick
    );
}

/// A line of the recording.
#[derive(Deserialize)]
struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
}

/// The swaps of a recording, of which there is at least one.
#[derive(Debug, Default)]
pub struct Recording {
    /// Their pools and data.
    pub swaps: Vec<([u8; 20], [u8; 160])>,
    /// Logs of other events.
    pub others: usize,
    /// Lines that are no logs, or whose swap does not decode.
    pub bad: usize,
    /// The first bad lines, with their numbers.
    pub named: Vec<String>,
}

impl Recording {
    /// Reads a file of JSON lines that is compressed by gzip. Bad lines are counted.
    ///
    /// # Errors
    /// If the file cannot be read, has a line of 64 KiB or more, more than a million swaps or a
    /// thousand pools, or no swap at all.
    pub fn load(path: &Path) -> Result<Recording> {
        let failed = |problem: String| Error::msg(format!("{}: {problem}", path.display()));
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut reader = BufReader::new(MultiGzDecoder::new(file));
        let (mut recording, mut line) = (Recording::default(), Vec::new());
        for number in 1.. {
            line.clear();
            let read = reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut line);
            match read.map_err(|error| failed(format!("line {number}: {error}")))? {
                0 => break,
                LONGEST => {
                    return Err(failed(format!("line {number} has {LONGEST} bytes or more")));
                }
                _ => recording.take(&line, number),
            }
            if recording.swaps.len() > SWAPS {
                return Err(failed(format!("more than {SWAPS} swaps")));
            }
        }
        let pools: HashSet<_> = recording.swaps.iter().map(|(pool, _)| pool).collect();
        if pools.len() > POOLS {
            return Err(failed(format!("more than {POOLS} pools")));
        }
        match recording.swaps.len() {
            0 => Err(failed(format!("no swap, {} bad lines", recording.bad))),
            _ => Ok(recording),
        }
    }

    /// Returns an event by its number. Each swap is repeated until the next one is due.
    pub fn event(&self, number: u64, options: &Options) -> Event {
        let Options { rate, origin, .. } = *options;
        let after = u128::from(number) * u128::from(SECOND) / u128::from(rate);
        let (passed, lap) = (number % (rate * LAP), rate * LAP);
        let (pool, data) = self.swaps[(passed * self.swaps.len() as u64 / lap) as usize];
        Event::new(number, origin + after as u64, data, pool)
    }

    fn take(&mut self, line: &[u8], number: u64) {
        let problem = match serde_json::from_slice::<Log>(line) {
            Err(error) => error.to_string(),
            Ok(log) if log.topics.first() != Some(&Swap::SIGNATURE_HASH) => {
                return self.others += 1;
            }
            Ok(log) => match <[u8; 160]>::try_from(&log.data[..]) {
                Ok(data) if trade(&Event::new(0, 0, data, *log.address.0)).is_some() => {
                    return self.swaps.push((*log.address.0, data));
                }
                _ => "the data are not those of a swap".to_owned(),
            },
        };
        self.bad += 1;
        if self.named.len() < NAMED {
            self.named.push(format!("line {number}: {problem}"));
        }
    }
}

/// Returns the trade of an event; `None` if its data do not decode. The pools are those of USDC (6
/// decimals) and ether (18 decimals).
pub fn trade(event: &Event) -> Option<Trade> {
    let Event { number, at, ref data, pool, .. } = *event;
    let (dollars, _, root, ..) = Swap::abi_decode_data_validate(data).ok()?;
    let volume = u64::try_from(dollars.unsigned_abs()).ok()?;
    let root = f64::from(root) / 2_f64.powi(96);
    let price = 1e12 / (root * root);
    price.is_finite().then(|| Trade::new(number, at, price, volume, pool))
}
