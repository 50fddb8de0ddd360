//! `docs/wire-format.md` shows an example of each control frame: links write the same bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use mycelium_core::link::{CloseReason, Interest, RejectReason, RunShape, Unit};
use mycelium_core::{Digest, Message};

use crate::pair::conversation::{
    LEFT, RIGHT, name, open, reading, subscribe_to, subscribed, swaps, try_open,
};
use crate::pair::{Pair, first_of_each_kind};
use crate::portable::bodies::codec::Swap;

/// The first frame of each kind, from a conversation that uses all kinds.
fn all_kinds() -> BTreeMap<u16, Vec<u8>> {
    let (mut pair, outgoing, incoming) = reading(Pair::new(), 8);
    pair.sides[LEFT].link.skip(pair.now, outgoing, 5, 1).unwrap();
    pair.settle();
    pair.sides[RIGHT].link.grant(incoming, 0).unwrap();
    pair.sides[RIGHT].link.signal_demand(pair.now, incoming).unwrap();
    pair.settle();
    pair.pass(Duration::from_secs(6));
    pair.reconnect();
    let export = subscribed(&mut pair);
    let again = try_open(&mut pair, export, 77, 105).unwrap();
    pair.sides[LEFT].link.end_stream(pair.now, again).unwrap();
    pair.settle();
    open(&mut pair, export, 78, 0);
    pair.reconnect();
    let export = subscribed(&mut pair);
    pair.sides[LEFT].link.accept(export).unwrap();
    pair.sides[LEFT].link.refuse_resume(pair.now, export, 78).unwrap();
    let unit = Unit::of_bytes(4096);
    let other = Interest { topic: name("others"), unit, ..swaps(8) };
    let (interest, _) = subscribe_to(&mut pair, other);
    pair.sides[RIGHT].link.unsubscribe(interest).unwrap();
    pair.settle();
    let rejected = Interest { topic: name("refused"), ..swaps(8) };
    let (_, export) = subscribe_to(&mut pair, rejected);
    let digest = Digest([5; 16]);
    pair.sides[LEFT].link.reject(export, RejectReason::Digest, digest).unwrap();
    pair.settle();
    pair.sides[RIGHT].link.describe(pair.now, name("swaps"), 168).unwrap();
    pair.settle();
    pair.sides[LEFT].link.answer(pair.now, Some(Swap::DESCRIPTOR), 168).unwrap();
    pair.settle();
    let (interest, export) =
        subscribe_to(&mut pair, Interest { topic: name("quotes"), ..swaps(8) });
    pair.sides[RIGHT].link.recall(pair.now, interest, 79, 300).unwrap();
    pair.sides[LEFT].link.send_retained(pair.now, export, 79, 299, (b"retained", 0)).unwrap();
    pair.settle();
    pair.sides[LEFT].link.close(pair.now, CloseReason::Shutdown);
    pair.settle();
    let [left, right] = &pair.written;
    let mut kinds = first_of_each_kind(left);
    kinds.extend(first_of_each_kind(right));
    kinds.extend(run_and_memory());
    kinds
}

/// Two messages in a run, an offer of shared memory, and a stream that moves there.
fn run_and_memory() -> BTreeMap<u16, Vec<u8>> {
    let (mut pair, outgoing, _) = super::memory::pair([true; 2]);
    let shape = RunShape { stride: 48, skip: 8, length: 40 };
    pair.sides[LEFT].link.send_run(pair.now, outgoing, shape, 2).unwrap();
    pair.settle();
    let token = std::array::from_fn(|at| 0x10 + at as u8);
    let link = &mut pair.sides[LEFT].link;
    link.offer_memory(pair.now, token).unwrap();
    link.skip(pair.now, outgoing, 3, 1).unwrap();
    assert_eq!(link.move_stream(pair.now, outgoing, 3), Ok(105));
    pair.settle();
    let mut kinds = first_of_each_kind(&pair.written[LEFT]);
    kinds.retain(|kind, _| [19, 21, 0x8016].contains(kind));
    kinds
}

pub(super) const KINDS: [(u16, &str); 25] = [
    (1, "hello"),
    (2, "close"),
    (3, "subscribe"),
    (4, "resume"),
    (5, "unsubscribe"),
    (6, "accept"),
    (7, "reject"),
    (8, "stream"),
    (9, "gone"),
    (10, "gap"),
    (11, "end"),
    (12, "window"),
    (13, "ping"),
    (14, "pong"),
    (15, "left"),
    (16, "features"),
    (17, "describe"),
    (18, "descriptor"),
    (19, "run"),
    (20, "demand"),
    (21, "memory"),
    (23, "unit"),
    (24, "recall"),
    (25, "retained"),
    (0x8016, "region"),
];

#[test]
#[cfg_attr(miri, ignore = "searches text for long, and shows nothing that Miri could see")]
fn the_document_shows_the_same_bytes() {
    let received = all_kinds();
    assert_eq!(received.keys().copied().collect::<Vec<_>>(), KINDS.map(|(kind, _)| kind));
    for (kind, name) in KINDS {
        assert_eq!(crate::pair::offered(name), received[&kind], "{name}");
    }
}
