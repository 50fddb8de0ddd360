//! One publisher and many readers on one thread: the cost of publishing, and the time until all
//! readers have read.

use crate::ends::{Bare, CAPACITY};
use crate::goals::Pair;
use crate::harness::{Column, Contest};
use crate::loops::one_thread::{BATCH, Timed, fan};
use crate::options::Options;
use crate::ours::broadcast as ring;
#[cfg(feature = "rivals")]
use crate::rivals::broadcast as photon;
use crate::rivals::tokio;
use crate::sample::Sample;

const ROW: &str = "broadcast: publish, publish and read";

/// The numbers of readers.
const READERS: [usize; 4] = [1, 4, 16, 64];

/// Creates the names of one column, one for each number of readers.
macro_rules! to {
    ($name:literal) => {
        [
            concat!($name, " to 1"),
            concat!($name, " to 4"),
            concat!($name, " to 16"),
            concat!($name, " to 64"),
        ]
    };
}

const OURS: [&str; 4] = to!("our broadcast");
const TOKIO: [&str; 4] = to!("tokio broadcast");
const PHOTON: [&str; 4] = to!("photon-ring, waits");

fn pairs(rivals: [&'static str; 4], goal: fn(Pair) -> Pair) -> impl Iterator<Item = Pair> {
    OURS.into_iter().zip(rivals).map(move |(ours, rival)| goal(Pair::new(ours, rival)))
}

pub(super) fn publish(options: &Options) -> Contest {
    let [to_one, .., to_most] = OURS;
    let to_many = Pair::new(to_most, to_one).within(1.25);
    let title = "one thread, 56 bytes to many readers, the publisher's cost";
    Contest {
        timed: "512 sends; all readers receive between the timed parts",
        operations: options.operations(4 * BATCH, BATCH).next_multiple_of(BATCH),
        columns: columns(Timed::Sending),
        pairs: std::iter::once(to_many).chain(pairs(TOKIO, |pair| pair.within(0.4))).collect(),
        ..Contest::new("publish", ROW, title)
    }
}

pub(super) fn publish_and_read(options: &Options) -> Contest {
    let title = "one thread, 56 bytes to many readers, published and read by all";
    Contest {
        timed: "512 sends, and 512 receives with checksums by each reader",
        operations: options.operations(2 * BATCH, BATCH).next_multiple_of(BATCH),
        columns: columns(Timed::SendingAndReceiving),
        pairs: pairs(TOKIO, |pair| pair.at_least(7.0))
            .chain(pairs(PHOTON, |pair| pair.within(1.0)))
            .collect(),
        ..Contest::new("publish-read", ROW, title)
    }
}

fn columns(timed: Timed) -> Vec<Column> {
    let columns = READERS.into_iter().enumerate().flat_map(|(index, readers)| {
        macro_rules! column {
            ($names:ident, $ends:expr) => {{
                let (sender, receivers) = $ends;
                let receivers = receivers.into_iter().map(Bare::new).collect();
                fan($names[index], timed, (Bare::new(sender), receivers))
            }};
        }
        [
            column!(OURS, ring::many(CAPACITY, readers)),
            column!(TOKIO, tokio::many::<Sample>(readers)),
            #[cfg(feature = "rivals")]
            column!(PHOTON, photon::many(readers)),
        ]
    });
    columns.collect()
}
