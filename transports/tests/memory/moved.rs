//! A stream whose readers are in another process: what their memory says after their end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mycelium_core::doorbell::WakePath;
use mycelium_core::message;
use mycelium_core::ring::broadcast::{Broadcast, Peek};
use mycelium_core::ring::region::{ForeignCursors, ForeignData, ForeignRing};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, MappedRing, PageSize, Policy, RemoteBell, RingMemory, Schema, SharedRing, Topic,
    TryRecv,
};
use mycelium_transports::memory::{Mapping, cursor_region};
use zerocopy::IntoBytes;

#[message(topic = "after-the-end", id = 9)]
#[derive(Debug)]
struct Late {
    number: u64,
}

#[derive(Debug)]
struct NoBell;

impl RemoteBell for NoBell {
    fn ring(&self, _: WakePath) {}

    fn own_path(&self) -> WakePath {
        WakePath::Thread
    }
}

/// A process whose connection has ended may still write into its memory.
#[test]
fn positions_after_the_end_of_a_connection_do_not_count() {
    let memory = RingMemory::Shared { pages: PageSize::Small, is_required: true };
    let schema = Schema::of::<Late>();
    let topic =
        Topic::with_memory("after-the-end", schema, 16, 4, memory, Region::new(16)).unwrap();
    let mut egress = topic.egress_reader::<()>("far", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Late>("publisher", 7).unwrap();
    let stream = &mut egress.streams()[0];
    let (file, proxy) = stream.memory().unwrap();
    let attach = |file: OwnedFd| Mapping::attach(file, 1 << 20, true).unwrap();
    let data = ForeignData::attach(attach(file.try_clone().unwrap())).unwrap();
    let (layout, identity) = stream.ring();
    let (own, cursors) = cursor_region("positions", layout, 3, identity).unwrap();
    let theirs = Broadcast::new(ForeignRing::new(data, own, proxy).unwrap(), layout).unwrap();
    let mut reader = Broadcast::gating_from(&theirs, 0).unwrap();
    let cursors = ForeignCursors::attach(attach(cursors), layout, 3, identity).unwrap();
    stream.move_to_memory(cursors, Arc::new(NoBell));
    for number in 0..8 {
        assert!(publisher.try_emit(Late { number }).is_ok());
    }
    let mut take = |count: usize| {
        for _ in 0..count {
            assert!(matches!(reader.peek(&mut [0]), Peek::Message { .. }));
            reader.advance();
        }
        reader.flush();
    };
    take(3);
    stream.update(false);
    assert_eq!(stream.kept(), 3);
    stream.remote_readers().unwrap().peer_is_gone();
    take(3);
    stream.update(false);
    assert_eq!(stream.kept(), 3, "nothing of it is read any more");
}

/// The messages of a stream before its move are in one ring of the reader's process, those after it
/// in the publisher's memory.
#[test]
fn a_latest_reader_passes_over_the_messages_before_a_move() {
    let memory = RingMemory::Shared { pages: PageSize::Small, is_required: true };
    let schema = Schema::of::<Late>();
    let topic = |name, memory| Topic::with_memory(name, schema, 16, 4, memory, Region::new(16));
    let here = topic("after-the-end", memory).unwrap();
    let mut egress = here.egress_reader::<()>("far", Policy::DropOldest).unwrap();
    let mut publisher = here.publisher::<Late>("publisher", 7).unwrap();
    let stream = &mut egress.streams()[0];
    let there = topic("after-the-end", RingMemory::Heap).unwrap();
    let mut latest = there.subscribe::<Late>("latest", Policy::Latest).unwrap();
    let mut left = there.subscribe::<Late>("left", Policy::Latest).unwrap();
    let mut remote = there.remote_publisher("publisher", 7, 0).unwrap();
    for number in 0..2 {
        assert!(publisher.try_emit(Late { number }).is_ok());
        remote.push(Late { number }.as_bytes(), false).unwrap();
    }
    let (file, proxy) = stream.memory().unwrap();
    let data =
        ForeignData::attach(Mapping::attach(file.try_clone().unwrap(), 1 << 20, true).unwrap());
    let (layout, identity) = stream.ring();
    let (cursors, _file) = cursor_region("positions", layout, 3, identity).unwrap();
    let ring = MappedRing::new(data.unwrap(), cursors, 3, proxy).unwrap();
    let _mapped = remote.continue_in_memory(ring, Arc::new(NoBell)).unwrap();
    assert!(publisher.try_emit(Late { number: 2 }).is_ok());
    for reader in [&mut latest, &mut left] {
        assert_eq!(reader.depth(), 3);
        match reader.try_recv() {
            TryRecv::Delivery(Delivery::Gap(gap)) => assert_eq!((gap.count, gap.exact), (2, true)),
            other => panic!("expected a gap, found {other:?}"),
        }
    }
    assert!(
        matches!(latest.try_recv(), TryRecv::Delivery(Delivery::Msg(late)) if late.number == 2)
    );
    assert_eq!(left.depth(), 1);
}
