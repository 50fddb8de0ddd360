//! Packets that an engine passes on: any bytes give an error, or items within the packet, and a
//! topic that takes them tells its readers of each missing message.

use std::sync::Arc;

use mycelium_core::frame::Limits;
use mycelium_core::link::packet::{Item, Packet};
use mycelium_core::message;
use mycelium_transports::counters::Region;
use mycelium_transports::engine::Incoming;
use mycelium_transports::local::{Delivery, Policy, Schema, Topic, TryRecv};

#[message(topic = "numbers", id = 7)]
struct Number {
    value: u64,
}

/// Reads packets of one sender. Before each stand two bytes with its length.
///
/// # Panics
/// If an item is not in its packet, or a gap is empty.
pub fn packet(data: &[u8]) {
    let topic = Topic::new("numbers", Schema::of::<Number>(), 8, Region::new(16));
    let Ok(topic) = topic else { unreachable!("the capacity is a power of two") };
    let mut incoming = Incoming::new(Arc::clone(&topic));
    let Ok(mut reader) = topic.subscribe::<Number>("reader", Policy::DropOldest) else {
        unreachable!("the topic is empty")
    };
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
        let _ = incoming.take("sender", packet);
        while let TryRecv::Delivery(delivery) = reader.try_recv() {
            if let Delivery::Gap(gap) = delivery {
                assert!(gap.count > 0 || !gap.exact());
            }
        }
    }
}
