//! Messages whose last list is written in place.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use mycelium_core::message;
use mycelium_transports::conformance::NoTasks;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, LatestByKey, OnStall, Policy, Publisher, Refusal, Retain, Schema, Start,
    SubscribeOptions, Subscription, Topic, TryRecv, WhenFull,
};
use proptest::prelude::*;

use super::cases;

#[message(topic = "images", max = "64 KiB")]
#[derive(Debug, PartialEq)]
struct Image {
    number: u32,
    name: String,
    samples: Vec<u16>,
}

fn image(number: u32, len: usize) -> Image {
    let samples = (0..len).map(|place| sample(number, place)).collect();
    Image { number, name: name(number), samples }
}

fn head(number: u32) -> Image {
    // What the list has is left out.
    Image { number, name: name(number), samples: vec![7; 3] }
}

fn name(number: u32) -> String {
    "n".repeat(number as usize % 20)
}

fn sample(number: u32, place: usize) -> u16 {
    (number as usize * 31 + place) as u16
}

fn topic(capacity: usize) -> Arc<Topic> {
    Topic::new("images", Schema::of::<Image>(), capacity, Region::new(64)).unwrap()
}

/// Reserves `len` samples, writes `sent` of them, and sends these.
fn send(publisher: &mut Publisher<Image>, number: u32, len: usize, sent: usize) -> bool {
    let mut place = publisher.try_reserve(head(number), len).unwrap();
    assert_eq!(place.len(), len);
    let is_in_place = place.is_in_place();
    for (place, item) in place.items_mut().iter_mut().take(sent).enumerate() {
        *item = sample(number, place);
    }
    place.truncate(sent);
    place.send().unwrap();
    is_in_place
}

fn received(reader: &mut Subscription<Image>) -> Option<Image> {
    match reader.try_recv() {
        TryRecv::Delivery(Delivery::Msg(image)) => Some((*image).clone()),
        TryRecv::Delivery(Delivery::Gap(_)) => received(reader),
        TryRecv::Empty | TryRecv::Closed => None,
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Emit(usize),
    Send(usize, usize),
    Drop(usize),
    Observe(bool),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![0..40_usize, 0..if cfg!(miri) { 400 } else { 8_000_usize }];
    prop_oneof![
        len().prop_map(Step::Emit),
        (len(), len()).prop_map(|(one, other)| Step::Send(one.max(other), one.min(other))),
        len().prop_map(Step::Drop),
        any::<bool>().prop_map(Step::Observe),
        Just(Step::Read),
        Just(Step::Read),
    ]
}

proptest! {
    #![proptest_config(cases(2))]

    /// A gating reader gets what was sent, and nothing that was only reserved; an observer that
    /// comes and goes gets nothing else. The list is in place while there is no observer.
    #[test]
    fn any_sequence_of_steps_agrees_with_a_list(
        steps in prop::collection::vec(step(), 1..if cfg!(miri) { 20 } else { 100 })
    ) {
        let topic = topic(64);
        let mut reader = topic.subscribe::<Image>("reader", Policy::Block).unwrap();
        let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
        let (mut observer, mut sent, mut taken) = (None, Vec::new(), 0);
        for step in steps {
            let number = sent.len() as u32;
            match step {
                Step::Emit(len) => {
                    if publisher.try_emit(image(number, len)).is_ok() {
                        sent.push(len);
                    }
                }
                Step::Send(len, part) => {
                    if publisher.try_reserve(head(number), len).is_ok() {
                        let is_in_place = send(&mut publisher, number, len, part);
                        // A short message is in its slot.
                        prop_assert!(!is_in_place || observer.is_none());
                        prop_assert!(is_in_place || observer.is_some() || len < 28);
                        sent.push(part);
                    }
                }
                Step::Drop(len) => {
                    if let Ok(mut place) = publisher.try_reserve(head(number), len) {
                        place.items_mut().fill(u16::MAX);
                    }
                }
                Step::Observe(true) => {
                    let start = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
                    observer = Some(topic.subscribe::<Image>("observer", start).unwrap());
                }
                Step::Observe(false) => observer = None,
                Step::Read => {
                    if let Some(observer) = &mut observer {
                        while let Some(found) = received(observer) {
                            let len = sent[found.number as usize];
                            prop_assert_eq!(&found, &image(found.number, len));
                        }
                    }
                    if let Some(found) = received(&mut reader) {
                        prop_assert_eq!(found, image(taken as u32, sent[taken]));
                        taken += 1;
                    } else {
                        prop_assert_eq!(taken, sent.len());
                    }
                }
            }
        }
        drop(publisher);
        while let Some(found) = received(&mut reader) {
            prop_assert_eq!(found, image(taken as u32, sent[taken]));
            taken += 1;
        }
        prop_assert_eq!(taken, sent.len());
    }
}

/// Messages are written in place while the reader reads earlier ones in place, and observers that
/// start at the oldest message come and go.
#[test]
fn no_reader_sees_what_is_not_sent() {
    let topic = topic(64);
    let mut reader = topic.subscribe::<Image>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
    let count = if cfg!(miri) { 8 } else { 20_000 };
    let len = |number: u32| 40 + number as usize * 97 % if cfg!(miri) { 300 } else { 4_000 };
    thread::scope(|scope| {
        scope.spawn(move || {
            let task = &mut Context::from_waker(Waker::noop());
            for number in 0..count {
                let mut reserve = pin!(publisher.reserve(head(number), len(number)));
                let mut image = loop {
                    match reserve.as_mut().poll(task) {
                        Poll::Ready(image) => break image.unwrap(),
                        Poll::Pending => thread::yield_now(),
                    }
                };
                for (place, item) in image.items_mut().iter_mut().enumerate() {
                    *item = sample(number, place);
                }
                image.send().unwrap();
            }
        });
        let (observed, is_over) = (topic.clone(), Arc::new(()));
        let still_runs = Arc::downgrade(&is_over);
        scope.spawn(move || {
            while still_runs.strong_count() > 0 {
                let start = SubscribeOptions::new(Policy::DropOldest, Start::Oldest);
                let mut observer = observed.subscribe::<Image>("observer", start).unwrap();
                for _ in 0..10 {
                    match observer.try_recv() {
                        TryRecv::Delivery(Delivery::Msg(found)) => {
                            assert_eq!(*found, image(found.number, len(found.number)));
                        }
                        TryRecv::Delivery(Delivery::Gap(_)) => {}
                        TryRecv::Empty | TryRecv::Closed => thread::yield_now(),
                    }
                }
            }
        });
        let task = &mut Context::from_waker(Waker::noop());
        for number in 0..count {
            let next = loop {
                match reader.poll_next(task) {
                    Poll::Ready(next) => break next,
                    Poll::Pending => thread::yield_now(),
                }
            };
            let Some(Delivery::Msg(found)) = reader.view(next) else { panic!("a gap or the end") };
            assert_eq!((found.number(), found.name()), (number, &*name(number)));
            let mut samples = found.samples().iter().enumerate();
            assert!(samples.all(|(place, item)| *item == sample(number, place)));
            assert_eq!(found.samples().len(), len(number));
        }
        drop(is_over);
    });
}

/// Only readers that the publisher waits for from their beginning let it write in place.
#[test]
fn readers_decide_where_a_list_is_written() {
    let late = SubscribeOptions::new(Policy::Block, Start::Oldest);
    let cases: [(SubscribeOptions, bool, bool); 7] = [
        (Policy::Block.into(), true, true),
        (Policy::Reject.into(), true, true),
        (Policy::DropNewest.into(), true, true),
        (Policy::DropOldest.into(), false, false),
        (Policy::Latest.into(), false, false),
        (Policy::Sample(4.try_into().unwrap()).into(), false, false),
        (late, true, false),
    ];
    for (options, before, after) in cases {
        let topic = topic(8);
        let reader = topic.subscribe::<Image>("reader", options).unwrap();
        let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
        assert_eq!(send(&mut publisher, 0, 100, 100), before, "{options:?}, there first");
        drop(reader);
        assert!(send(&mut publisher, 1, 100, 100), "nobody reads");
        let _late = topic.subscribe::<Image>("late", options).unwrap();
        assert_eq!(send(&mut publisher, 2, 100, 100), after, "{options:?}, there later");
    }
}

/// A reader that can be evicted may be overtaken.
#[test]
fn a_reader_that_can_be_evicted_is_not_written_beside() {
    let topic = topic(8);
    topic.set_on_stall(OnStall::EvictAfter(Duration::from_secs(1)));
    topic.set_executor(Arc::new(NoTasks));
    let _reader = topic.subscribe::<Image>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
    assert!(!send(&mut publisher, 0, 100, 100));
}

#[test]
fn a_list_that_is_too_long_is_refused_and_the_message_given_back() {
    let mut publisher = topic(8).publisher::<Image>("publisher", 1).unwrap();
    for len in [32_768, usize::MAX / 2, usize::MAX] {
        let error = publisher.try_reserve(head(5), len).unwrap_err();
        assert!(matches!(error.refusal, Refusal::TooLong(_)), "{error}");
        assert_eq!(error.message, image(5, 0));
    }
}

/// A reservation waits for room, and sends nothing if it is dropped meanwhile.
#[test]
fn a_reservation_waits_for_room() {
    let topic = topic(8);
    let mut reader = topic.subscribe::<Image>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
    let mut sent = 0;
    // The items are not looked at, because Miri takes minutes for them.
    while let Ok(place) = publisher.try_reserve(head(sent), 30_000) {
        assert!(place.is_in_place());
        place.send().unwrap();
        sent += 1;
    }
    let task = &mut Context::from_waker(Waker::noop());
    assert!(pin!(publisher.reserve(head(sent), 30_000)).poll(task).is_pending());
    {
        let mut reserve = pin!(publisher.reserve(head(sent), 30_000));
        assert!(reserve.as_mut().poll(task).is_pending());
        // The first message had no name, so its place alone is too short.
        for number in 0..2 {
            assert_eq!(received(&mut reader).map(|it| it.number), Some(number));
        }
        reader.done();
        let Poll::Ready(Ok(mut place)) = reserve.poll(task) else { panic!("there is room") };
        place.items_mut().fill(1);
    }
    assert_eq!(publisher.sent(), u64::from(sent));
    assert!(send(&mut publisher, sent, 30_000, 10));
    drop(publisher);
    for number in 2..sent {
        assert_eq!(received(&mut reader).map(|it| it.number), Some(number));
    }
    assert_eq!(received(&mut reader), Some(image(sent, 10)));
}

/// Fast handlers see the message when it is sent, and may refuse it.
#[test]
fn a_fast_handler_can_refuse_a_reservation() {
    let topic = topic(8);
    let refuse = |found: &Image| match found.number {
        1 => Err("not this one".into()),
        number => {
            assert_eq!(*found, image(number, 50));
            Ok(())
        }
    };
    topic.add_fast_handler::<Image>("strict", refuse).unwrap();
    let mut reader = topic.subscribe::<Image>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
    assert!(!send(&mut publisher, 0, 60, 50), "handlers see the message before it is pushed");
    let error = publisher.try_reserve(head(1), 50).unwrap().send().unwrap_err();
    assert!(matches!(error.refusal, Refusal::FastHandler { .. }), "{error}");
    send(&mut publisher, 2, 50, 50);
    drop(publisher);
    assert_eq!(received(&mut reader), Some(image(0, 50)));
    assert_eq!(received(&mut reader), Some(image(2, 50)));
    assert_eq!(received(&mut reader), None);
}

/// The key is known before the list is written, so the reservation is refused as an emit is.
#[test]
fn a_key_too_many_is_refused_before_the_list_is_written() {
    let (topic, most) = (topic(8), NonZeroU32::MIN);
    let key = LatestByKey::of::<Image>("number", most).unwrap();
    topic.retain(Retain::ByKey { key, when_full: WhenFull::Refuse }).unwrap();
    let mut publisher = topic.publisher::<Image>("publisher", 1).unwrap();
    send(&mut publisher, 0, 60, 50);
    let error = publisher.try_reserve(head(1), 50).unwrap_err();
    assert_eq!(error.refusal, Refusal::Keys { most: 1 });
    send(&mut publisher, 0, 60, 50);
    assert!(publisher.forget(0_u32));
    send(&mut publisher, 1, 60, 50);
}

#[message(topic = "blobs", max = "64 KiB")]
struct Blob {
    bytes: Vec<u8>,
}

#[message(topic = "series", max = "64 KiB")]
struct Series {
    is_last: bool,
    values: Vec<f64>,
}

/// Items of each size begin where their type needs it.
#[test]
fn lists_of_bytes_and_of_floats() {
    let topic = Topic::new("blobs", Schema::of::<Blob>(), 8, Region::new(64)).unwrap();
    let mut reader = topic.subscribe::<Blob>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Blob>("publisher", 1).unwrap();
    let mut blob = publisher.try_reserve(Blob { bytes: Vec::new() }, 1_001).unwrap();
    blob.bytes_mut().fill(9);
    blob.send().unwrap();
    let TryRecv::Delivery(Delivery::Msg(blob)) = reader.try_recv() else { panic!() };
    assert_eq!(blob.bytes, vec![9; 1_001]);

    let topic = Topic::new("series", Schema::of::<Series>(), 8, Region::new(64)).unwrap();
    let mut reader = topic.subscribe::<Series>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher::<Series>("publisher", 1).unwrap();
    let series = Series { is_last: true, values: Vec::new() };
    let mut series = publisher.try_reserve(series, 500).unwrap();
    series.items_mut().fill(0.5);
    series.send().unwrap();
    let TryRecv::Delivery(Delivery::Msg(series)) = reader.try_recv() else { panic!() };
    assert_eq!((series.is_last, &*series.values), (true, &[0.5; 500][..]));
}
