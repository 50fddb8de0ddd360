//! Measures the services under a fixed load: an [`Offer`] of the feed says when each swap is due,
//! and the [`Meter`] writes when it arrives. Both times are of the same machine.
//!
//! The receipts are a file, so those of a process that is killed are not lost. A swap that is
//! received again, by the next process, counts once.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hdrhistogram::Histogram;
use mycelium::{Context, Delivery, Error, Result, service};
use serde_json::{Value, json};

use crate::{
    ethereum::{feed::Feed, offer::Offer},
    files::FileError,
    messages::{EnrichedSwap, Key},
};

/// The block of a receipt that tells of a gap; its log index is the number of missing swaps.
const GAP: u64 = 0;
/// The bytes of a receipt.
const RECEIPT: u64 = 24;

/// Writes when each enriched swap arrives. Only a program under load has this service.
pub struct Meter {
    /// The file of receipts: the block, the log index, and the time in nanoseconds since 1970, as
    /// 64 bits each.
    pub receipts: PathBuf,
}

#[service(reads(EnrichedSwap))]
impl Meter {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let failed = |error: io::Error| {
            let error = FileError::of("write the receipts", &self.receipts)(error);
            Error::from(error).permanent()
        };
        let file = OpenOptions::new().append(true).create(true).open(&self.receipts);
        let mut file = file.map_err(failed)?;
        // A killed process may have written a part of a receipt.
        let length = file.metadata().map_err(failed)?.len();
        file.set_len(length - length % RECEIPT).map_err(failed)?;
        let mut swaps = ctx.subscribe::<EnrichedSwap>()?;
        while let Some(delivery) = swaps.recv().await {
            let now = since_1970(ctx.wall_clock()).as_nanos() as u64;
            let Key { block, log_index } = match delivery {
                Delivery::Msg(swap) => swap.key,
                Delivery::Gap(gap) => Key { block: GAP, log_index: gap.count },
            };
            let receipt = [block, log_index, now].map(u64::to_le_bytes);
            file.write_all(receipt.as_flattened()).map_err(failed)?;
        }
        Ok(())
    }
}

/// Returns what has become of the swaps that were due after the warm-up: their numbers, the time
/// from the first due one to the last receipt, and the latencies from due to receipt. `sent` is
/// what the feed has [sent](Feed::sent), and `origin` the calendar time at the origin of the node
/// that served it.
///
/// # Errors
/// If the receipts cannot be read.
pub fn measured(
    feed: &Feed,
    sent: &[Duration],
    offer: &Offer,
    receipts: &Path,
    origin: SystemTime,
) -> Result<Value> {
    let origin = since_1970(origin);
    let warm = sent.first().copied().unwrap_or_default().saturating_add(offer.warm_up);
    let first = sent.partition_point(|due| *due < warm);
    let begin = sent.get(first).copied().unwrap_or(warm);
    let due = |time| offer.due_within(time);
    let all = due(offer.warm_up.saturating_add(offer.measured)).zip(due(offer.warm_up));
    let due = all.map_or(sent.len() - first, |(all, warm)| all - warm);
    let (mut received, mut missed, mut next, mut last) = (0, 0, 0, origin + begin);
    let mut latencies = Histogram::<u64>::new(3)?;
    let file = fs::read(receipts).map_err(FileError::of("read the receipts", receipts))?;
    let (numbers, _) = file.as_chunks();
    for receipt in numbers.as_chunks().0 {
        let [block, log_index, at] = receipt.map(u64::from_le_bytes);
        if block == GAP {
            missed += if next < first { 0 } else { log_index };
            continue;
        }
        // Skips swaps that were received before.
        let index = feed.index_of(Key { block, log_index });
        let Some(index) = index.filter(|index| (next..sent.len()).contains(index)) else {
            continue;
        };
        next = index + 1;
        if index >= first {
            received += 1;
            last = Duration::from_nanos(at);
            latencies.record(last.saturating_sub(origin + sent[index]).as_nanos() as u64)?;
        }
    }
    let at = |part| latencies.value_at_quantile(part);
    Ok(json!({
        "due": due,
        "sent": sent.len() - first,
        "received": received,
        "missed": missed,
        "seconds": last.saturating_sub(origin + begin).as_secs_f64(),
        "latency": {
            "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
            "max": latencies.max(),
        },
    }))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::ethereum::feed::Settings;

    #[test]
    fn the_warm_up_does_not_count_and_what_is_received_again_counts_once() {
        let (rate, second) = (NonZeroU64::new(10), Duration::from_secs(1));
        let offer = Offer { rate, warm_up: second, measured: 2 * second };
        let feed = Feed::new(Settings { offer: Some(offer), ..Settings::default() }, false);
        let keys: Vec<Key> = (0..25).map(|index| feed.line(index).log.key()).collect();
        // Ten of the warm-up, and fifteen of the twenty others.
        let sent: Vec<_> = (0..25).map(|index| 5 * second + index * second / 10).collect();
        let latency = |index: usize| Duration::from_millis(index as u64 - 9);
        let mut receipts = vec![[GAP, 3, 0]];
        let mut receive = |indexes: std::ops::Range<usize>| {
            for index in indexes {
                let at = sent[index] + if index < 10 { 9 * second } else { latency(index) };
                receipts.push([keys[index].block, keys[index].log_index, at.as_nanos() as u64]);
            }
        };
        receive(3..20);
        // The next process gets some again, and misses two.
        receive(15..20);
        receive(22..25);
        receipts.push([GAP, 2, 0]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes: Vec<u8> =
            receipts.iter().flatten().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend([1; RECEIPT as usize - 1]);
        fs::write(&file, bytes).unwrap();
        let line = measured(&feed, &sent, &offer, file.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(
            [&line["due"], &line["sent"], &line["received"], &line["missed"]],
            [20, 15, 13, 2]
        );
        assert_eq!(line["seconds"], 1.415);
        let percentiles = ["p50", "p90", "p99", "p999", "max"];
        let micros = percentiles.map(|name| line["latency"][name].as_u64().unwrap() / 100_000);
        assert_eq!(micros, [70, 140, 150, 150, 150], "{line}");
    }
}
