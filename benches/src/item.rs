//! The items that queues move: a number, a message of 56 bytes, a message of 64 bytes.

use std::hint::black_box;

use crate::sample::{SAMPLES, Sample, Tally, samples};

/// An item that shows whether it arrived, and in order.
pub(crate) trait Item: Copy + Default + Send + Sync + 'static {
    /// Items prepared in advance, so that making one costs the loop nothing.
    type Supply;

    fn supply() -> Self::Supply;

    /// The item to send at position `number`.
    fn nth(supply: &mut Self::Supply, number: usize) -> &Self;

    /// Adds an item that arrived.
    fn add(&self, tally: &mut Tally);

    /// The tally of `count` items that all arrived.
    fn expected(count: usize) -> Tally {
        let (mut supply, mut tally) = (Self::supply(), Tally::default());
        (0..count).for_each(|number| Self::nth(&mut supply, number).add(&mut tally));
        tally
    }
}

/// Each item is its own number.
impl Item for u64 {
    type Supply = u64;

    fn supply() -> u64 {
        0
    }

    #[inline]
    fn nth(supply: &mut u64, number: usize) -> &u64 {
        *supply = number as u64;
        supply
    }

    #[inline]
    fn add(&self, tally: &mut Tally) {
        tally.add_number(*self);
    }
}

impl Item for Sample {
    type Supply = [Sample; SAMPLES];

    fn supply() -> [Sample; SAMPLES] {
        // Hides the values from the compiler. Hiding each item instead would cost a store per item,
        // which affects some columns more than others.
        black_box(samples())
    }

    #[inline]
    fn nth(supply: &mut [Sample; SAMPLES], number: usize) -> &Sample {
        &supply[number % SAMPLES]
    }

    #[inline]
    fn add(&self, tally: &mut Tally) {
        tally.add(self);
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
    fn nth(supply: &mut [Wide; SAMPLES], number: usize) -> &Wide {
        &supply[number % SAMPLES]
    }

    #[inline]
    fn add(&self, tally: &mut Tally) {
        let Wide { sample, more } = self;
        tally.add_with(sample, *more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swaps_and_losses_show<T: Item>() {
        let mut supply = T::supply();
        let items: [T; SAMPLES] = std::array::from_fn(|number| *T::nth(&mut supply, number));
        let tally = |items: &[T]| {
            let mut tally = Tally::default();
            items.iter().for_each(|item| item.add(&mut tally));
            tally
        };
        assert_eq!(tally(&items), T::expected(SAMPLES));
        assert_ne!(tally(&items[..SAMPLES - 1]), T::expected(SAMPLES));
        let mut swapped = items;
        swapped.swap(3, 4);
        assert_ne!(tally(&swapped), T::expected(SAMPLES));
    }

    #[test]
    fn the_tally_of_each_item_sees_swaps_and_losses() {
        swaps_and_losses_show::<u64>();
        swaps_and_losses_show::<Sample>();
        swaps_and_losses_show::<Wide>();
    }
}
