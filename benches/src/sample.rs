//! The message that every column moves, 56 bytes, and the checksum that shows that all arrived.

use mycelium_core::message;
use serde::{Deserialize, Serialize};

/// The message, 56 bytes without padding.
#[message(topic = "samples", id = 1)]
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) number: u64,
    pub(crate) time: u64,
    pub(crate) price: f64,
    pub(crate) volume: f64,
    pub(crate) level: i64,
    pub(crate) block: u64,
    pub(crate) venue: u32,
    pub(crate) flags: u32,
}

const _: () = assert!(size_of::<Sample>() == 56);

/// The number of different messages. They are prepared in advance, so that making one costs the loop
/// nothing, and they are few: if they filled a page, some ring would be aligned such that each load
/// follows a store at the same offset of another page, which processors treat as a conflict.
pub(crate) const SAMPLES: usize = 16;

/// The messages that every column sends in turn.
pub(crate) fn samples() -> [Sample; SAMPLES] {
    std::array::from_fn(|index| {
        let number = index as u64;
        // An irregular multiplier, so that words of two messages are never equal by accident.
        let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Sample {
            number,
            time: 1_700_000_000_000_000_000 + (mixed >> 24),
            price: (mixed >> 40) as f64 / 100.0,
            volume: (mixed >> 32) as f64,
            level: (mixed >> 44) as i64 - (1 << 19),
            block: 20_000_000 + (mixed >> 50),
            venue: (mixed >> 56) as u32,
            flags: (mixed >> 60) as u32,
        }
    })
}

/// The messages that arrived: their number, and a sum of their bytes that depends on the order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Tally {
    /// Adds all 56 bytes of a message.
    #[inline]
    pub(crate) fn add(&mut self, sample: &Sample) {
        self.add_word(sample.number.wrapping_add(without_number(sample)));
    }

    /// Adds a message without its number, which is a time.
    #[inline]
    pub(crate) fn add_stamped(&mut self, sample: &Sample) {
        self.add_word(without_number(sample));
    }

    /// Adds a message with one more word.
    #[inline]
    pub(crate) fn add_with(&mut self, sample: &Sample, more: u64) {
        self.add_word(sample.number.wrapping_add(without_number(sample)).wrapping_add(more));
    }

    /// Adds a message that is its own position: the sum collects every bit that differs. Cheaper than
    /// [`add_word`](Tally::add_word), which would dominate the cost of a small message.
    #[inline]
    pub(crate) fn add_number(&mut self, number: u64) {
        self.sum |= number ^ self.count;
        self.count += 1;
    }

    #[inline]
    pub(crate) fn add_word(&mut self, word: u64) {
        self.count += 1;
        self.sum = self.sum.rotate_left(5) ^ word;
    }

    /// The tally of `count` messages that all arrived.
    pub(crate) fn expected(count: usize, mut add: impl FnMut(&mut Tally, &Sample)) -> Tally {
        let samples = samples();
        let mut tally = Tally::default();
        (0..count).for_each(|number| add(&mut tally, &samples[number % SAMPLES]));
        tally
    }
}

#[inline]
fn without_number(sample: &Sample) -> u64 {
    sample
        .time
        .wrapping_add(sample.price.to_bits())
        .wrapping_add(sample.volume.to_bits())
        .wrapping_add(sample.level.cast_unsigned())
        .wrapping_add(sample.block)
        .wrapping_add(u64::from(sample.venue) << 32 | u64::from(sample.flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_sees_losses_swaps_and_wrong_bytes() {
        let samples = samples();
        let tally = |order: &[Sample]| {
            let mut tally = Tally::default();
            order.iter().for_each(|sample| tally.add(sample));
            tally
        };
        let right = tally(&samples);
        assert_eq!(right, Tally::expected(SAMPLES, Tally::add));
        assert_ne!(right, tally(&samples[1..]));
        let mut swapped = samples;
        swapped.swap(3, 4);
        assert_ne!(right, tally(&swapped));
        let mut changed = samples;
        changed[9].flags ^= 1;
        assert_ne!(right, tally(&changed));
    }
}
