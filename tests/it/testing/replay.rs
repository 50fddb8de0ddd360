//! `ServiceTest::replay`: a recording as the input of a service.
#![cfg(feature = "record")]

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mycelium::testing::ServiceTest;
use mycelium::untyped::MessageType;
use mycelium::{Context, Delivery, Message, Result, message, service};
use mycelium_record::{Recorded, Recording, Stream};

use crate::support::Directory;

#[message(topic = "prices", id = 1)]
struct Price {
    value: u64,
}

#[message(topic = "changes", id = 2)]
#[derive(Debug, PartialEq)]
struct Change {
    value: u64,
    milliseconds: u64,
}

/// Emits what it reads, with the time since the start.
struct Clock;

#[service(reads(Price), emits(Change))]
impl Clock {
    async fn run(&mut self, ctx: &mut Context<Self>) -> Result<()> {
        let begin = ctx.now();
        let mut prices = ctx.subscribe::<Price>()?;
        while let Some(delivery) = prices.recv().await {
            if let Delivery::Msg(price) = delivery {
                let milliseconds = (ctx.now() - begin).as_millis() as u64;
                ctx.emit(Change { value: price.value, milliseconds }).await?;
            }
        }
        Ok(())
    }
}

/// Writes a recording in which a price follows 2 ms after the other, from two publishers in turn.
fn recording(directory: &Directory, count: u64, descriptor: &mycelium_core::Descriptor) {
    let mut form = vec![0; descriptor.canonical(0, &mut []).1];
    _ = descriptor.canonical(0, &mut form);
    let message = Arc::new(MessageType { id: 1, form });
    let mut recording = Recording::new();
    let mut begin = |topic: &str, publisher: &str, epoch| {
        let (node, topic, publisher) = ("a".to_owned(), topic.to_owned(), publisher.to_owned());
        let stream = Stream { node, topic, publisher, epoch, message: message.clone() };
        recording.begin(stream, 0, 5).unwrap()
    };
    let streams = [begin("prices", "One", 1), begin("prices", "Two", 2)];
    let other = begin("others", "One", 3);
    for number in 0..count {
        let value = [number, 0].map(u64::to_le_bytes).concat();
        let recorded = Recorded {
            sequence: number / 2,
            received_at: 1_700_000_000_000_000_000 + 2_000_000 * number,
            sent_at: None,
            trace: None,
            retained: false,
            bytes: &value[..descriptor.size],
        };
        recording.message(streams[(number % 2) as usize], &recorded).unwrap();
        recording.message(other, &Recorded { sequence: number, ..recorded }).unwrap();
    }
    fs::create_dir_all(&directory.0).unwrap();
    fs::write(directory.0.join("day.mcap"), recording.finish().0).unwrap();
}

#[test]
fn a_service_gets_the_recorded_messages_at_their_times() {
    let directory = Directory::new("replay");
    recording(&directory, 3_000, Price::DESCRIPTOR);
    let mut test = ServiceTest::new(|| Clock);
    assert_eq!(test.replay(directory.0.join("day.mcap")), 3_000);
    let changes = test.receive_all::<Change>();
    assert!(changes.iter().enumerate().all(|(number, change)| {
        let number = number as u64;
        *change == Change { value: number, milliseconds: 2 * number }
    }));
    assert_eq!(changes.len(), 3_000);
    test.advance(Duration::from_secs(1));
    test.finish().unwrap();
}

#[test]
#[should_panic(expected = "day.mcap: the recording is cut off")]
fn a_recording_that_is_cut_off_is_named() {
    let directory = Directory::new("replay-cut");
    recording(&directory, 2, Price::DESCRIPTOR);
    let path = directory.0.join("day.mcap");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    ServiceTest::new(|| Clock).replay(path);
}

#[test]
#[should_panic(
    expected = "the messages of topic `prices` (there) are not those of the test (here)"
)]
fn another_layout_is_named() {
    let directory = Directory::new("replay-layout");
    recording(&directory, 2, Change::DESCRIPTOR);
    ServiceTest::new(|| Clock).replay(directory.0.join("day.mcap"));
}
