//! The items that queues move (a number, a message of 56 bytes, a message of 64 bytes), and the
//! checksum that shows that all items arrived, in order.

use std::hint::black_box;

use mycelium_core::message;
use serde::{Deserialize, Serialize};
use zerocopy::{Immutable, IntoBytes, KnownLayout, TryFromBytes};

/// The message, 56 bytes without padding.
#[message(topic = "samples", id = 1)]
#[derive(
    Debug,
    Default,
    PartialEq,
    Serialize,
    Deserialize,
    Immutable,
    IntoBytes,
    KnownLayout,
    TryFromBytes,
)]
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

/// The number of different messages. They are prepared in advance, so that creating them costs the
/// loop nothing, and they are few: if they filled a page, some ring would be aligned such that each
/// load follows a store at the same offset of another page, which processors treat as a conflict.
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
#[message(topic = "tallies", id = 25)]
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) sum: u64,
}

impl Tally {
    #[inline]
    pub(crate) fn add_word(&mut self, word: u64) {
        self.count += 1;
        self.sum = self.sum.rotate_left(5) ^ word;
    }
}

impl Sample {
    /// Returns the sum of all words of the message except its `number`.
    #[inline]
    fn sum(&self) -> u64 {
        self.time
            .wrapping_add(self.price.to_bits())
            .wrapping_add(self.volume.to_bits())
            .wrapping_add(self.level.cast_unsigned())
            .wrapping_add(self.block)
            .wrapping_add(u64::from(self.venue) << 32 | u64::from(self.flags))
    }
}

/// An item that shows whether it arrived, and whether in order.
pub(crate) trait Item: Copy + Default + Send + Sync + 'static {
    /// Items prepared in advance, so that creating them costs the loop nothing.
    type Supply: AsMut<[Self]>;

    fn supply() -> Self::Supply;

    /// The item to send at position `number`.
    #[inline]
    fn nth(supply: &mut Self::Supply, number: usize) -> &Self {
        &supply.as_mut()[number % SAMPLES]
    }

    /// Adds an item that arrived.
    fn add(&self, tally: &mut Tally);

    /// Returns the tally of `count` items that all arrived.
    fn expected(count: usize) -> Tally {
        let (mut supply, mut tally) = (Self::supply(), Tally::default());
        (0..count).for_each(|number| Self::nth(&mut supply, number).add(&mut tally));
        tally
    }
}

/// Each item is its own number.
impl Item for u64 {
    type Supply = [u64; 1];

    fn supply() -> [u64; 1] {
        [0]
    }

    #[inline]
    fn nth(supply: &mut [u64; 1], number: usize) -> &u64 {
        supply[0] = number as u64;
        &supply[0]
    }

    /// The sum collects every bit that differs. Cheaper than [`Tally::add_word`], which would
    /// dominate the cost of a small message.
    #[inline]
    fn add(&self, tally: &mut Tally) {
        tally.sum |= *self ^ tally.count;
        tally.count += 1;
    }
}

impl Item for Sample {
    type Supply = [Sample; SAMPLES];

    fn supply() -> [Sample; SAMPLES] {
        // Hides the values from the compiler. Hiding each item instead would cost a store per item,
        // which affects some columns more than others.
        black_box(samples())
    }

    /// Adds all 56 bytes.
    #[inline]
    fn add(&self, tally: &mut Tally) {
        tally.add_word(self.number.wrapping_add(self.sum()));
    }
}

/// A message that fills a cache line and leaves no space for a stamp.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wide {
    sample: Sample,
    more: u64,
}

const _: () = assert!(size_of::<Wide>() == 64);

impl Item for Wide {
    type Supply = [Wide; SAMPLES];

    fn supply() -> [Wide; SAMPLES] {
        black_box(samples().map(|sample| Wide { sample, more: !sample.time }))
    }

    #[inline]
    fn add(&self, tally: &mut Tally) {
        tally.add_word(self.sample.number.wrapping_add(self.sample.sum()).wrapping_add(self.more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally<T: Item>(items: &[T]) -> Tally {
        let mut tally = Tally::default();
        items.iter().for_each(|item| item.add(&mut tally));
        tally
    }

    fn swaps_and_losses_show<T: Item>() {
        let mut supply = T::supply();
        let items: [T; SAMPLES] = std::array::from_fn(|number| *T::nth(&mut supply, number));
        assert_eq!(tally(&items), T::expected(SAMPLES));
        assert_ne!(tally(&items[1..]), T::expected(SAMPLES));
        assert_ne!(tally(&items[..SAMPLES - 1]), T::expected(SAMPLES));
        let mut swapped = items;
        swapped.swap(3, 4);
        assert_ne!(tally(&swapped), T::expected(SAMPLES));
    }

    #[test]
    fn the_sum_sees_losses_swaps_and_wrong_bytes() {
        swaps_and_losses_show::<u64>();
        swaps_and_losses_show::<Sample>();
        swaps_and_losses_show::<Wide>();
        let mut changed = samples();
        changed[9].flags ^= 1;
        assert_ne!(Sample::expected(SAMPLES), tally(&changed));
    }
}
