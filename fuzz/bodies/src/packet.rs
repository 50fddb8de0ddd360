//! Packets that an engine passes on: any bytes give an error, or items within the packet, and a
//! topic that takes them, as they come, from a log or from a work queue, tells its readers of missing
//! messages.

use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use mycelium_core::frame::Limits;
use mycelium_core::link::packet::{Item, Packet};
use mycelium_core::message;
use mycelium_transports::counters::Region;
use mycelium_transports::engine::{Incoming, Place, Replay, Stored, Worker};
use mycelium_transports::local::{Delivery, Policy, Schema, Subscription, Topic, TryRecv};

#[message(topic = "numbers", id = 7)]
struct Number {
    value: u64,
}

/// Reads packets of one sender. Before each stand two bytes with its length.
///
/// # Panics
/// If an item is not in its packet, or a gap is empty.
pub fn packet(data: &[u8]) {
    let (topic, mut reader) = topic(Policy::DropOldest);
    let mut incoming = Incoming::new(topic);
    let (topic, mut slow_reader) = self::topic(Policy::Block);
    let mut replay = Replay::new(topic, Place::default(), "log");
    let (topic, mut busy_reader) = self::topic(Policy::Block);
    let Ok(mut worker) = Worker::new(topic, "queue", 1) else { unreachable!("one publisher") };
    let mut position = 0;
    let mut rest = data;
    while let [low, high, bytes @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(bytes.len());
        let (packet, more) = bytes.split_at(length);
        rest = more;
        let mut within = 0;
        for item in Packet::new(packet, 7, Limits::default()) {
            match item {
                Ok(Item::Message(frame)) => within += frame.payload().len(),
                Ok(Item::Run { shape, bytes, .. }) => {
                    assert!(bytes.len().is_multiple_of(shape.stride as usize));
                    within += bytes.len();
                }
                Ok(Item::List(_) | Item::Start(_) | Item::End(_)) | Err(_) => {}
            }
        }
        assert!(within <= packet.len(), "items are in their packet");
        // An error concerns the packet; the next one counts.
        let _ = incoming.take("sender", packet, Duration::ZERO);
        take_all(&mut reader);
        position += 1;
        let stored_at = Duration::from_secs(position);
        let (process, redelivered) = ("sender-1", false);
        let stored = Stored { position, process, stored_at, redelivered, packet };
        replay.note(packet);
        while replay.take(&stored, Waker::noop()).is_pending() {
            // The reader makes room.
            assert!(take_all(&mut slow_reader) > 0, "a packet waits for its readers alone");
        }
        assert!(replay.place(false).position <= position);
        let mut take = || worker.take(packet, false, || position, stored_at, Waker::noop());
        let taken = loop {
            match take() {
                Poll::Ready(taken) => break taken.is_ok(),
                Poll::Pending => {
                    assert!(take_all(&mut busy_reader) > 0, "a packet waits for its readers alone");
                }
            }
        };
        take_all(&mut busy_reader);
        let mut last = None;
        while let Poll::Ready(finished) = worker.finished(stored_at, Waker::noop()) {
            last = Some(finished.of);
        }
        assert_eq!(last.filter(|_| taken), taken.then_some(position), "it is finished");
    }
}

fn topic(policy: Policy) -> (Arc<Topic>, Subscription<Number>) {
    let topic = Topic::new("numbers", Schema::of::<Number>(), 8, Region::new(16));
    let Ok(topic) = topic else { unreachable!("the capacity is a power of two") };
    let Ok(reader) = topic.subscribe("reader", policy) else { unreachable!("the topic is empty") };
    (topic, reader)
}

/// Takes what there is. Returns the number of deliveries.
fn take_all(reader: &mut Subscription<Number>) -> usize {
    let mut count = 0;
    while let TryRecv::Delivery(delivery) = reader.try_recv() {
        if let Delivery::Gap(gap) = delivery {
            assert!(gap.count > 0 || !gap.exact());
        }
        count += 1;
    }
    reader.done();
    count
}
