//! What a network does to the bytes of one direction of a connection, without I/O and without a
//! clock: for each piece, the proxy gets the next step from here. A seed decides.
//!
//! TCP delivers the bytes of one connection in order or not at all: segments that overtake each
//! other arrive late. So bytes are late, in other pieces, or missing from some byte on; only those
//! of different connections overtake each other.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;

/// What the connections of a proxy suffer from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Each piece is late by this many microseconds. Pieces stay in order, other connections
    /// overtake them.
    Delay(Range<u64>),
    /// At most this many bytes pass in a millisecond.
    Throttle(usize),
    /// Bytes pass one by one.
    Dribble,
    /// The connection ends after this many bytes of one of its directions.
    Cut {
        after: Range<usize>,
        end: End,
    },
    /// After this many bytes of one direction, nothing passes there, and neither side notices: the
    /// connection is half open.
    Stall {
        after: Range<usize>,
    },
    /// The first connections end as soon as they are accepted.
    Refuse {
        connections: u64,
        end: End,
    },
    /// After this many bytes, one of `one_in` is damaged.
    Damage {
        after: usize,
        one_in: usize,
    },
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    /// Bytes that the peer has not read are lost, too.
    Reset,
}

/// What happens to the next bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// After this pause, this many bytes pass.
    Pass(Duration, usize),
    /// No byte passes any more.
    Stall,
    End(End),
}

/// One direction of a connection.
#[derive(Debug)]
pub(crate) struct Way {
    fault: Fault,
    random: Rng,
    /// How many bytes pass before its end, before it stalls, or before the first damage.
    left: usize,
}

impl Way {
    /// Both directions of the connection with this number, from 0.
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

    /// How the connection ends before its first byte, if it does.
    pub(crate) fn refused(&self) -> Option<End> {
        match self.fault {
            Fault::Refuse { end, .. } if self.left == 0 => Some(end),
            _ => None,
        }
    }

    /// What happens to these bytes, of which there is at least one. Damage changes those that pass.
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

/// A stream of bytes in pieces of any length, and what arrives of it.
fn arrives(fault: &Fault, seed: u64, length: usize) -> (Vec<u8>, Option<Step>) {
    let sent: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
    let mut random = Rng::with_seed(seed);
    let [mut way, _] = Way::both(fault, seed, 0);
    let (mut left, mut arrived) = (&sent[..], Vec::new());
    while !left.is_empty() {
        let mut piece = left[..random.usize(1..=left.len().min(512))].to_vec();
        left = &left[piece.len()..];
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            match way.next(rest) {
                Step::Pass(_, 0) => panic!("no progress"),
                Step::Pass(_, count) => {
                    arrived.extend(&rest[..count]);
                    rest = &mut rest[count..];
                }
                end => return (arrived, Some(end)),
            }
        }
    }
    (arrived, None)
}

#[test]
fn bytes_stay_in_order_and_are_missing_at_the_end_only() {
    let sent: Vec<u8> = (0..5000).map(|at| (at * 7) as u8).collect();
    let after = 0..4000;
    for seed in 0..200 {
        for fault in [
            Fault::None,
            Fault::Delay(1..500),
            Fault::Throttle(100),
            Fault::Dribble,
            Fault::Refuse { connections: 0, end: End::Fin },
        ] {
            assert_eq!(arrives(&fault, seed, 5000), (sent.clone(), None), "{fault:?}");
        }
        for (fault, expected) in [
            (Fault::Cut { after: after.clone(), end: End::Fin }, Step::End(End::Fin)),
            (Fault::Cut { after: after.clone(), end: End::Reset }, Step::End(End::Reset)),
            (Fault::Stall { after: after.clone() }, Step::Stall),
        ] {
            let (arrived, end) = arrives(&fault, seed, 5000);
            assert!(sent.starts_with(&arrived) && (arrived.len() < 5000) == end.is_some());
            assert!(end.is_none_or(|end| end == expected), "{fault:?}: {end:?}");
        }
        let (arrived, end) = arrives(&Fault::Damage { after: 100, one_in: 100 }, seed, 5000);
        let damaged = arrived.iter().zip(&sent).filter(|(one, other)| one != other).count();
        assert!(end.is_none() && arrived.len() == sent.len() && damaged > 0, "{damaged}");
        assert_eq!(arrived[..100], sent[..100]);
    }
}

#[test]
fn a_seed_repeats_its_faults_and_connections_differ() {
    let fault = Fault::Cut { after: 0..1_000_000, end: End::Fin };
    let left = |seed, connection| Way::both(&fault, seed, connection).map(|way| way.left);
    assert_eq!(left(7, 3), left(7, 3));
    assert_ne!(left(7, 3), left(7, 4));
    assert_ne!(left(7, 3), left(8, 3));
    // One direction suffers, and each of them does.
    let suffers: Vec<[bool; 2]> =
        (0..100).map(|connection| left(7, connection).map(|left| left < usize::MAX)).collect();
    assert!(suffers.contains(&[true, false]) && suffers.contains(&[false, true]));
    assert!(suffers.iter().all(|[one, other]| one != other));
}
