//! Packets: the example of `docs/wire-format.md`, and bytes that are none.

use mycelium_core::frame::{Limits, write_message};
use mycelium_core::link::packet::{
    END_LEN, Item, Packet, RUN_HEADER_LEN, START_LEN, Start, envelope, write_end, write_list,
    write_run, write_start,
};
use mycelium_core::link::{LinkError, Name, RunError, RunShape};
use mycelium_core::{Message, WriteError};

use crate::pair::offered;
use crate::portable::bodies::codec::Swap;

const SHAPE: RunShape = RunShape { stride: 48, skip: 8, length: 40 };

fn start<N>(publisher: N) -> Start<N> {
    Start { publisher, epoch: 77, next: 9, ordinal: 2, starts: 5, unstored: 0 }
}

/// Returns the packet of the example: a message, a run of two, and the end.
fn packet() -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let mut at = write_start(&mut bytes, &start(Name::truncated("Feed"))).unwrap();
    assert_eq!(at, START_LEN);
    let swap = Swap::golden();
    at += write_message(&mut bytes[at..], &envelope(Swap::ID, 9), &swap).unwrap();
    let mut items = [[0; 48]; 2];
    for item in &mut items {
        item[8..].copy_from_slice(mycelium_core::Fixed::encoded(&swap));
    }
    let items = items.concat();
    at += write_run(&mut bytes[at..], 10, SHAPE, items.len()).unwrap();
    bytes[at..at + items.len()].copy_from_slice(&items);
    at += items.len();
    let length = write_end(&mut bytes[at..], 12).unwrap();
    assert_eq!(length, END_LEN);
    bytes.truncate(at + length);
    bytes
}

fn items(bytes: &[u8]) -> Packet<'_> {
    Packet::new(bytes, 1, Limits::default())
}

#[test]
fn a_golden_packet_is_written_and_read() {
    let bytes = packet();
    assert_eq!(bytes, offered("packet"));
    let items: Result<Vec<_>, _> = items(&bytes).collect();
    let items = items.unwrap();
    let [
        Item::Start(found),
        Item::Message(frame),
        Item::Run { first, shape, bytes },
        Item::End(end),
    ] = items[..]
    else {
        panic!("{items:?}")
    };
    assert_eq!(found, start("Feed"));
    // The bytes may lie anywhere, so the message is not read in place.
    assert_eq!(frame.header().sequence(), 9);
    assert_eq!(mycelium_core::decode(frame.payload()), Ok(Swap::golden()));
    assert_eq!((first, shape, bytes.len(), end), (10, SHAPE, 96, 12));
}

#[test]
fn a_list_says_how_many_starts_there_were() {
    let mut list = [0; START_LEN];
    write_list(&mut list, 5).unwrap();
    let found = items(&list).next();
    assert!(matches!(found, Some(Ok(Item::List(5)))), "{found:?}");
    assert!(items(&[]).next().is_none());
    // It names no start by itself.
    let end = [&list[..], &packet()[START_LEN..]].concat();
    let found = items(&end).nth(1);
    assert!(matches!(found, Some(Err(LinkError::Stream { number: 1 }))), "{found:?}");
}

#[test]
fn bytes_that_are_no_packet_are_an_error_and_the_last_item() {
    let bytes = packet();
    let message = &bytes[START_LEN..];
    let mut without_name = items(message);
    let found = without_name.next();
    assert!(matches!(found, Some(Err(LinkError::Stream { number: 1 }))), "{found:?}");
    assert!(without_name.next().is_none());
    let mut other_type = Packet::new(&bytes, 2, Limits::default()).skip(1);
    let found = other_type.next();
    assert!(matches!(found, Some(Err(LinkError::Type { expected: 2, found: 1 }))), "{found:?}");
    // No message follows after the last number.
    let mut last = bytes[..START_LEN + 64].to_vec();
    last[START_LEN + 16..][..8].fill(0xff);
    let found = items(&last).nth(1);
    assert!(matches!(found, Some(Err(LinkError::Sequence { found: u64::MAX, .. }))), "{found:?}");
    // A run that claims more than the packet has.
    let run = START_LEN + 64;
    let cut = &bytes[..run + RUN_HEADER_LEN + 95];
    let found = items(cut).nth(2);
    let error = RunError::Length { found: 96, limit: 95 };
    assert!(matches!(found, Some(Err(LinkError::Run { stream: 1, error: is })) if is == error));
    for cut in 1..bytes.len() {
        let found: Vec<_> = items(&bytes[..cut]).collect();
        let ends = [START_LEN, run, bytes.len() - END_LEN].contains(&cut);
        assert_eq!(found.iter().all(Result::is_ok), ends, "{cut}");
        assert!(found.iter().rev().skip(1).all(Result::is_ok), "nothing follows an error");
    }
    let needed = START_LEN;
    let written = write_list(&mut [0; 8], 1);
    assert_eq!(written, Err(WriteError::Space { needed, available: 8 }));
}
