//! Readers that the writer may stop waiting for: evictable ones, and those of other processes.

use std::sync::Arc;

use mycelium_core::ring::broadcast::{
    Broadcast, BroadcastHandle, Claim, Consumer, HeapStorage, Layout, Peek, Producer,
};

use crate::pages::WORD;

pub(crate) type Ring = Broadcast<HeapStorage>;

fn ring(readers: usize) -> Ring {
    Broadcast::boxed(Layout::exact(4, WORD), readers).unwrap()
}

/// A writer and a reader of a new ring.
pub(crate) fn ends(layout: Layout) -> (Producer<Arc<Ring>>, Consumer<Arc<Ring>>) {
    let ring = Arc::new(Broadcast::boxed(layout, 1).unwrap());
    (Broadcast::producer(ring.clone()).unwrap(), Broadcast::gating(ring).unwrap())
}

pub(crate) fn push(writer: &mut Producer<impl BroadcastHandle>, numbers: core::ops::Range<usize>) {
    numbers.for_each(|number| _ = writer.try_push(&[number], WORD).expect("room was shown"));
}

#[test]
fn an_evicted_reader_gets_what_is_left() {
    let ring = ring(2);
    let mut writer = Broadcast::producer(&ring).unwrap();
    let mut reader = Broadcast::gating_evictable(&ring).unwrap();
    push(&mut writer, 0..4);
    let full = writer.try_push(&[4], WORD).unwrap_err();
    assert_eq!(Some(full.reader), reader.claim());
    assert!(ring.evict(full.reader) && reader.is_evicted());
    assert!(!ring.evict(full.reader), "only once");
    assert_eq!(ring.depth(), 0, "it is not counted");
    let mut word = [0];
    assert_eq!(reader.peek(&mut word), Peek::Message { sequence: 0, length: WORD });
    reader.advance();
    push(&mut writer, 4..6);
    assert_eq!(reader.peek(&mut word), Peek::Evicted);
    push(&mut writer, 6..7);
    assert!(!reader.advance() && !reader.is_waiting());
    assert_eq!(reader.peek(&mut word), Peek::Evicted);
    assert_eq!(reader.peek_exact(&mut word, WORD), None);
    assert_eq!(reader.cursor(), 1, "this was its next message");
    // The entry is not given to another one before it leaves.
    let other = Broadcast::gating(&ring).unwrap();
    assert_ne!(other.entry(), reader.entry());
    drop(reader);
    assert_eq!(Broadcast::gating(&ring).and_then(|third| third.entry()), Some(full.reader.entry));
}

/// The position comes from another process: it never moves backwards, or past what is published.
#[test]
fn an_imported_position_is_clamped() {
    for start in [0, usize::MAX - 2, usize::MAX / 2 - 2] {
        let ring = ring(1).starting_at(start);
        let mut writer = Broadcast::producer(&ring).unwrap();
        let proxy = Broadcast::gating(&ring).unwrap().retaining().into_proxy().unwrap();
        push(&mut writer, 0..4);
        let at = |count: usize| start.wrapping_add(count);
        for (position, kept) in [
            (Some(at(1)), 1),
            (Some(start), 1),
            (Some(start.wrapping_sub(1)), 1),
            (Some(at(3)), 3),
            (Some(at(2)), 3),
            (Some(at(5)), 4),
            (Some(at(4).wrapping_add(1 << (usize::BITS - 1))), 4),
        ] {
            proxy.import(|| position);
            assert_eq!((proxy.kept(), proxy.depth()), (at(kept), 4 - kept), "{position:?}");
        }
        push(&mut writer, 4..6);
        assert_eq!(proxy.depth(), 2);
        proxy.import(|| None);
        assert_eq!(proxy.depth(), 0, "no reader gates there");
        push(&mut writer, 6..10);
        assert!(proxy.evict());
        proxy.import(|| None);
        assert_eq!(proxy.depth(), 4, "it no longer matters");
        push(&mut writer, 10..11);
    }
}

#[test]
fn a_proxy_becomes_a_reader_again() {
    let ring = ring(1);
    let mut writer = Broadcast::producer(&ring).unwrap();
    let reader = Broadcast::observing(&ring).retaining();
    assert!(reader.into_proxy().is_err(), "it has no entry");
    let mut reader = Broadcast::gating(&ring).unwrap().retaining();
    push(&mut writer, 0..4);
    reader.skip_to(2);
    reader.release(1);
    let proxy = reader.into_proxy().unwrap();
    assert_eq!((proxy.kept(), proxy.claim().entry), (1, 0));
    proxy.import(|| Some(2));
    let mut reader = proxy.into_retaining();
    assert_eq!((reader.kept(), reader.cursor(), reader.depth()), (2, 4, 2));
    assert_eq!((reader.can_borrow(), reader.ready(9)), (false, 0));
    push(&mut writer, 4..6);
    assert!(writer.try_push(&[6], WORD).is_err(), "two are retained");
    reader.rewind(2);
    let mut word = [0];
    for sequence in 2..6 {
        let message = Peek::Message { sequence, length: WORD };
        assert_eq!((reader.peek(&mut word), word), (message, [sequence]));
        reader.advance();
    }
    reader.release(3);
    push(&mut writer, 6..7);
    // An evicted one observes.
    let proxy = reader.into_proxy().unwrap();
    let first = proxy.claim();
    assert!(ring.evict(first));
    push(&mut writer, 7..9);
    let mut reader = proxy.into_retaining();
    reader.rewind(4);
    assert_eq!(reader.peek(&mut word), Peek::Gap { missed: 1 });
    // Its entry is free, and the next claim is another one.
    let next = Broadcast::gating(&ring).unwrap().retaining().into_proxy().unwrap().claim();
    assert_eq!(next.entry, first.entry);
    assert_ne!(next.generation, first.generation);
}

/// Only a reader that the writer waits for stands for another process: an eviction stays, and an
/// observer holds nobody up.
#[test]
fn only_a_gating_reader_becomes_a_proxy() {
    let ring = ring(2);
    let mut writer = Broadcast::producer(&ring).unwrap();
    let evictable = Broadcast::gating_evictable(&ring).unwrap().retaining();
    push(&mut writer, 0..4);
    let full = writer.try_push(&[4], WORD).unwrap_err();
    assert!(ring.evict(full.reader));
    push(&mut writer, 4..5);
    let evicted = evictable.into_proxy().expect_err("it was evicted");
    push(&mut writer, 5..9);
    assert!(!ring.evict(full.reader), "it still is");
    drop(evicted);
    let observer = Broadcast::observing_shown(&ring, None).unwrap().retaining();
    push(&mut writer, 9..14);
    let observer = observer.into_proxy().expect_err("nobody waits for it");
    push(&mut writer, 14..19);
    assert_eq!(ring.depth(), 0);
    drop(observer);
}

/// A thread may still import for a proxy that is gone when its reader becomes the next one.
#[test]
fn a_position_of_an_earlier_proxy_of_the_same_reader_counts_no_more() {
    let ring = ring(1);
    let mut writer = Broadcast::producer(&ring).unwrap();
    let first = Broadcast::gating(&ring).unwrap().retaining().into_proxy().unwrap();
    let earlier = first.claim();
    push(&mut writer, 0..3);
    let reader = first.into_retaining();
    ring.import(earlier, || Some(Some(1)));
    let told = reader.claim();
    let second = reader.into_proxy().unwrap();
    assert_eq!(told, Some(second.claim()), "known before");
    assert_ne!(second.claim(), earlier);
    ring.import(earlier, || Some(Some(3)));
    assert_eq!(second.kept(), 0);
    ring.import(second.claim(), || Some(Some(2)));
    assert_eq!(second.kept(), 2);
}

/// A suspended reader gets what is left, the exact number of the others, and is waited for again
/// once it has moved.
#[test]
fn a_suspended_reader_is_waited_for_when_it_moves() {
    for start in [0, usize::MAX - 5] {
        let ring = ring(2).starting_at(start);
        let at = |count: usize| start.wrapping_add(count);
        let mut writer = Broadcast::producer(&ring).unwrap();
        let mut reader = Broadcast::gating_evictable(&ring).unwrap().with_lag(1);
        let borrows = Broadcast::gating(&ring).unwrap();
        let push = |writer: &mut Producer<&Ring>| writer.try_push(&[writer.sequence()], WORD);
        (0..4).for_each(|_| _ = push(&mut writer).unwrap());
        let both = [(reader.claim().unwrap(), at(0)), (borrows.claim().unwrap(), at(0))];
        assert_eq!(writer.behind(at(1)).collect::<Vec<_>>(), both);
        assert!(!writer.suspend(both[1].0), "it borrows");
        drop(borrows);
        let full = push(&mut writer).unwrap_err();
        let late = Claim { generation: full.reader.generation - 1, ..full.reader };
        assert!(!writer.suspend(late), "an earlier claim");
        assert!(writer.suspend(full.reader) && !writer.suspend(full.reader));
        assert!(!reader.is_evicted());
        assert_eq!((ring.depth(), reader.depth()), (0, 4), "it counts at the reader only");
        (0..10).for_each(|_| _ = push(&mut writer).unwrap());
        assert_eq!(reader.depth(), 14);
        let mut word = [0];
        assert_eq!(reader.peek(&mut word), Peek::Gap { missed: 10 });
        // It has moved, but the writer has not checked since.
        let room = (0..5).take_while(|_| push(&mut writer).is_ok()).count();
        assert!(room <= 4, "{room} messages without a check");
        let blocked = writer.find_room();
        assert_eq!(blocked.is_err(), room > 0, "{room}");
        let found = reader.peek(&mut word);
        assert_eq!(if let Peek::Gap { missed } = found { missed } else { 0 }, room);
        for taken in 0..4 {
            let sequence = at(10 + room + taken);
            assert_eq!(reader.peek(&mut word), Peek::Message { sequence, length: WORD });
            assert_eq!(word, [sequence]);
            reader.advance();
            push(&mut writer).unwrap();
            assert!(push(&mut writer).is_err(), "it is waited for");
        }
    }
}
