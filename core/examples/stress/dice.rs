//! Pseudo-random numbers: splitmix64, by Sebastiano Vigna.

#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// The numbers of a seed and a number within it, for a round or a thread.
    pub(crate) fn of(seed: u64, name: u64) -> Dice {
        Dice(scramble(seed ^ scramble(name)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.0)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in this many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

pub(crate) fn scramble(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
