//! Messages of any shape: a publisher and a subscription of one thread, beside encoding and
//! decoding alone.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use mycelium_core::{FixedVec, Message, message};
use mycelium_transports::local::{Delivery, Publisher, Subscription, TryRecv};
use serde::{Deserialize, Serialize};

use crate::ends::Task;
use crate::goals::Pair;
use crate::harness::{Column, Contest, Mismatch, Round};
use crate::options::Options;
use crate::ours::topic;

/// An order of about 120 bytes.
#[message(topic = "orders")]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u64,
    venue: String,
    note: Option<String>,
    legs: Vec<Leg>,
    kind: Kind,
}

#[message]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Leg {
    price: i64,
    size: u64,
}

#[message]
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Market,
    Limit { cents: i64 },
    Iceberg(u32, i64),
}

fn order() -> Order {
    Order {
        id: 7,
        venue: "Uniswap".to_owned(),
        note: Some("a note".to_owned()),
        legs: vec![Leg { price: 1, size: 2 }, Leg { price: 3, size: 4 }],
        kind: Kind::Limit { cents: 9 },
    }
}

/// 200 bytes in a list of any length.
#[message(topic = "blobs")]
#[derive(Debug, PartialEq)]
struct Blob {
    bytes: Vec<u8>,
}

/// 200 bytes in a list of exactly as many.
#[message(topic = "blobs", pad)]
#[derive(PartialEq)]
struct FixedBlob {
    bytes: FixedVec<u8, 200>,
}

/// How many messages are sent, and received, in a poll.
const BATCH: usize = 128;

const VIEW: &str = "emit_ref, recv_view";
const OWNED: &str = "emit_ref, recv";
const POSTCARD: &str = "postcard, to a buffer and back";
const LIST: &str = "Vec<u8> of 200";
const FIXED: &str = "FixedVec<u8, 200>";

pub(super) fn contests(options: &Options) -> Vec<Contest> {
    let contest = |row, title: &str, columns, pairs| Contest {
        timed: "128 sends, 128 receives, and the ends of the polls",
        operations: options.operations(16 * BATCH, BATCH).next_multiple_of(BATCH),
        columns,
        pairs,
        ..Contest::new("shapes", row, title)
    };
    let orders = vec![
        sends(VIEW, order(), viewed),
        sends(OWNED, order(), received),
        #[cfg(feature = "rivals")]
        in_postcard(),
    ];
    let pairs = vec![Pair::new(VIEW, POSTCARD).within(1.0), Pair::new(OWNED, POSTCARD)];
    let blob = Blob { bytes: vec![7; 200] };
    let fixed = FixedBlob::new(FixedVec::from_slice(&blob.bytes).expect("there is room"));
    let blobs = vec![sends(LIST, blob, viewed_blob), sends(FIXED, fixed, received)];
    vec![
        contest("an order with texts and a list", "one thread, 112 bytes", orders, pairs)
            .at("order"),
        contest(
            "a list of 200 bytes",
            "one thread, 200 bytes",
            blobs,
            vec![Pair::new(LIST, FIXED).within(1.2)],
        )
        .at("list"),
    ]
}

/// Emits a message, and receives it with `receive`, which returns whether it is that message.
fn sends<M: Message>(
    name: &'static str,
    message: M,
    receive: fn(&mut Subscription<M>, &M) -> bool,
) -> Column {
    let (mut sender, mut receiver) = topic::of::<M>();
    Column::new(name, move |operations| {
        let (mut sent, mut arrived) = (0, 0);
        let start = Instant::now();
        for _ in 0..operations / BATCH {
            sent += sender.poll(|publisher| send_batch(publisher, &message));
            arrived += receiver.poll(|subscription| {
                (0..BATCH).filter(|_| receive(subscription, &message)).count()
            });
        }
        let took = start.elapsed();
        if (sent, arrived) != (operations, operations) {
            let what = format!("{sent} of {operations} messages were sent, {arrived} arrived");
            return Err(Mismatch::new(name, what));
        }
        Ok(Round::Total(took))
    })
}

#[inline(never)]
fn send_batch<M: Message>(publisher: &mut Publisher<M>, message: &M) -> usize {
    (0..BATCH).filter(|_| publisher.try_emit_ref(black_box(message)).is_ok()).count()
}

fn viewed(orders: &mut Subscription<Order>, sent: &Order) -> bool {
    let Poll::Ready(next) = orders.poll_next(&Context::from_waker(Waker::noop())) else {
        return false;
    };
    let Some(Delivery::Msg(order)) = orders.view(next) else { return false };
    order.id() == sent.id
        && order.venue() == sent.venue
        && order.note() == sent.note.as_deref()
        && order.legs() == sent.legs
        && matches!(order.kind(), KindView::Limit { cents: 9 })
}

fn viewed_blob(blobs: &mut Subscription<Blob>, sent: &Blob) -> bool {
    let Poll::Ready(next) = blobs.poll_next(&Context::from_waker(Waker::noop())) else {
        return false;
    };
    let Some(Delivery::Msg(blob)) = blobs.view(next) else { return false };
    blob.bytes() == sent.bytes
}

fn received<M: Message + PartialEq>(messages: &mut Subscription<M>, sent: &M) -> bool {
    match messages.try_recv() {
        TryRecv::Delivery(Delivery::Msg(message)) => *message == *sent,
        _ => false,
    }
}

/// Encodes into a buffer that is used again, and decodes the order, without any queue.
#[cfg(feature = "rivals")]
fn in_postcard() -> Column {
    let (order, mut buffer) = (order(), [0; 256]);
    Column::new(POSTCARD, move |operations| {
        let start = Instant::now();
        let equal = (0..operations).filter(|_| {
            let bytes = postcard::to_slice(black_box(&order), &mut buffer);
            let bytes = bytes.map(|bytes| &*bytes).unwrap_or_default();
            postcard::from_bytes::<Order>(bytes).is_ok_and(|decoded| decoded == order)
        });
        let equal = equal.count();
        let took = start.elapsed();
        if equal != operations {
            return Err(Mismatch::new(POSTCARD, format!("{equal} of {operations} are equal")));
        }
        Ok(Round::Total(took))
    })
}
