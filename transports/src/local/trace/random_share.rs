//! Chooses a share of messages at random, each independently. A message that is not chosen costs a
//! decrement.

/// Chooses a share of the messages of one sender.
#[derive(Debug)]
pub(crate) struct RandomShare {
    /// The share, from 0 to 1.
    share: f64,
    /// Created with the first choice.
    random: Option<fastrand::Rng>,
    /// How many messages are left out before the next one that is chosen.
    left_out: u64,
}

impl RandomShare {
    /// Creates the chooser of a new sender.
    pub(crate) fn new(share: f64) -> RandomShare {
        RandomShare { share, random: None, left_out: 0 }
    }

    /// Whether the next message is left out. If so, the message counts as passed; if not, call
    /// [`choose`](RandomShare::choose) next.
    #[inline(always)]
    pub(crate) fn leaves_out(&mut self) -> bool {
        let leaves_out = self.left_out > 0;
        self.left_out -= u64::from(leaves_out);
        leaves_out
    }

    /// Returns random numbers for the next message; `None` if it is not chosen after all. `first`
    /// creates the generator; no message is chosen before it can.
    #[inline(never)]
    pub(crate) fn choose(
        &mut self,
        first: impl FnOnce() -> Option<fastrand::Rng>,
    ) -> Option<&mut fastrand::Rng> {
        let RandomShare { share, random, left_out } = self;
        if random.is_none() {
            let first = random.insert(first()?);
            *left_out = gap(*share, first);
            if self.leaves_out() {
                return None;
            }
        }
        let RandomShare { share, random, left_out } = self;
        let random = random.as_mut()?;
        *left_out = gap(*share, random);
        Some(random)
    }
}

/// Returns how many messages are left out before the next one that is chosen, as if each were
/// chosen independently. (The gaps between the successes of independent trials have a geometric
/// distribution.)
fn gap(share: f64, random: &mut fastrand::Rng) -> u64 {
    if share >= 1.0 {
        return 0;
    }
    // The random number is in (0, 1]. A conversion of floats saturates: with a share of 0, all
    // messages are left out.
    let gap = (1.0 - random.f64()).ln() / (-share).ln_1p();
    if gap.is_nan() { u64::MAX } else { gap as u64 }
}
