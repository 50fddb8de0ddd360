//! What a network does to the bytes of one direction of a connection, without I/O and without a
//! clock. For each piece, the proxy asks here for the next step; a seed decides.
//!
//! TCP delivers the bytes of one connection in order or not at all: when segments overtake each
//! other, bytes only arrive late. So bytes are late, split differently, or missing from some byte
//! on. Bytes of different connections may overtake each other.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// The faults of a proxy's connections.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Each piece is late by this many microseconds. The pieces of a connection stay in order, but
    /// other connections may overtake them.
    Delay(Range<u64>),
    /// At most this many bytes pass per millisecond.
    Throttle(usize),
    /// Bytes pass one by one.
    Dribble,
    /// The connection ends after this many bytes of one of its directions.
    Cut {
        after: Range<usize>,
        end: End,
    },
    /// After this many bytes of one direction, nothing more passes there, and neither side notices:
    /// the connection is half open.
    Stall {
        after: Range<usize>,
    },
    /// The first connections end as soon as they are accepted.
    Refuse {
        connections: u64,
        end: End,
    },
    /// After this many bytes, one byte of `one_in` is damaged.
    Damage {
        after: usize,
        one_in: usize,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    /// The peer also loses the bytes that it has not read.
    Reset,
}

/// What happens to the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// This many bytes pass after this pause.
    Pass(Duration, usize),
    /// No more bytes pass.
    Stall,
    End(End),
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Way {
    fault: Fault,
    random: Rng,
    /// How many bytes pass before the end, the stall, or the first damage.
    left: usize,
}

impl Way {
    /// Returns both directions of a connection, whose number counts from 0.
    pub(crate) fn both(fault: &Fault, seed: u64, connection: u64) -> [Way; 2] {
        let mut random = Rng::with_seed(seed.wrapping_mul(1 << 20).wrapping_add(connection));
        let suffering = random.usize(..2);
        [0, 1].map(|way| {
            let left = match fault {
                Fault::Cut { after, .. } | Fault::Stall { after } if way == suffering => {
                    random.usize(after.clone())
                }
                Fault::Refuse { connections, .. } if connection < *connections => 0,
                Fault::Damage { after, .. } => *after,
                _ => usize::MAX,
            };
            Way { fault: fault.clone(), random: random.fork(), left }
        })
    }

    /// Returns how the connection ends if it ends before its first byte.
    pub(crate) fn refused(&self) -> Option<End> {
        match self.fault {
            Fault::Refuse { end, .. } if self.left == 0 => Some(end),
            _ => None,
        }
    }

    /// Returns what happens to these bytes, of which there is at least one. May damage bytes that
    /// pass.
    pub(crate) fn next(&mut self, bytes: &mut [u8]) -> Step {
        let (mut pause, mut count) = (Duration::ZERO, bytes.len());
        match &self.fault {
            Fault::None | Fault::Refuse { .. } => {}
            Fault::Delay(late) => pause = Duration::from_micros(self.random.u64(late.clone())),
            Fault::Throttle(most) => (pause, count) = (Duration::from_millis(1), count.min(*most)),
            Fault::Dribble => count = 1,
            Fault::Cut { end, .. } if self.left == 0 => return Step::End(*end),
            Fault::Stall { .. } if self.left == 0 => return Step::Stall,
            Fault::Cut { .. } | Fault::Stall { .. } => count = count.min(self.left),
            Fault::Damage { one_in, .. } => {
                let whole = self.left.min(count);
                self.left -= whole;
                for byte in &mut bytes[whole..] {
                    if self.random.usize(..*one_in) == 0 {
                        *byte ^= self.random.u8(1..);
                    }
                }
                return Step::Pass(pause, count);
            }
        }
        self.left -= count;
        Step::Pass(pause, count)
    }
}
