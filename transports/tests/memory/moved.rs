//! A stream whose readers are in another process: what their memory says after their end.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use mycelium_core::message;
use mycelium_core::ring::broadcast::{Broadcast, Peek};
use mycelium_core::ring::region::{ForeignCursors, ForeignData, ForeignRing};
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    PageSize, Policy, RemoteBell, RingMemory, Schema, SharedRing, Topic,
};
use mycelium_transports::memory::{Mapping, cursor_region};

#[message(topic = "after-the-end", id = 9)]
struct Late {
    number: u64,
}

#[derive(Debug)]
struct NoBell;

impl RemoteBell for NoBell {
    fn ring(&self) {}
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
