//! Topics whose messages are not fixed.

use std::sync::Arc;
use std::time::Duration;

use mycelium_core::frame::Fragment;
use mycelium_core::link::RunShape;
use mycelium_core::message;
use mycelium_transports::conformance::NoTasks;
use mycelium_transports::counters::Region;
use mycelium_transports::local::{
    Delivery, FeedError, GapReason, LatestByKey, Metadata, OnStall, Policy, Publisher, Refusal,
    Schema, Subscription, Topic, TryRecv,
};

#[message(topic = "notes", id = 40, max = "64 KiB")]
#[derive(Clone, Debug, PartialEq)]
struct Note {
    number: u64,
    text: String,
    parts: Vec<Part>,
}

#[message]
#[derive(Clone, Debug, PartialEq)]
enum Part {
    Nothing,
    Some { name: String, share: f64 },
}

fn note(number: u64, len: usize) -> Note {
    let part = Part::Some { name: "n".repeat(len % 40), share: 0.5 };
    Note { number, text: "t".repeat(len), parts: vec![Part::Nothing, part] }
}

fn joined(policy: Policy, capacity: usize) -> (Subscription<Note>, Publisher<Note>) {
    let topic = Topic::new("notes", Schema::of::<Note>(), capacity, Region::new(16)).unwrap();
    let reader = topic.subscribe("reader", policy).unwrap();
    (reader, topic.publisher("publisher", 1).unwrap())
}

#[test]
fn a_gating_reader_gets_each_message() {
    let (mut reader, mut publisher) = joined(Policy::Block, 8);
    for number in 0..2_000 {
        let len = (number as usize * 37) % 20_000;
        publisher.try_emit(note(number, len)).unwrap();
        let TryRecv::Delivery(Delivery::Msg(received)) = reader.try_recv() else { panic!() };
        assert_eq!(*received, note(number, len));
    }
}

/// The arena is full before the slots are.
#[test]
fn a_full_arena_refuses_and_gives_the_message_back() {
    let (mut reader, mut publisher) = joined(Policy::Block, 1024);
    let mut sent = 0;
    let error = loop {
        match publisher.try_emit(note(sent, 50_000)) {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert!((4..6).contains(&sent), "256 KiB hold {sent} messages of 50,000 bytes");
    assert_eq!(error.refusal, Refusal::Full { by: "reader".into() });
    assert_eq!(error.message, note(sent, 50_000));
    for number in 0..sent {
        let TryRecv::Delivery(Delivery::Msg(received)) = reader.try_recv() else { panic!() };
        assert_eq!(received.number, number);
    }
    assert!(matches!(reader.try_recv(), TryRecv::Empty));
    publisher.try_emit(note(sent, 50_000)).unwrap();
}

#[test]
fn an_observer_is_told_what_gave_way() {
    let (mut reader, mut publisher) = joined(Policy::DropOldest, 1024);
    for number in 0..20 {
        publisher.try_emit(note(number, 50_000)).unwrap();
    }
    let (mut received, mut missed) = (0, 0);
    loop {
        match reader.try_recv() {
            TryRecv::Delivery(Delivery::Msg(message)) => {
                assert_eq!(*message, note(received + missed, 50_000));
                received += 1;
            }
            TryRecv::Delivery(Delivery::Gap(gap)) => missed += gap.count,
            TryRecv::Empty | TryRecv::Closed => break,
        }
    }
    assert_eq!(received + missed, 20);
    assert!((4..6).contains(&received), "{received} are left");
}

/// The oldest messages stay; what has no room is dropped and told.
#[test]
fn a_drop_newest_reader_keeps_the_oldest() {
    let (mut reader, mut publisher) = joined(Policy::DropNewest, 1024);
    for number in 0..20 {
        publisher.try_emit(note(number, 50_000)).unwrap();
    }
    publisher.try_emit(note(20, 3)).unwrap();
    let (mut next, mut missed) = (0, 0);
    loop {
        match reader.try_recv() {
            TryRecv::Delivery(Delivery::Msg(message)) => {
                let len = if next == 20 { 3 } else { 50_000 };
                assert_eq!(*message, note(next, len));
                next += 1;
            }
            TryRecv::Delivery(Delivery::Gap(gap)) => {
                next += gap.count;
                missed += gap.count;
            }
            TryRecv::Empty | TryRecv::Closed => break,
        }
    }
    assert_eq!(next, 21);
    assert!((5..17).contains(&missed), "{missed} dropped");
}

#[test]
fn a_message_that_is_too_long_is_refused() {
    let (_reader, mut publisher) = joined(Policy::Block, 8);
    let error = publisher.try_emit(note(0, 70_000)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::TooLong(_)), "{error}");
    assert_eq!(error.message, note(0, 70_000));
    let text = error.to_string();
    assert!(
        text.starts_with("topic `notes`: message `Note` has 70072 bytes, but may have 65536"),
        "{text}"
    );
    assert!(text.ends_with("[M0355]"), "{text}");
}

/// Fast handlers see each message once, also one that had to wait for the arena.
#[test]
fn a_fast_handler_sees_each_message_once() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    let topic = Topic::new("notes", Schema::of::<Note>(), 1024, Region::new(16)).unwrap();
    let handled = Arc::new(AtomicU64::new(0));
    let count = handled.clone();
    topic
        .add_fast_handler::<Note>("counter", move |note| {
            assert_eq!(note.number, count.fetch_add(1, Ordering::Relaxed));
            Ok(())
        })
        .unwrap();
    let mut reader = topic.subscribe::<Note>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher("publisher", 1).unwrap();
    for number in 0..100 {
        while publisher.try_emit(note(number, 50_000)).is_err() {
            while let TryRecv::Delivery(_) = reader.try_recv() {}
        }
    }
    assert_eq!(handled.load(Ordering::Relaxed), 100);
}

/// A view reads in place what `recv` decodes, for every policy.
#[test]
fn a_view_shows_the_message() {
    pollster::block_on(async {
        for policy in [Policy::Block, Policy::Reject, Policy::DropOldest, Policy::DropNewest] {
            let (mut reader, mut publisher) = joined(policy, 8);
            for number in 0..100 {
                let len = (number as usize * 37) % 20_000;
                let sent = note(number, len);
                publisher.try_emit(sent.clone()).unwrap();
                let Some(Delivery::Msg(seen)) = reader.recv_view().await else { panic!() };
                assert_eq!((seen.sequence(), seen.redelivered()), (number, false));
                assert_eq!((seen.number(), seen.text()), (number, &*sent.text));
                assert_eq!(seen.parts().len(), 2);
                let Some(PartView::Some { name, share }) = seen.parts().get(1) else { panic!() };
                assert_eq!((name.len(), share), (len % 40, 0.5));
            }
            publisher.try_emit(note(100, 0)).unwrap();
            drop(publisher);
            assert!(matches!(reader.recv_view().await, Some(Delivery::Msg(_))));
            assert!(reader.recv_view().await.is_none());
        }
    });
}

/// A failed message is delivered again, and then is a dead letter, as a view too.
#[test]
fn a_message_that_was_viewed_is_redelivered() {
    pollster::block_on(async {
        let (mut reader, mut publisher) = joined(Policy::Block, 8);
        publisher.try_emit(note(7, 300)).unwrap();
        assert!(matches!(reader.recv_view().await, Some(Delivery::Msg(_))));
        assert!(reader.fail().is_none());
        let Some(Delivery::Msg(again)) = reader.recv_view().await else { panic!() };
        assert!(again.redelivered() && again.number() == 7);
        let letter = reader.fail().expect("it failed twice");
        assert_eq!(mycelium_core::decode::<Note>(&letter.payload), Ok(note(7, 300)));
    });
}

/// A batch is sent and received as single messages are.
#[test]
fn batches_have_all_messages() {
    pollster::block_on(async {
        let (mut reader, mut publisher) = joined(Policy::Block, 1024);
        let notes: Vec<_> = (0..64).map(|number| note(number, number as usize * 300)).collect();
        // All messages of a batch are in flight together. After a failure each is delivered alone.
        let mut batch = Vec::new();
        publisher.try_emit_batch(&notes[..20]).unwrap();
        assert_eq!(reader.recv_many(&mut batch, 16).await, 16);
        assert!(reader.fail().is_none());
        for note in &notes[..20] {
            let Some(Delivery::Msg(again)) = reader.recv().await else { panic!() };
            assert_eq!((again.redelivered(), &*again), (note.number < 16, note));
        }
        let batch: Vec<_> = batch.into_iter().filter_map(Delivery::message).collect();
        assert_eq!(batch, notes[..16]);
        reader.done();
        // After an interruption, too; but this is no failure.
        let mut batch = Vec::new();
        publisher.try_emit_batch(&notes[..2]).unwrap();
        assert_eq!(reader.recv_many(&mut batch, 16).await, 2);
        reader.interrupt();
        for note in &notes[..2] {
            for is_last in [false, true] {
                let Some(Delivery::Msg(again)) = reader.recv().await else { panic!() };
                assert_eq!((again.redelivered(), &*again), (true, note));
                assert_eq!(reader.fail().is_some(), is_last);
            }
        }
        let sent = notes.clone();
        let sends = std::thread::spawn(move || {
            pollster::block_on(publisher.emit_batch(&sent)).unwrap();
            pollster::block_on(publisher.emit_batch(&sent)).unwrap();
        });
        let mut deliveries = Vec::new();
        while reader.recv_many(&mut deliveries, 16).await > 0 {}
        let received: Vec<_> = deliveries.into_iter().filter_map(Delivery::message).collect();
        sends.join().unwrap();
        assert_eq!(received, [&notes[..], &notes[..]].concat());
    });
}

/// A fixed message is read in place, too.
#[test]
fn a_view_of_a_fixed_message_is_the_message() {
    pollster::block_on(async {
        #[message(topic = "ticks", id = 41)]
        #[derive(Debug, PartialEq)]
        struct Tick {
            price: u64,
            is_bid: bool,
            _pad: [u8; 7],
        }
        for policy in [Policy::Block, Policy::DropOldest] {
            let topic = Topic::new("ticks", Schema::of::<Tick>(), 8, Region::new(16)).unwrap();
            let mut reader = topic.subscribe::<Tick>("reader", policy).unwrap();
            let mut publisher = topic.publisher("publisher", 1).unwrap();
            for price in 0..20 {
                publisher.try_emit(Tick { price, is_bid: true, _pad: [0; 7] }).unwrap();
                let Some(Delivery::Msg(tick)) = reader.recv_view().await else { panic!() };
                assert_eq!((tick.price, tick.is_bid), (price, true));
            }
        }
    });
}

/// The newest message of each key is kept whole, whatever its length; the key is a `String`.
#[test]
fn the_newest_of_each_key_is_kept() {
    #[message(topic = "quotes", id = 42)]
    #[derive(Debug, PartialEq)]
    struct Quote {
        number: u64,
        symbol: String,
        levels: Vec<u64>,
        note: Option<String>,
    }
    let quote = |number: u64, symbol: &str, levels: usize| Quote {
        number,
        symbol: symbol.to_owned(),
        levels: vec![number; levels],
        note: None,
    };
    let by = |keys: u32| LatestByKey::of::<Quote>("symbol", keys.try_into().unwrap()).unwrap();
    let topic = Topic::new("quotes", Schema::of::<Quote>(), 8, Region::new(16)).unwrap();
    let mut reader = topic.subscribe::<Quote>("reader", Policy::LatestByKey(by(3))).unwrap();
    let mut publisher = topic.publisher("publisher", 1).unwrap();
    let deliveries = |reader: &mut Subscription<Quote>| {
        let (mut quotes, mut missed) = (Vec::new(), 0);
        loop {
            match reader.try_recv() {
                TryRecv::Delivery(Delivery::Msg(quote)) => quotes.push(quote.into_inner()),
                TryRecv::Delivery(Delivery::Gap(gap)) => missed += gap.count,
                TryRecv::Empty | TryRecv::Closed => return (quotes, missed),
            }
        }
    };
    for (number, symbol, levels) in [(0, "a", 5), (1, "b", 1), (2, "a", 900), (3, "a", 0)] {
        publisher.try_emit(quote(number, symbol, levels)).unwrap();
    }
    assert_eq!(deliveries(&mut reader), (vec![quote(3, "a", 0), quote(1, "b", 1)], 2));
    // A fourth key: the key that waits longest gives way.
    for (number, symbol) in [(4, "a"), (5, "b"), (6, "c"), (7, "d")] {
        publisher.try_emit(quote(number, symbol, 7)).unwrap();
    }
    let left = vec![quote(5, "b", 7), quote(6, "c", 7), quote(7, "d", 7)];
    assert_eq!(deliveries(&mut reader), (left, 1));
    // The bytes of the table are bounded, too: each message has 60,000 bytes of 256 KiB.
    let mut by_bytes = topic.subscribe::<Quote>("bytes", Policy::LatestByKey(by(100))).unwrap();
    let (mut received, mut missed) = (0, 0);
    for round in 0..10 {
        for number in 3 * round..3 * round + 3 {
            publisher.try_emit(quote(number, &format!("key {number}"), 7_500)).unwrap();
        }
        match by_bytes.try_recv() {
            TryRecv::Delivery(Delivery::Msg(_)) => received += 1,
            TryRecv::Delivery(Delivery::Gap(gap)) => missed += gap.count,
            other => panic!("{other:?}"),
        }
    }
    let (quotes, more) = deliveries(&mut by_bytes);
    assert_eq!(received + missed + quotes.len() as u64 + more, 30);
    let last: Vec<_> = quotes.iter().map(|quote| quote.number).collect();
    assert_eq!(last, [26, 27, 28, 29], "256 KiB hold four of them");
    // A message that replaces one of its key needs no other room.
    for (number, symbol) in [(30, "a"), (31, "b"), (32, "c"), (33, "d")] {
        publisher.try_emit(quote(number, symbol, 7_500)).unwrap();
    }
    let TryRecv::Delivery(Delivery::Msg(_)) = by_bytes.try_recv() else { panic!() };
    for (number, symbol) in [(34, "a"), (35, "d")] {
        publisher.try_emit(quote(number, symbol, 7_500)).unwrap();
    }
    let left = [(31, "b"), (32, "c"), (35, "d"), (34, "a")];
    let left = left.map(|(number, symbol)| quote(number, symbol, 7_500)).to_vec();
    assert_eq!(deliveries(&mut by_bytes), (left, 1));
    // A key of more than 64 bytes is refused, and is not decodable from a peer.
    let long = quote(1, &"k".repeat(65), 1);
    let error = publisher.try_emit(long.clone()).unwrap_err();
    let expected = "topic `quotes`: the key `symbol` of a message has 65 bytes, but may have 64 \
                    [M0356]";
    assert_eq!((error.to_string().as_str(), &error.message), (expected, &long));
    let mut peer = topic.feed("peer", 2, 0).unwrap();
    peer.push(&mycelium_core::to_bytes(&long).unwrap(), false).unwrap();
    let TryRecv::Delivery(Delivery::Gap(gap)) = by_bytes.try_recv() else { panic!() };
    assert_eq!((gap.reason, gap.count), (GapReason::Undecodable, 1));
    let refused = |field| LatestByKey::of::<Quote>(field, 3.try_into().unwrap()).unwrap_err();
    for field in ["levels", "note"] {
        let expected =
            format!("invalid key `{field}`: a key is a field of one size, or a `String`");
        assert_eq!(refused(field).to_string(), expected);
    }
}

/// The threshold counts bytes as well as slots.
#[test]
fn a_full_arena_is_backpressure() {
    let (mut reader, mut publisher) = joined(Policy::Block, 1024);
    let mut sent = 0;
    while !publisher.backpressure_threshold_exceeded() {
        publisher.try_emit(note(sent, 20_000)).unwrap();
        sent += 1;
    }
    // 80 % and 60 % of 256 KiB.
    assert_eq!(sent, 11);
    let mut received = 0;
    while publisher.backpressure_threshold_exceeded() {
        let TryRecv::Delivery(Delivery::Msg(_)) = reader.try_recv() else { panic!() };
        received += 1;
    }
    // A message is needed until the next receive.
    assert_eq!(received, 5);
    publisher.try_emit(note(sent, 20_000)).unwrap();
    assert!(!publisher.backpressure_threshold_exceeded());
}

/// Slots are free, but no bytes.
#[test]
fn a_reader_that_keeps_the_arena_full_is_evicted() {
    let topic = Topic::new("notes", Schema::of::<Note>(), 1024, Region::new(16)).unwrap();
    topic.set_on_stall(OnStall::EvictAfter(Duration::ZERO));
    topic.set_executor(Arc::new(NoTasks));
    let mut reader = topic.subscribe::<Note>("reader", Policy::Block).unwrap();
    let mut publisher = topic.publisher("publisher", 1).unwrap();
    for number in 0..20 {
        publisher.try_emit(note(number, 50_000)).unwrap();
    }
    let TryRecv::Delivery(Delivery::Gap(gap)) = reader.try_recv() else { panic!("evicted") };
    assert_eq!(gap.reason, GapReason::Evicted);
}

/// Bytes of a peer are never taken for slots: only fixed messages come in runs.
#[test]
fn a_run_of_messages_of_any_length_is_refused() {
    let topic = Topic::new("notes", Schema::of::<Note>(), 8, Region::new(16)).unwrap();
    let mut reader = topic.subscribe::<Note>("reader", Policy::Block).unwrap();
    let mut feed = topic.feed("publisher", 1, 0).unwrap();
    for length in [56, 64, 1024] {
        let shape = RunShape { stride: length.into(), skip: 0, length };
        let refused = feed.push_run(shape, &vec![7; 4 * usize::from(length)]);
        assert!(matches!(refused, Err(FeedError::Size { .. })), "{refused:?}");
    }
    // What is not a message is a gap.
    feed.push(&[7; 64], false).unwrap();
    feed.push(&mycelium_core::to_bytes(&note(1, 200)).unwrap(), false).unwrap();
    let TryRecv::Delivery(Delivery::Gap(gap)) = reader.try_recv() else { panic!() };
    assert_eq!((gap.reason, gap.count), (GapReason::Undecodable, 1));
    let TryRecv::Delivery(Delivery::Msg(received)) = reader.try_recv() else { panic!() };
    assert_eq!(*received, note(1, 200));
}

/// Bytes of a message that is given up are never those of a later one, whatever its length.
#[test]
fn fragments_of_a_peer_make_whole_messages() {
    let topic = Topic::new("notes", Schema::of::<Note>(), 8, Region::new(16)).unwrap();
    let mut reader = topic.subscribe::<Note>("reader", Policy::Block).unwrap();
    let mut feed = topic.feed("publisher", 1, 0).unwrap();
    let mut push = |bytes: &[u8], at: usize, count: usize| {
        let fragment = Fragment { offset: at as u32, total: bytes.len() as u32, fixed_len: 0 };
        // At an odd address, so that the words are not those of the message.
        let part = [&[0], &bytes[at..][..count]].concat();
        feed.push_fragment(fragment, &part[1..], false, Metadata::default())
    };
    let mut take = || {
        let TryRecv::Delivery(Delivery::Msg(received)) = reader.try_recv() else { panic!() };
        Note::clone(&received)
    };
    let (given_up, long) = (note(7, 901), note(0, 901));
    // This one is in its slot, not in the arena.
    let short = Note { number: 1, text: "short".to_owned(), parts: Vec::new() };
    let [given_up, bytes, few] =
        [&given_up, &long, &short].map(|note| mycelium_core::to_bytes(note).unwrap());
    assert!(few.len() < 56);
    assert_eq!(push(&given_up, 0, 160), Ok(false));
    for at in (0..bytes.len()).step_by(160) {
        let count = (bytes.len() - at).min(160);
        assert_eq!(push(&bytes, at, count), Ok(at + count == bytes.len()));
    }
    assert_eq!(take(), long);
    for _ in 0..20 {
        assert_eq!(push(&given_up, 0, 160), Ok(false));
        assert_eq!(push(&few, 0, 8), Ok(false));
        assert_eq!(push(&few, 8, few.len() - 8), Ok(true));
        assert_eq!(take(), short);
    }
    for (at, count) in [(160, 8), (0, 7), (8, 8)] {
        let refused = push(&bytes, at, count);
        assert!(matches!(refused, Err(FeedError::Size { .. })), "{at}: {refused:?}");
    }
    assert_eq!(push(&bytes, 0, 160), Ok(false));
    assert!(push(&bytes, 168, 8).is_err(), "a hole");
    assert_eq!(push(&bytes, 0, bytes.len()), Ok(true));
    assert_eq!(take(), long);
}

/// Messages that only a `drop-newest` subscription has not read use no credit: they move to its own
/// ring.
#[test]
fn a_drop_newest_reader_holds_no_credit() {
    let mut schema = Schema::of::<Note>();
    schema.arena = 128 << 10;
    for lens in [[60_000, 10], [10, 10]] {
        let topic = Topic::new("notes", schema, 64, Region::new(16)).unwrap();
        let mut block = topic.subscribe::<Note>("block", Policy::Block).unwrap();
        let mut newest = topic.subscribe::<Note>("newest", Policy::DropNewest).unwrap();
        let mut feed = topic.feed("publisher", 1, 0).unwrap();
        newest.try_recv();
        for number in 0..60 {
            let len = lens[usize::from(number > 0)];
            let bytes = mycelium_core::to_bytes(&note(number, len)).unwrap();
            feed.push(&bytes, false).unwrap();
            let TryRecv::Delivery(Delivery::Msg(_)) = block.try_recv() else { panic!() };
        }
        block.done();
        assert_eq!(feed.room(), feed.credit().most, "{lens:?}");
    }
}

/// A publisher whose type has a larger `max` than that of the topic.
#[test]
fn a_message_that_is_too_long_for_its_topic_is_refused() {
    mod larger {
        #[mycelium_core::message(topic = "notes", id = 40, max = "1 MiB")]
        #[derive(Debug, PartialEq)]
        pub(super) struct Note {
            pub(super) number: u64,
            pub(super) text: String,
            pub(super) parts: Vec<super::Part>,
        }
    }
    let topic = Topic::new("notes", Schema::of::<Note>(), 8, Region::new(16)).unwrap();
    let mut publisher = topic.publisher::<larger::Note>("publisher", 1).unwrap();
    let note = |len| larger::Note { number: 1, text: "t".repeat(len), parts: Vec::new() };
    publisher.try_emit(note(60_000)).unwrap();
    let error = publisher.try_emit(note(200_000)).unwrap_err();
    assert!(matches!(error.refusal, Refusal::TooLong(_)), "{error}");
}
